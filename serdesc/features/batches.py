"""Order and padding. B utterances, L layers, T frames, D encoder width."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import torch
from torch import Tensor

from serdesc.data.datadir import Utterance
from serdesc.runtime import seed

BUCKET = 16  # batches that are sorted by length together: little padding, still a different order every epoch


def epoch_batches(
    utterances: Sequence[Utterance], batch_size: int, *order: int | str
) -> list[list[Utterance]]:
    """All utterances in batches of neighbours in length, in an order that depends on `order` (seed, fold, phase, epoch) alone."""
    rng = np.random.default_rng(seed("order", *order))
    shuffled = [utterances[i] for i in rng.permutation(len(utterances))]
    batches = []
    for start in range(0, len(shuffled), BUCKET * batch_size):
        bucket = sorted(
            shuffled[start : start + BUCKET * batch_size], key=lambda utt: utt.seconds or 0.0
        )
        batches += [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def decoding_batches(utterances: Sequence[Utterance], batch_size: int) -> list[list[Utterance]]:
    """Batches of neighbours in length, always the same for the same data."""
    ordered = sorted(utterances, key=lambda utt: (utt.seconds or 0.0, utt.utt_id))
    return [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]


def pad(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """x (B, L, T, D), zero past each utterance's end, and frames (B,)."""
    frames = torch.tensor([x.shape[1] for x in features])
    padded = features[0].new_zeros(
        len(features), features[0].shape[0], int(frames.max()), features[0].shape[2]
    )
    for row, x in enumerate(features):
        padded[row, :, : x.shape[1]] = x
    return padded, frames
