"""Variation of F0: its standard deviation over the voiced frames (pyin), in semitones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serdesc.captions.traits import Trait

if TYPE_CHECKING:
    import numpy as np

MIN_FRAMES = 10  # voiced frames (0.3 s)


def measure(wave: np.ndarray) -> float | None:
    """Semitones; None if (S,) samples at 16 kHz have fewer than MIN_FRAMES voiced frames."""
    import librosa
    import numpy as np

    f0, voiced, _ = librosa.pyin(wave, fmin=60, fmax=500, sr=16_000)  # (frames,) each
    if voiced.sum() < MIN_FRAMES:
        return None
    return float(np.std(12 * np.log2(f0[voiced])))


TRAIT = Trait(
    values=("monotonous", "plain", "lively"),
    phrases={
        "monotonous": ("with a monotonous melody", "with hardly any melody"),
        "plain": ("with a plain melody",),
        "lively": ("with a lively melody", "with much melody"),
    },
    measure=measure,
)
