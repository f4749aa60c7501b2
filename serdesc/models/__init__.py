"""Models: x (B, L, T, D) -> z (B, T, K) -> s (B, U, H) -> caption."""

from __future__ import annotations

from typing import Callable

import torch

from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.features.live import Features
from serdesc.models import llm as llms
from serdesc.models.describer import Describer
from serdesc.models.ssl_baseline import SslBaseline
from serdesc.models.undivided import Undivided
from serdesc.runtime import seed

Model = Describer | SslBaseline  # one interface for training, decoding and checkpoints


def build(config: Config, layers: int, width: int, device: torch.device | None = None) -> Model:
    """The configured model for features of L layers and width D.

    The LLM is loaded onto `device`; everything else is on the CPU.
    """
    if config.model == "ssl_baseline":
        return SslBaseline(layers, width, config)
    llm, tokenizer = llms.load(config.llm, device)
    return model_class(config)(llm, tokenizer, layers, width, config)


def model_class(config: Config) -> type[Describer]:
    """The class of a configured model with an LLM."""
    return Undivided if config.model == "undivided" else Describer


def initialise(
    config: Config,
    features: Features,
    device: torch.device,
    shard: Callable[[Model, Config, torch.device], None] | None = None,
) -> Model:
    """A new model on `device`; branches and LoRA are initialised with the configured seed.

    shard: divides it over processes before it is on the device.
    """
    torch.manual_seed(seed(config.seed, "init"))
    loaded_on = device
    if shard is not None and config.training.sharding == "full":  # the LLM may exceed one card
        if (bits := config.llm.quantization) != "none":
            raise UserError(
                f"training.sharding: 'full', with llm.quantization '{bits}': set one of the two to"
                " none"
            )
        loaded_on = torch.device("cpu")
    model = build(config, features.layers, features.width, loaded_on)
    if shard is not None:
        shard(model, config, device)
    return model.to(device)
