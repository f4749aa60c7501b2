"""The system without disentanglement."""

from __future__ import annotations

import pytest
import torch
from helpers.models import L, random_features, tiny

from serdesc import models
from serdesc.config import AdapterConfig
from serdesc.features.batches import pad
from serdesc.models.adapter import Adapter
from serdesc.models.undivided import Undivided


@pytest.fixture
def undivided(tiny_settings: list[str]) -> Undivided:
    assert isinstance(model := tiny(tiny_settings, "no_disentanglement"), Undivided)
    return model


def test_no_disentanglement_at_the_papers_shapes() -> None:
    with torch.device("meta"):
        assert (
            sum(p.numel() for p in Adapter(1024, 4096, AdapterConfig()).parameters()) == 18_880_512
        )


def test_one_group_of_tokens_stands_where_content_stood(undivided: Undivided) -> None:
    x, frames = pad(random_features(30))
    heard = undivided.encode_speech(x, frames, "descriptor", {})
    assert (
        heard.s_des is None
        and heard.s_con.shape == (1, 6, undivided.llm_width)
        and float(heard.kl) == 0
    )
    row = undivided.build_rows(undivided.prompt, heard, [6], [None]).embeds[0]
    before, after = len(undivided.prompt.before), len(undivided.prompt.after)
    assert len(row) == before + 6 + after  # neither the line feed nor a second group
    torch.testing.assert_close(row[before : before + 6], heard.s_con[0])
    torch.testing.assert_close(undivided.layer_weights.softmax(0), torch.full((L,), 1 / L))


@pytest.mark.parametrize("phase", ["content", "descriptor"])
def test_both_phases_train_all_of_it(undivided: Undivided, phase: models.describer.Phase) -> None:
    undivided.train_phase(phase)
    loss = undivided(*pad(random_features(12, 33)), ["hello", "x"], phase)
    loss.llm.backward()
    named = {name for name, p in undivided.named_parameters() if p.grad is not None}
    assert named == {name for name, _ in undivided.trained(phase)} and float(loss.kl) == 0
    assert {name for name in named if not name.startswith("llm.")} == {
        "layer_weights", "adapter.layers.0.weight", "adapter.layers.0.bias", "adapter.layers.2.weight", "adapter.layers.2.bias",
    }  # fmt: skip
