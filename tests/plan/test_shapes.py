"""Parameters."""

from __future__ import annotations

import pytest
import torch
from helpers.plan import built
from torch import nn

from serdesc import config as configs
from serdesc import models
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.models import llm as llms
from serdesc.plan import shapes

CPU = torch.device("cpu")


MINI = [
    "encoder.model=hubert-mini",
    "llm.model=llama-mini",
    "llm.dtype=float32",
    "device=cpu",
    "adapter.hidden=256",
    "llm.lora.dropout=0",
]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.slow
def test_parameters_are_those_of_the_models_that_are_built() -> None:
    config = configs.load(settings=MINI)
    real = Encoder.load(config.encoder, CPU)
    model = models.initialise(config, stores.Live(real), CPU)
    told = {part.name: part for part in shapes.parts(*built(config))}
    assert told["encoder"].parameters == count(real.model)
    assert told["LLM"].parameters + told["LoRA"].parameters == count(model.llm)
    assert told["LoRA"].parameters == sum(p.numel() for _, p in llms.lora_parameters(model.llm))
    for name in ("content", "descriptor"):
        assert told[f"{name} bottleneck"].parameters == count(model.branch(name).bottleneck)
        assert told[f"{name} adapter"].parameters == count(model.branch(name).adapter)
    assert sum(part.bytes for part in told.values()) == sum(
        p.nbytes for m in (real.model, model) for p in m.parameters()
    )


def test_parameters_of_the_papers_system() -> None:
    told = {part.name: (part.parameters, part.trained) for part in shapes.parts(*built(Config()))}
    assert told == {
        "encoder": (315_438_720, False), "LLM": (8_030_261_248, False), "LoRA": (3_407_872, True),
        "content bottleneck": (2_361_600 + 24, True), "content adapter": (9_705_472, True),
        "descriptor bottleneck": (2_361_600 + 24, True), "descriptor adapter": (9_705_472, True),
    }  # fmt: skip


PUBLISHED = {  # as the model cards say, in millions
    "facebook/hubert-large-ls960-ft": 315.4, "facebook/hubert-large-ll60k": 315.4, "facebook/hubert-base-ls960": 94.4,
    "microsoft/wavlm-large": 315.5, "microsoft/wavlm-base-plus": 94.4, "facebook/wav2vec2-large": 315.4, "facebook/wav2vec2-large-960h": 315.4,
    "meta-llama/Llama-3.1-8B-Instruct": 8030.3, "meta-llama/Llama-3.2-3B-Instruct": 3212.7, "meta-llama/Llama-3.2-1B-Instruct": 1235.8,
    "Qwen/Qwen2.5-0.5B-Instruct": 494.0, "Qwen/Qwen2.5-1.5B-Instruct": 1543.7, "Qwen/Qwen2.5-3B-Instruct": 3085.9,
    "Qwen/Qwen2.5-7B-Instruct": 7615.6, "HuggingFaceTB/SmolLM2-135M-Instruct": 134.5,
    "openai/whisper-tiny": 37.8, "openai/whisper-base": 72.6, "openai/whisper-small": 241.7, "openai/whisper-medium": 763.9,
    "openai/whisper-large-v2": 1543.3, "openai/whisper-large-v3": 1543.5, "openai/whisper-large-v3-turbo": 808.9,
}  # fmt: skip


def test_every_line_of_the_table_has_its_published_size() -> None:
    from transformers import AutoModel, AutoModelForCausalLM

    assert PUBLISHED.keys() == shapes.table().keys()
    for name, millions in PUBLISHED.items():
        found, source = shapes.shape(name)
        with shapes.META:
            model = (
                AutoModelForCausalLM if found.model_type in ("llama", "qwen2") else AutoModel
            ).from_config(found)
        assert round(count(model) / 1e6, 1) == millions, name
        assert source in ("the built-in table", "the local cache")


def test_a_model_that_nobody_knows_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UserError, match="HF_HUB_OFFLINE=1(.|\n)*microsoft/wavlm-large"):
        shapes.shape("nobody/no-such-model")
