"""Dropout of LoRA with a mask for each utterance, whatever batch or process it is in."""

from __future__ import annotations

from typing import Any, Sequence

import torch
from torch import Tensor, nn


class UtteranceDropout(nn.Module):
    """Dropout of x (B, N, H): the mask of row i is a function of seeds[i] and of `number` alone.

    A row's first positions have the same mask for every length N of the batch.
    """

    def __init__(self, p: float, number: int) -> None:
        """number: of the module in the model."""
        super().__init__()
        self.p, self.number = p, number
        self.seeds: Tensor | None = None  # (B,), of the batch; None: no dropout

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.seeds is None:
            return x
        _, n, width = x.shape
        seeds = mix(self.seeds.to(x.device) + self.number)
        elements = torch.arange(n * width, device=x.device)
        random = mix(seeds[:, None] + elements * GOLDEN) & MASK_32  # (B, N * H)
        keep = random >= int(self.p * 2**32)
        return x * keep.view_as(x) / (1 - self.p)


MASK_32 = (1 << 32) - 1
GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # constants of SplitMix64, as signed integers
FIRST, SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


def mix(z: Tensor) -> Tensor:
    """The output function of SplitMix64 for 64-bit integers: the same bits on every device.

    Steele, Lea and Flood (2014), https://doi.org/10.1145/2660193.2660195
    """
    z = (z ^ _shifted(z, 30)) * FIRST
    z = (z ^ _shifted(z, 27)) * SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """z >> bits, with zeros from the left."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def use_utterance_masks(llm: Any) -> None:
    """Replace the dropout of every LoRA layer."""
    number = 0
    for module in llm.modules():
        dropouts = getattr(module, "lora_dropout", {})
        for name, dropout in dropouts.items():
            if isinstance(dropout, nn.Dropout):
                dropouts[name] = UtteranceDropout(dropout.p, number)
                number += 1


def set_seeds(model: nn.Module, seeds: Sequence[int]) -> None:
    """Before a forward pass: one seed for each row of the batch."""
    for module in model.modules():
        if isinstance(module, UtteranceDropout):
            module.seeds = torch.tensor(seeds)
