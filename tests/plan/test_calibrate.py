"""Calibration of a machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from serdesc import config as configs
from serdesc.config import Config, LlmConfig
from serdesc.plan import calibrate, cards, planner

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tiny_encoder", "tiny_whisper"])
def test_a_calibration_runs_real_steps(
    corpus: Path,
    tiny_settings: list[str],
    encoder: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibrate, "SECONDS", 0.0)
    settings = [*tiny_settings, f"encoder.model={request.getfixturevalue(encoder)}"]
    tree = planner.plan(configs.load(settings=settings), corpus, calibrated=CPU)
    assert tree["machine"].startswith("this machine (cpu") and all(
        tree["hours"][name] > 0 for name in ("extraction", "training", "decoding")
    )
    assert any("calibrated with 2 of the LLM's 2 layers" in line for line in tree["assumed"])


def test_a_card_without_bfloat16_is_said_to_be_slow() -> None:
    slow, fast = cards.card("t4", Config()), cards.card(
        "t4", replace(Config(), llm=LlmConfig(dtype="float16"))
    )
    assert slow.training < fast.training / 5 and any(
        "llm.dtype=float16" in note for note in slow.notes
    )
