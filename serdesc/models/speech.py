"""The speech tokens of a batch; the mask of its frames, and the noise of its latents.

B utterances, T frames, K latent width, U speech tokens, H LLM width.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import torch
from torch import Tensor


class SpeechTokens(NamedTuple):
    """The speech tokens of a batch."""

    s_con: Tensor  # (B, U, H)
    s_des: Tensor | None  # (B, U, H); None: the model has one group of speech tokens
    kl: Tensor  # sum over the frames of the sampled branches
    latents: dict[str, Tensor] = {}  # as in describer.Loss


def one_of(speech: SpeechTokens, i: int) -> SpeechTokens:
    """The speech tokens of utterance i alone."""
    s_des = None if speech.s_des is None else speech.s_des[i : i + 1]
    return SpeechTokens(speech.s_con[i : i + 1], s_des, speech.kl)


def frame_mask(frames: Tensor, length: int) -> Tensor:
    """(B, T), one at an utterance's frames and zero at padding."""
    return (torch.arange(length, device=frames.device) < frames[:, None]).float()


def noise(latent: int, frames: Sequence[int], seeds: Sequence[int]) -> list[Tensor]:
    """eps (T_i, K) of each utterance from its own seed, independent of batch and padding."""
    eps = []
    for t, utterance_seed in zip(frames, seeds):
        generator = torch.Generator().manual_seed(utterance_seed)
        eps.append(torch.randn(t, latent, generator=generator))
    return eps
