"""How much the voice moves: standard deviation of F0 over the voiced frames (pyin), in semitones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serdesc.captions.traits import Trait

if TYPE_CHECKING:
    import numpy as np

LEAST_FRAMES = 10  # fewer voiced frames (0.3 s) say nothing about a melody


def measure(wave: np.ndarray) -> float | None:
    import librosa
    import numpy as np

    f0, voiced, _ = librosa.pyin(wave, fmin=60, fmax=500, sr=16_000)
    return float(np.std(12 * np.log2(f0[voiced]))) if voiced.sum() >= LEAST_FRAMES else None


TRAIT = Trait(
    values=("monotonous", "plain", "lively"),
    phrases={
        "monotonous": ("with a monotonous melody", "with hardly any melody"),
        "plain": ("with a plain melody",),
        "lively": ("with a lively melody", "with much melody"),
    },
    measure=measure,
)
