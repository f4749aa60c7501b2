"""Features computed when they are loaded; a store on disk has the same interface (store.py)."""

from __future__ import annotations

from typing import Any, Protocol, Sequence

import numpy as np
from torch import Tensor

from serdesc.config import EncoderConfig
from serdesc.data import audio
from serdesc.data.datadir import Utterance
from serdesc.features.encoder import Encoder

FRAME = audio.SAMPLE_RATE // 50  # samples from one frame to the next


class Features(Protocol):
    """A source of features."""

    layers: int  # L
    width: int  # D
    made_by: dict[str, Any]  # the encoder's identity
    precision: str  # the store's dtype, or "live"
    rejected: dict[str, str]  # utterance -> reason; live features find out when they are loaded

    def load(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """x (L, T, D) of each utterance, float32 on the CPU. Raises AudioError."""
        ...


class Live:
    """Features computed when they are loaded."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.layers, self.width = encoder, encoder.layers, encoder.width
        self.made_by = encoder.identity()
        self.rejected: dict[str, str] = {}
        self.precision = "live"

    def load(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        return encode(self.encoder, [load_wave(utt, self.encoder) for utt in utterances])


def load_wave(utt: Utterance, encoder: Encoder) -> np.ndarray:
    return utt.load_audio(encoder.config.max_seconds)


def first_frame(wave: np.ndarray, encoder: EncoderConfig) -> int:
    """Frames (50 a second) of a recording before those that are encoded."""
    return audio.speech_bounds(wave)[0] // FRAME if encoder.trim else 0


def encode(encoder: Encoder, waves: list[np.ndarray]) -> list[Tensor]:
    """x (L, T, D) of each wave, in order; waves of similar length share a batch."""
    if encoder.config.trim:
        waves = [wave[slice(*audio.speech_bounds(wave))] for wave in waves]
    features: dict[int, Tensor] = {}
    for batch in batch_by_length([len(wave) for wave in waves], encoder):
        features.update(zip(batch, encoder([waves[i] for i in batch])))
    return [features[i] for i in range(len(waves))]


def batch_by_length(samples: Sequence[int], encoder: Encoder) -> list[list[int]]:
    """Indices in batches of at most encoder.batch_seconds of audio, padding included."""
    limit = 0.0
    if encoder.batchable:
        limit = encoder.config.batch_seconds * audio.SAMPLE_RATE
    batches: list[list[int]] = []
    for i in sorted(range(len(samples)), key=lambda i: (samples[i], i)):
        if batches and samples[i] * (len(batches[-1]) + 1) <= limit:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
