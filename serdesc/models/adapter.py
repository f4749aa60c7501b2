"""Adapter from latents to the LLM's embedding space: Section 3.3, Eq. (3).

S = Linear(ReLU(Linear(DownSample(Z))))
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from serdesc.config import AdapterConfig


def token_count(frames: int, k: int) -> int:
    """U: speech tokens of an utterance of `frames` frames, k of which are joined; at least one."""
    return max(1, frames // k)


class Adapter(nn.Module):
    def __init__(self, latent: int, llm_width: int, config: AdapterConfig) -> None:
        super().__init__()
        self.k = config.k
        self.layers = nn.Sequential(
            nn.Linear(config.k * latent, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, llm_width),
        )

    def forward(self, z: Tensor) -> Tensor:
        # at entry, z is (B, T, K); DownSample: concatenate k frames, drop the rest
        if z.shape[1] < self.k:
            z = functional.pad(z, (0, 0, 0, self.k - z.shape[1]))
        count = z.shape[1] // self.k
        s: Tensor = self.layers(z[:, : count * self.k].reshape(z.shape[0], count, -1))  # (B, U, H)
        return s
