"""training.sharding: full. Each process has a part of the LLM's frozen decoder layers.

The layers are gathered one at a time, forward and backward. Embeddings, head, branches and LoRA are
whole in each process: the model calls the first two apart from the layers, and the trained
parameters have an all-reduce of their own.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from serdesc.config import Config
from serdesc.models import Model
from serdesc.models import llm as llms


def shard(model: Model, config: Config, device: torch.device) -> None:
    """Divide the decoder layers over the processes; nothing with one process or without an LLM."""
    if not is_sharded(model, config):
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for layer in decoder_layers(model):
        lora = {parameter for _, parameter in llms.lora_parameters(layer)}
        fully_shard(layer, mesh=mesh, ignored_params=lora)


def is_sharded(model: Model, config: Config) -> bool:
    several = dist.is_initialized() and dist.get_world_size() > 1
    return config.training.sharding == "full" and several and model.llm is not None


def decoder_layers(model: Any) -> list[torch.nn.Module]:
    return list(model.llm.get_base_model().model.layers)


def take_part(model: Any) -> None:
    """Gather the layers forward and backward with the other processes; without an effect.

    For a process that has no utterance in a micro-batch of the others.
    """
    base = model.llm.get_base_model()
    position: Tensor = torch.zeros(
        1, 1, model.llm_width, device=model.device, dtype=base.dtype, requires_grad=True
    )
    hidden = base.model(inputs_embeds=position, use_cache=False).last_hidden_state
    (hidden.sum() * 0).backward()
