"""x (B, L, T, D) -> z (B, T, K) -> s (B, U, H) -> caption. U = T // k speech tokens, H the LLM's width, M text tokens."""

from __future__ import annotations

import torch

from serdesc.config import Config
from serdesc.features.store import Features
from serdesc.models import llm as llms
from serdesc.models.describer import Describer
from serdesc.models.ssl_baseline import SslBaseline
from serdesc.models.undivided import Undivided
from serdesc.runtime import seed

Model = Describer | SslBaseline  # what is trained, decoded and kept alike


def build(config: Config, layers: int, width: int, device: torch.device | None = None) -> Model:
    """The model of a configuration for features of so many layers and such width. An LLM in fewer bits is loaded onto `device` at once."""
    if config.model == "ssl_baseline":
        return SslBaseline(layers, width, config)
    llm, tokenizer = llms.load(config.llm, device)
    return kind(config)(llm, tokenizer, layers, width, config)


def kind(config: Config) -> type[Describer]:
    """The kind of model that a configuration with an LLM asks for."""
    return Undivided if config.model == "undivided" else Describer


def initialise(config: Config, features: Features, device: torch.device) -> Model:
    """A new model for these features on `device`; branches and LoRA are drawn from the configured seed."""
    torch.manual_seed(seed(config.seed, "init"))
    return build(config, features.layers, features.width, device).to(device)
