"""FLOPs."""

from __future__ import annotations

import pytest
import torch
from helpers.plan import built
from helpers.training import Lab
from torch.utils.flop_counter import FlopCounterMode

from serdesc import config as configs
from serdesc import models
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.features.encoder import Encoder
from serdesc.models.describer import Describer, Phase
from serdesc.plan import lengths, memory, planner, show, trace, work
from serdesc.plan.trace import Clip
from serdesc.training.examples import examples
from serdesc.training.pretrain import Pretraining
from serdesc.training.unusable import Unusable

MINI = [
    "encoder.model=hubert-mini",
    "llm.model=llama-mini",
    "llm.dtype=float32",
    "device=cpu",
    "adapter.hidden=256",
    "llm.lora.dropout=0",
]


PASSES = [
    (kind, phase, again)
    for kind in ("describer", "undivided")
    for phase in ("content", "descriptor", "joint")
    for again in (False, True)
]


@pytest.mark.slow
@pytest.mark.parametrize("kind, phase, checkpointing", PASSES)
def test_flops_by_arithmetic_are_those_that_are_multiplied_out(
    kind: str, phase: Phase, checkpointing: bool
) -> None:
    config = configs.load(
        settings=[*MINI, "llm.lora.targets=[q_proj, v_proj, o_proj]", f"model={kind}"]
    )
    encoder, model = built(config)
    found = trace.Weightless(model).train([Clip(120, "hello you")] * 3, phase, checkpointing)
    labels = len(model.tokenizer.encode("hello you", add_special_tokens=False)) + 1
    item = lengths.Item(
        datadir.Utterance("a", "", ""), 120, "hello you", "hello you", labels, labels
    )
    shape = work.padded([item] * 3, lengths.prompt_tokens(model.tokenizer, config), phase, config)
    assert work.Costs.of(model).step(shape, phase, checkpointing) == pytest.approx(
        (found.forward, found.backward), rel=1e-3
    )


@pytest.mark.slow
def test_the_papers_floors() -> None:
    encoder, model = built(Config())
    assert work.Curve.of(encoder)(10) / 10 == pytest.approx(36e9, rel=0.1)
    shape = work.BatchShape(8, 130, 219, 43, 8 * 50)
    assert work.Costs.of(model).step(shape, "descriptor").both / (8 * 130) == pytest.approx(
        32e9, rel=0.1
    )
    assert memory.weights(model, "none") == pytest.approx(16.06e9, rel=1e-3)
    assert memory.weights(model, "4bit") == pytest.approx(
        5.7e9, rel=0.02
    )  # as transformers' documentation measures 4-bit Llama 3.1 8B
    assert memory.kv_cache(model.llm.get_base_model().config, 2) == 131_072  # bytes a position


@pytest.mark.slow
def test_an_epoch_of_pretraining_is_what_is_multiplied_out(lab: Lab) -> None:
    config = lab.configured("training.pretrain.epochs=1", "training.pretrain.batch_size=3")
    data = examples(lab.train_part, config)[0]
    model = models.initialise(config, lab.features, torch.device("cpu"))
    assert isinstance(model, Describer)
    work_of = Pretraining(model, lab.features, data, config, Unusable(lab.folder, len(data)))
    with FlopCounterMode(display=False) as found:
        list(work_of.run(0, 1))
    encoder = Encoder.load(config.encoder, torch.device("cpu"))
    items = lengths.items(lab.train_part, encoder, model.tokenizer, config)[0]
    expected = work.pretraining(items, model).both
    assert found.get_total_flops() == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
def test_a_plan_with_pretraining_has_its_row_and_its_hours(lab: Lab) -> None:
    plans = []
    words = ("adapter.words=true", "adapter.slots=7")
    for settings in ((), ("training.pretrain.epochs=40", *words)):
        tree = planner.plan(lab.configured(*settings), lab.corpus, gpu="rtx3090")
        plans.append(tree)
    without, pretrained = plans
    assert "pretraining" not in without["tokens"]["epoch"]
    row = pretrained["tokens"]["epoch"]["pretraining"]
    assert row["backward"] > row["forward"] > 0 == row["target"]
    assert pretrained["hours"]["training"] > without["hours"]["training"]
    assert pretrained["hours"]["live adds"] > 10 * without["hours"]["live adds"]
    assert "pretraining, an epoch" in str(show.tokens(pretrained))
