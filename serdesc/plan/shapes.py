"""Models without their weights: the shape from the model's folder, the local cache, shapes.yaml or the hub; built on the meta device."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from serdesc import models
from serdesc.builtin import resolve
from serdesc.config import Config, EncoderConfig
from serdesc.errors import UserError
from serdesc.features.encoder import Encoder, load_pretrained
from serdesc.models import llm as llms
from serdesc.models.describer import TRAINED, Describer
from serdesc.runtime import DTYPES

TABLE = Path(__file__).with_name("shapes.yaml")
META = torch.device("meta")


class Shape(NamedTuple):
    config: Any  # transformers' configuration
    source: str  # where it was found


class Part(NamedTuple):
    """A part of the model with its exact number of parameters."""

    name: str
    parameters: int
    trained: bool
    bytes: int


def table() -> dict[str, dict[str, Any]]:
    import yaml

    rows: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return rows


def shape(model: str) -> Shape:
    """Files of this machine are asked first, the hub last: a plan needs no network for a model of the table."""
    from transformers import AutoConfig

    if Path(resolve(model)).is_dir():
        return Shape(load_pretrained(AutoConfig, model), "its folder")
    try:
        return Shape(AutoConfig.from_pretrained(model, local_files_only=True), "the local cache")
    except (OSError, ValueError):
        if model in (known := table()):
            return Shape(AutoConfig.for_model(**known[model]), "the built-in table")
    try:
        return Shape(load_pretrained(AutoConfig, model), "the hub")
    except UserError as error:
        raise UserError(
            f"{error}\n  Or plan with a model of the built-in table: {', '.join(known)}"
        ) from error


def encoder(config: EncoderConfig) -> tuple[Encoder, str]:
    """The encoder on the meta device: it knows its frames, layers and width, and hears nothing."""
    from transformers import AutoModel

    found = shape(config.model)
    with META:
        return Encoder(AutoModel.from_config(found.config), None, config, META), found.source


def llm(config: Config, **changed: int) -> tuple[nn.Module, str]:
    """The LLM with LoRA, its weights drawn on torch's default device; `changed` are arguments of its shape."""
    from transformers import AutoModelForCausalLM

    found = shape(config.llm.model)
    for name, value in changed.items():
        setattr(found.config, name, value)
    return (
        llms.with_lora(
            AutoModelForCausalLM.from_config(found.config, dtype=DTYPES[config.llm.dtype]),
            config.llm,
        ),
        found.source,
    )


def describer(
    config: Config, layers: int, width: int, tokenizer: Any, **changed: int
) -> tuple[Describer, str]:
    with META:
        model, source = llm(config, **changed)
        return models.model_class(config)(model, tokenizer, layers, width, config), source


def parts(heard: Encoder, model: Describer) -> list[Part]:
    """The encoder, the LLM, LoRA, and what stands between: each branch's bottleneck and adapter."""
    lora = [p for _, p in llms.lora_parameters(model.llm)]
    own = {id(p) for p in lora}
    rest = [p for p in model.llm.parameters() if id(p) not in own]
    rows = [
        ("encoder", list(heard.model.parameters()), False),
        ("LLM", rest, False),
        ("LoRA", lora, model.config.training.lora),
    ]
    between: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not name.startswith("llm."):
            first, second, *_ = name.split(".") + [""]
            between.setdefault(
                f"{first} {second}" if first in TRAINED["joint"] else first.replace("_", " "), []
            ).append(parameter)
    rows += [(name, between[name], True) for name in between]
    return [
        Part(name, sum(p.numel() for p in ps), trained, sum(p.nbytes for p in ps))
        for name, ps, trained in rows
    ]
