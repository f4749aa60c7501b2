"""Settings that fit."""

from __future__ import annotations

import pytest

from serdesc import config as configs
from serdesc.config import Config
from serdesc.plan import choose, memory


def sized(activations: int = 10, checkpointed: int = 4) -> tuple[memory.Training, memory.Decoding]:
    llm, none = {"none": 16, "8bit": 9, "4bit": 6}, {"none": 0, "8bit": 0, "4bit": 0}
    made = memory.Training(
        0, llm, 1, 1, 2, none, {False: activations, True: checkpointed}, 0, False
    )
    return made, memory.Decoding(0, llm, 1, none, cache=1, prompt=1, posterior=2)


@pytest.mark.parametrize(
    "room, wanted",
    [
        (100, (1, False, "none", 8)),  # all eight at once: 20 + 80
        (60, (2, False, "none", 8)),
        (30, (8, False, "none", 4)),
        (25, (8, True, "none", 4)),  # one at a time does not fit, recomputed it does
        (22, (4, True, "8bit", 4)),
        (14, (8, True, "4bit", 2)),
    ],
)
def test_the_cheapest_settings_that_fit_are_taken(
    room: float, wanted: tuple[int, bool, str, int]
) -> None:
    found = choose.choose(Config(), *sized(), room, gpu=True)
    assert (
        found.gradient_accumulation_steps,
        found.gradient_checkpointing,
        found.quantization,
        found.decoding_batch,
    ) == wanted and found.fits


@pytest.mark.parametrize(
    "room, accumulate, wanted",
    [
        (100, 4, []),  # two at a time: 20 + 20
        (40, 4, []),
        (30, 4, ["training.gradient_accumulation_steps=8", "decoding.batch_size=4"]),
        (51, 3, []),  # three at a time: 20 + 30
        (41, 3, ["training.gradient_accumulation_steps=4"]),
        (30, 16, ["decoding.batch_size=4"]),  # one at a time, as with 8
        (25, 16, ["llm.gradient_checkpointing=true", "decoding.batch_size=4"]),
    ],
)
def test_what_fits_as_configured_is_left_and_parts_become_no_larger(
    room: float, accumulate: int, wanted: list[str]
) -> None:
    config = configs.load(settings=[f"training.gradient_accumulation_steps={accumulate}"])
    assert choose.choose(config, *sized(), room, gpu=True).settings(config) == wanted


def test_what_does_not_fit_is_said_and_a_cpu_is_offered_no_quantisation() -> None:
    assert not choose.choose(Config(), *sized(), 5, gpu=True).fits
    found = choose.choose(Config(), *sized(), 14, gpu=False)
    assert (found.fits, found.quantization) == (False, "none")
    assert found.settings(Config()) == [
        "training.gradient_accumulation_steps=8",
        "llm.gradient_checkpointing=true",
        "decoding.batch_size=1",
    ]
