"""Adapter from latents to the LLM's embedding space: Section 3.3, Eq. (3).

S = Linear(ReLU(Linear(DownSample(Z))))
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from serdesc.config import AdapterConfig


class Adapter(nn.Module):
    def __init__(self, latent: int, llm_width: int, config: AdapterConfig) -> None:
        super().__init__()
        self.k = config.k
        self.layers = nn.Sequential(
            nn.Linear(config.k * latent, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, llm_width),
        )

    def tokens(self, frames: Tensor) -> Tensor:
        """U of each utterance (B,): frames // k, at least one."""
        return (frames // self.k).clamp_min(1)

    def forward(self, z: Tensor) -> Tensor:
        # at entry, z is (B, T, K); DownSample: concatenate k frames, drop the rest
        if z.shape[1] < self.k:
            z = functional.pad(z, (0, 0, 0, self.k - z.shape[1]))
        count = z.shape[1] // self.k
        s: Tensor = self.layers(z[:, : count * self.k].reshape(z.shape[0], count, -1))  # (B, U, H)
        return s
