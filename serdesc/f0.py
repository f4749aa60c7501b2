"""Fundamental frequency by three trackers: labels use pyin, and what checks them another one.

pyin   probabilistic YIN (Mauch and Dixon, ICASSP 2014) in librosa, with a probability a frame
praat  autocorrelation (Boersma, 1993) in Praat; extra `praat`, wheels for all platforms
world  DIO with StoneMask (Morise et al., 2009) in WORLD; extra `world`, which needs a compiler
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable, Literal, NamedTuple

import numpy as np

from serdesc.plugins import installed

SAMPLE_RATE = 16_000
Tracker = Literal["pyin", "praat", "world"]
FLOOR, CEILING = 60.0, 600.0  # Hz
WINDOW, HOP = 1024, 256  # samples, of pyin: 64 and 16 ms
HOP_SECONDS = 0.01  # of the other trackers
RESOLUTION = 0.2  # semitones, of pyin: a third of the time of its default, with the same medians
CONFIDENCE = 0.011  # pyin gives 0.01 to a frame without any periodic candidate
VOICED_SECONDS = 0.2  # less voiced speech has no median


class Track(NamedTuple):
    """F0 of each frame in Hz (frames,), NaN where unvoiced, and the seconds between frames."""

    f0: np.ndarray
    hop: float

    @property
    def voiced(self) -> np.ndarray:
        """(frames,) whether a frame has an F0."""
        return np.asarray(~np.isnan(self.f0))


def track(wave: np.ndarray, tracker: Tracker = "pyin", confidence: float = CONFIDENCE) -> Track:
    """F0 of (S,) samples at 16 kHz; frames below the confidence (pyin's probability) are unvoiced.

    Raises UserError if the tracker is not installed.
    """
    if len(wave) < WINDOW:
        return Track(np.full(0, np.nan), HOP_SECONDS)
    return TRACKERS[tracker](wave, confidence)


def median(found: Track, voiced_seconds: float = VOICED_SECONDS) -> float | None:
    """Median F0 of the voiced frames, Hz; None if fewer seconds are voiced."""
    voiced = found.f0[found.voiced]
    if not len(voiced) or len(voiced) * found.hop < voiced_seconds:
        return None
    return float(np.median(voiced))


def _pyin(wave: np.ndarray, confidence: float) -> Track:
    f0, probability = _pyin_frames(np.asarray(wave, np.float32).tobytes())
    return Track(np.where(probability < confidence, np.nan, f0), HOP / SAMPLE_RATE)


@lru_cache(maxsize=1)  # pitch and intonation are measured on the same samples
def _pyin_frames(samples: bytes) -> tuple[np.ndarray, np.ndarray]:
    """F0, NaN where unvoiced, and probability of each frame of float32 samples."""
    import librosa

    f0, voiced, probability = librosa.pyin(
        np.frombuffer(samples, np.float32),
        fmin=FLOOR,
        fmax=CEILING,
        sr=SAMPLE_RATE,
        frame_length=WINDOW,
        hop_length=HOP,
        resolution=RESOLUTION,
    )
    return np.where(voiced, f0, np.nan), probability


def _praat(wave: np.ndarray, confidence: float) -> Track:
    sound = praat().Sound(wave.astype(float), SAMPLE_RATE)
    pitch = sound.to_pitch_ac(time_step=HOP_SECONDS, pitch_floor=FLOOR, pitch_ceiling=CEILING)
    f0 = np.array(pitch.selected_array["frequency"])
    f0[f0 == 0] = np.nan
    return Track(f0, HOP_SECONDS)


def _world(wave: np.ndarray, confidence: float) -> Track:
    pyworld = installed("pyworld", "world", "pyworld")
    samples = wave.astype(float)
    f0, times = pyworld.dio(
        samples, SAMPLE_RATE, f0_floor=FLOOR, f0_ceil=CEILING, frame_period=1000 * HOP_SECONDS
    )
    f0 = pyworld.stonemask(samples, f0, times, SAMPLE_RATE)
    f0[f0 == 0] = np.nan
    return Track(f0, HOP_SECONDS)


def forget() -> None:
    """Compute the next track anew, as a measurement of time must."""
    _pyin_frames.cache_clear()


TRACKERS: dict[str, Callable[[np.ndarray, float], Track]] = {
    "pyin": _pyin,
    "praat": _praat,
    "world": _world,
}


def praat() -> Any:
    """The module parselmouth. Raises UserError if it is not installed."""
    return installed("parselmouth", "praat", "praat-parselmouth")
