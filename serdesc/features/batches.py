"""Batch order and padding. B utterances, L layers, T frames, D encoder width."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import torch
from torch import Tensor

from serdesc.data.datadir import Utterance
from serdesc.runtime import seed

BUCKET = 16  # batches sorted by length together: little padding, and a new order in every epoch


def epoch_batches(
    utterances: Sequence[Utterance], batch_size: int, *order: int | str
) -> list[list[Utterance]]:
    """All utterances in shuffled batches of similar length.

    The order depends on `order` (seed, fold, phase, epoch) alone.
    """
    rng = np.random.default_rng(seed("order", *order))
    shuffled = [utterances[i] for i in rng.permutation(len(utterances))]
    batches: list[list[Utterance]] = []
    for start in range(0, len(shuffled), BUCKET * batch_size):
        bucket = shuffled[start : start + BUCKET * batch_size]
        bucket.sort(key=lambda utt: utt.seconds or 0.0)
        batches += split_batches(bucket, batch_size)
    return [batches[i] for i in rng.permutation(len(batches))]


def decoding_batches(utterances: Sequence[Utterance], batch_size: int) -> list[list[Utterance]]:
    """Batches of similar length; the same batches for the same data."""
    return split_batches(
        sorted(utterances, key=lambda utt: (utt.seconds or 0.0, utt.utt_id)), batch_size
    )


def split_batches(ordered: list[Utterance], batch_size: int) -> list[list[Utterance]]:
    """Consecutive batches; the last one may be smaller."""
    return [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]


def micro_batches(examples: int, parts: int, neighbours: bool) -> list[slice]:
    """At most `parts` slices of near-equal length, none empty; of neighbours, or of every n-th."""
    parts = min(parts, examples)
    if not neighbours:
        return [slice(i, None, parts) for i in range(parts)]
    return [slice(i * examples // parts, (i + 1) * examples // parts) for i in range(parts)]


def pad(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Collate x (L, T_i, D): x (B, L, T, D), zero after each utterance's end, and T_i (B,)."""
    frames = torch.tensor([x.shape[1] for x in features])
    layers, _, width = features[0].shape
    padded = features[0].new_zeros(len(features), layers, int(frames.max()), width)
    for row, x in enumerate(features):
        padded[row, :, : x.shape[1]] = x
    return padded, frames
