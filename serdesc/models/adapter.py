"""Adapter from latents to the LLM's embedding space: Section 3.3, Eq. (3).

S = Linear(ReLU(Linear(DownSample(Z))))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from serdesc.config import AdapterConfig


def token_count(frames: int, k: int) -> int:
    """U: speech tokens of an utterance of `frames` frames, k of which are joined; at least one."""
    return max(1, frames // k)


class Adapter(nn.Module):
    """slots: DownSample gives each token the mean of z over the utterance and the token's number
    modulo slots, so that it says one thing of the whole utterance (not in the paper).
    """

    def __init__(self, latent: int, llm_width: int, config: AdapterConfig, slots: int = 0) -> None:
        super().__init__()
        self.k, self.slots = config.k, slots
        self.layers = nn.Sequential(
            nn.Linear(latent + slots if slots else config.k * latent, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, llm_width),
        )

    def forward(self, z: Tensor, mask: Tensor) -> Tensor:
        """S (B, U, H) of z (B, T, K); mask (B, T): 0 for padding frames, whose z has no effect."""
        z = z * mask[..., None]
        s: Tensor = self.layers(self._of_all(z, mask) if self.slots else self._of_each(z))
        return s

    def _of_each(self, z: Tensor) -> Tensor:
        """DownSample: concatenates k frames, drops the rest: (B, U, k * K)."""
        if z.shape[1] < self.k:
            z = functional.pad(z, (0, 0, 0, self.k - z.shape[1]))
        count = z.shape[1] // self.k
        return z[:, : count * self.k].reshape(z.shape[0], count, -1)

    def _of_all(self, z: Tensor, mask: Tensor) -> Tensor:
        """Mean over the utterance, and number of the token: (B, U, K + slots)."""
        count = token_count(z.shape[1], self.k)
        mean = z.sum(1) / mask.sum(1)[:, None]  # (B, K)
        slot = torch.eye(self.slots).to(z)[torch.arange(count) % self.slots]  # (U, slots)
        return torch.cat([mean[:, None].expand(-1, count, -1), slot.expand(len(z), -1, -1)], -1)
