"""Checkpoints: PEFT opens them, damaged or foreign ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.training import Lab

from serdesc.errors import UserError
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.models import checkpoint
from serdesc.training import trainer

CPU = torch.device("cpu")


def test_lora_opens_with_peft(lab: Lab, tiny_llm: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    exp = lab.train("peft")
    assert all(
        path.stat().st_mode & 0o044 == 0o044 for path in (exp / "checkpoint").rglob("*.safetensors")
    )  # clusters are shared
    theirs = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_llm), exp / "checkpoint" / "lora"
    )
    ours, _ = checkpoint.load_model(exp, lab.features, CPU)
    assert (
        json.loads((exp / "checkpoint" / "lora" / "adapter_config.json").read_text())[
            "base_model_name_or_path"
        ]
        == lab.config.llm.model
    )
    ids = torch.arange(10)[None]
    torch.testing.assert_close(theirs(ids).logits, ours.llm.eval()(ids).logits)


def test_a_damaged_checkpoint_is_refused(lab: Lab) -> None:
    exp = lab.train("exp")
    path = exp / "checkpoint" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match="model.safetensors: missing, cut off or changed"):
        checkpoint.load_model(exp, lab.features, CPU)


def test_another_configuration_or_model_is_refused(lab: Lab) -> None:
    exp = lab.train("exp")
    with pytest.raises(UserError, match="another configuration.*--tag"):
        lab.train("exp", "training.beta=1")
    other = lab.configured("branch.latent=6", f"training.init={exp}")
    with pytest.raises(UserError, match="made for another model: content.adapter.layers.0.weight"):
        trainer.train(lab.train_part, lab.features, other, lab.folder / "other" / "fold1", 1, CPU)


def test_features_of_another_encoder_are_refused(lab: Lab) -> None:
    exp = lab.train("exp")
    encoder = Encoder.load(lab.config.encoder, CPU)
    checkpoint.load_model(exp, stores.Live(encoder), CPU)  # the store's own encoder, live
    torch.nn.init.normal_(encoder.model.encoder.layers[0].attention.k_proj.weight)
    with pytest.raises(UserError, match="trained on features of .*weights"):
        checkpoint.load_model(exp, stores.Live(encoder), CPU)
