"""Variational information bottleneck over all encoder layers: Section 3.2, Eq. (2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from serdesc.config import BranchConfig

# A latent dimension is active if its mean varies over the frames with more than this variance
# (Burda et al., "Importance weighted autoencoders", https://arxiv.org/abs/1509.00519).
ACTIVE_VARIANCE = 0.01


class Latent(NamedTuple):
    """The posterior p(z|x) = N(mu, sigma^2) of every frame: mu and sigma (B, T, K)."""

    mu: Tensor
    sigma: Tensor

    def sample(self, eps: Tensor) -> Tensor:
        """z = mu + sigma * eps (B, T, K), eps ~ N(0, I)."""
        return self.mu + self.sigma * eps

    def kl(self) -> Tensor:
        """KL(p(z|x), N(0, I)) of every frame and latent dimension (B, T, K)."""
        return 0.5 * (self.mu.square() + self.sigma.square() - 1 - 2 * self.sigma.log())


def reduce_kl(kl: Tensor, over_k: str) -> Tensor:
    """The KL of every frame (B, T), the sum or the mean over K (training.kl)."""
    return kl.sum(-1) / kl.shape[-1] if over_k == "mean" else kl.sum(-1)


def latent_use(means: Tensor) -> Tensor:
    """KL per frame and dimension, and active dimensions (2,), from means over frames (3, K) of KL,
    mu and mu^2.
    """
    kl, mu, mu_squared = means
    active = (mu_squared - mu.square() > ACTIVE_VARIANCE).sum()
    return torch.stack([kl.mean(), active.to(kl)])


def weighted_sum(x: Tensor, layer_weights: Tensor, layer_norm: bool) -> Tensor:
    """x (B, L, T, D) -> (B, T, D), weights by softmax; layer_norm normalises each layer first."""
    assert x.ndim == 4 and x.shape[1] == len(layer_weights), (x.shape, len(layer_weights))
    if layer_norm:
        x = functional.layer_norm(x, x.shape[-1:])
    return torch.einsum("l,bltd->btd", layer_weights.softmax(0), x)


class Bottleneck(nn.Module):
    def __init__(self, layers: int, width: int, config: BranchConfig) -> None:
        super().__init__()
        hidden = config.hidden or width
        self.config = config
        self.layer_weights = nn.Parameter(torch.zeros(layers))
        self.encoder = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()
        )
        self.mu = nn.Linear(hidden, config.latent)
        self.sigma = nn.Linear(hidden, config.latent)

    def forward(self, x: Tensor) -> Latent:
        # at entry, x is (B, L, T, D)
        h = self.encoder(weighted_sum(x, self.layer_weights, self.config.layer_norm))
        sigma = functional.softplus(self.sigma(h))
        if self.config.sigma == "softplus_var":  # the method's ancestor: softplus gives sigma^2
            sigma = sigma.sqrt()
        return Latent(self.mu(h), sigma.clamp_min(1e-6))  # the floor keeps log(sigma) finite
