"""Models without weights, built on the meta device.

Their configuration comes from the model's directory, the local cache, shapes.yaml or the hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Sequence

import torch
from torch import nn

from serdesc import models
from serdesc.builtin import resolve
from serdesc.config import Config, EncoderConfig
from serdesc.errors import UserError
from serdesc.features.encoder import Encoder
from serdesc.features.pretrained import load_pretrained
from serdesc.models import llm as llms
from serdesc.models.describer import TRAINED, Describer
from serdesc.runtime import DTYPES

TABLE = Path(__file__).with_name("shapes.yaml")
META = torch.device("meta")


class ModelShape(NamedTuple):
    config: Any  # transformers' configuration
    source: str  # where it was found


class Part(NamedTuple):
    """A part of the model with its exact number of parameters."""

    name: str
    parameters: int
    trained: bool
    bytes: int


def table() -> dict[str, dict[str, Any]]:
    """Model -> arguments of its configuration, for models that are not on this machine."""
    import yaml

    rows: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return rows


def shape(model: str) -> ModelShape:
    """The configuration of a model; the hub is queried last, so a plan rarely needs a network.

    Raises UserError if the model is not found.
    """
    from transformers import AutoConfig

    if Path(resolve(model)).is_dir():
        return ModelShape(load_pretrained(AutoConfig, model), "its directory")
    try:
        config = AutoConfig.from_pretrained(model, local_files_only=True)
        return ModelShape(config, "the local cache")
    except (OSError, ValueError):
        known = table()
        if model in known:
            return ModelShape(AutoConfig.for_model(**known[model]), "the built-in table")
    try:
        return ModelShape(load_pretrained(AutoConfig, model), "the hub")
    except UserError as error:
        raise UserError(
            f"{error}\n  Or plan with a model of the built-in table: {', '.join(known)}"
        ) from error


def encoder(config: EncoderConfig) -> tuple[Encoder, str]:
    """The encoder on the meta device, for frames, layers and width; and the source of its shape."""
    configuration, source = shape(config.model)
    return Encoder.without_weights(configuration, config, META), source


def llm(config: Config, **changed: int) -> tuple[nn.Module, str]:
    """The LLM with LoRA on torch's default device; `changed`: settings of its shape."""
    from transformers import AutoModelForCausalLM

    configuration, source = shape(config.llm.model)
    for name, value in changed.items():
        setattr(configuration, name, value)
    model = AutoModelForCausalLM.from_config(configuration, dtype=DTYPES[config.llm.dtype])
    return llms.with_lora(model, config.llm), source


def describer(
    config: Config, layers: int, width: int, tokenizer: Any, **changed: int
) -> tuple[Describer, str]:
    """The whole model on the meta device, and the source of its LLM's shape."""
    with META:
        model, source = llm(config, **changed)
        return models.model_class(config)(model, tokenizer, layers, width, config), source


def parts(encoder: Encoder, model: Describer) -> list[Part]:
    """The encoder, the LLM, LoRA, and the bottleneck and adapter of each branch."""
    lora = [p for _, p in llms.lora_parameters(model.llm)]
    lora_ids = {id(p) for p in lora}
    frozen = [p for p in model.llm.parameters() if id(p) not in lora_ids]
    rows = [
        ("encoder", list(encoder.model.parameters()), False),
        ("LLM", frozen, False),
        ("LoRA", lora, model.config.training.lora),
    ]
    branches: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if name.startswith("llm."):
            continue
        first, second, *_ = name.split(".") + [""]
        part = f"{first} {second}" if first in TRAINED["joint"] else first.replace("_", " ")
        branches.setdefault(part, []).append(parameter)
    rows += [(name, parameters, True) for name, parameters in branches.items()]
    return [_part(*row) for row in rows]


def _part(name: str, parameters: Sequence[nn.Parameter], trained: bool) -> Part:
    count = sum(p.numel() for p in parameters)
    return Part(name, count, trained, sum(p.nbytes for p in parameters))
