"""Eq. (2): bottleneck and KL."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from serdesc.config import BranchConfig
from serdesc.models.bottleneck import Bottleneck, Latent, reduce_kl


def test_kl_is_torchs() -> None:
    mu, sigma = torch.randn(2, 5, 7), torch.rand(2, 5, 7) + 0.1
    normal = torch.distributions.Normal
    wanted = torch.distributions.kl_divergence(normal(mu, sigma), normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(Latent(mu, sigma).kl().sum(-1), wanted)
    assert float(Latent(torch.zeros(1, 1, 4), torch.ones(1, 1, 4)).kl().sum()) == 0


def test_bottleneck_by_hand() -> None:
    bottleneck = Bottleneck(2, 2, BranchConfig(latent=1))
    x = torch.tensor([[[[1.0, 2.0]], [[3.0, -4.0]]]])  # (1, 2, 1, 2)
    with torch.no_grad():
        bottleneck.layer_weights.copy_(torch.tensor([0.0, np.log(3.0)]))  # softmax: 1/4, 3/4
        for layer in (bottleneck.encoder[0], bottleneck.encoder[2]):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        bottleneck.mu.weight.copy_(torch.tensor([[1.0, 1.0]]))
        bottleneck.sigma.weight.copy_(torch.tensor([[0.5, 0.0]]))
        bottleneck.mu.bias.zero_()
        bottleneck.sigma.bias.zero_()
    h = torch.nn.functional.gelu(
        torch.nn.functional.gelu(torch.tensor([2.5, -2.5]))
    )  # 1/4 * (1, 2) + 3/4 * (3, -4)
    latent = bottleneck(x)
    assert float(latent.mu) == pytest.approx(float(h.sum()))
    assert float(latent.sigma) == pytest.approx(float(np.log1p(np.exp(0.5 * float(h[0])))))
    assert float(latent.sample(torch.full((1, 1, 1), 2.0))) == pytest.approx(
        float(latent.mu + 2 * latent.sigma)
    )
    variance = Bottleneck(2, 2, BranchConfig(latent=1, sigma="softplus_var"))
    variance.load_state_dict(bottleneck.state_dict())
    assert float(variance(x).sigma) ** 2 == pytest.approx(float(latent.sigma))


def test_layer_norm_before_the_sum_makes_the_scale_of_a_layer_irrelevant() -> None:
    x = torch.randn(1, 2, 5, 8)
    louder = x * torch.tensor([1.0, 50.0])[None, :, None, None]
    plain, normed = Bottleneck(2, 8, BranchConfig(latent=3)), Bottleneck(
        2, 8, BranchConfig(latent=3, layer_norm=True)
    )
    torch.testing.assert_close(normed(x).mu, normed(louder).mu, atol=1e-4, rtol=1e-4)
    assert (plain(x).mu - plain(louder).mu).abs().max() > 0.1


def test_the_mean_over_k_divides_beta_by_k() -> None:
    kl = Latent(torch.randn(2, 5, 7), torch.rand(2, 5, 7) + 0.1).kl()
    torch.testing.assert_close(reduce_kl(kl, "mean") * 7, reduce_kl(kl, "sum"))
    torch.testing.assert_close(reduce_kl(kl, "sum"), kl.sum(-1))
