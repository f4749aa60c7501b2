"""Eq. (3): adapter."""

from __future__ import annotations

import torch

from serdesc.config import AdapterConfig
from serdesc.models.adapter import Adapter, token_count


def test_adapter_puts_k_frames_side_by_side_and_drops_the_tail() -> None:
    adapter = Adapter(2, 4, AdapterConfig(k=3, hidden=5))
    z = torch.arange(16.0).reshape(1, 8, 2)
    s = adapter(z, torch.ones(1, 8))
    assert s.shape == (1, 2, 4)
    torch.testing.assert_close(s[0, 1], adapter.layers(torch.arange(6.0, 12.0)))
    assert [token_count(frames, 3) for frames in (8, 6, 5, 2)] == [2, 2, 1, 1]
    torch.testing.assert_close(
        adapter(z[:, :2], torch.ones(1, 2))[0, 0],
        adapter.layers(torch.tensor([0.0, 1, 2, 3, 0, 0])),
    )


def test_with_slots_a_token_has_the_mean_without_padding_and_its_number() -> None:
    adapter = Adapter(2, 4, AdapterConfig(k=2, hidden=5), slots=3)
    z = torch.arange(16.0).reshape(1, 8, 2)
    s = adapter(z, torch.ones(1, 8))
    means = torch.tensor([7.0, 8.0])  # of 0, 2, ..., 14 and of 1, 3, ..., 15
    for u, slot in enumerate(([1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0])):
        expected = adapter.layers(torch.cat([means, torch.tensor(slot)]))
        torch.testing.assert_close(s[0, u], expected)
    padded = torch.cat([z, torch.full((1, 4, 2), 9.0)], 1)
    mask = (torch.arange(12) < 8).float()[None]
    torch.testing.assert_close(adapter(padded, mask)[:, :4], s)
