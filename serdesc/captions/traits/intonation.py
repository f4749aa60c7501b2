"""Intonation: where the F0 (pyin) goes in the last voiced stretch, else how much it moves at all.

rising, falling   the last third of the stretch is MOVE semitones above, below its first third
flat, varied      otherwise: the F0 of the whole recording spans less than FLAT semitones (5th
                  to 95th percentile), or more
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from serdesc.captions.traits import Trait

if TYPE_CHECKING:
    import numpy as np

VOICED_SECONDS = 0.3  # less voiced speech has no intonation
GAP, LONGEST, SHORTEST = 0.12, 0.8, 0.1  # seconds: unvoiced inside a stretch; length of a stretch
MOVE, FLAT = 2.0, 5.0  # semitones


def measure(wave: np.ndarray) -> str | None:
    """The intonation of (S,) samples at 16 kHz; None if too little is voiced."""
    import numpy as np

    from serdesc import f0

    found = f0.track(wave, "pyin", 0.0)
    frames = np.flatnonzero(found.voiced)
    if len(frames) * found.hop < VOICED_SECONDS:
        return None
    semitones = 12 * np.log2(found.f0[frames])
    stretches = np.split(np.arange(len(frames)), _ends(frames, found.hop))
    long = [stretch for stretch in stretches if len(stretch) * found.hop >= SHORTEST]
    if long:
        last = long[-1][-int(LONGEST / found.hop) :]
        third = max(1, len(last) // 3)
        move = np.median(semitones[last[-third:]]) - np.median(semitones[last[:third]])
        if abs(move) >= MOVE:
            return "rising" if move > 0 else "falling"
    low, high = np.percentile(semitones, [5, 95])
    return "flat" if high - low < FLAT else "varied"


def _ends(frames: np.ndarray, hop: float) -> np.ndarray:
    """Indices into the voiced frames at which another stretch begins."""
    import numpy as np

    return np.flatnonzero((np.diff(frames) - 1) * hop > GAP) + 1


TRAIT = Trait(
    values=("rising", "falling", "flat", "varied"),
    ordered=False,
    phrases={
        "rising": ("with a rising intonation", "with an intonation that rises at the end"),
        "falling": ("with a falling intonation", "with an intonation that falls at the end"),
        "flat": ("with a flat intonation", "with an intonation that hardly moves"),
        "varied": ("with a varied intonation", "with an intonation that goes up and down"),
    },
    measure=measure,
)
