"""Pitch, energy and speed by SpeechCraft's measures, and the labels that thresholds make of them.

    pitch   mean over frames of the mean positive value of librosa.piptrack, Hz (brightness as much as F0: 430-1700 on speech)
    energy  mean frame RMS of the wave at zero mean and unit variance: gain never enters, pauses and dynamics do
    speed   seconds a phoneme, over the whole recording

By key `measure.pitch: f0` takes the median F0 of voiced frames instead (pyin, Hz), and `measure.speed: syllable` measures `rate`, syllables a
second. The corpus and its measures: Jin et al., "SpeechCraft", ACM MM 2024.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Sequence

import numpy as np

from serdesc.captions import traits
from serdesc.captions.fields import ENERGY, PITCH, SPEED, Fields, age_group
from serdesc.config import MeasureConfig
from serdesc.data import audio, espeak
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError

# Percentiles of pitch that bound low and normal, by the speaker's sex; energy and speed are cut into thirds.
PITCH_PERCENTILES = {"female": (10.0, 60.0), "male": (40.0, 90.0)}
THIRDS = (100 / 3, 200 / 3)


def compile_librosa(config: MeasureConfig = MeasureConfig()) -> None:
    """Call it before librosa is used by workers: compiles what `measure` needs, one process of the machine or cluster at a time.

    numba's cache on disk bears one writer. Two may leave a function under another one's name, and whoever loads it then dies.
    """
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path.home() / ".cache" / "serdesc" / "numba")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "w")
    except OSError:  # a shared installation or home that cannot be written
        folder = Path(tempfile.mkdtemp(prefix="numba-"))
        lock = open(folder / "lock", "w")
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        measure(np.random.default_rng(0).uniform(-0.1, 0.1, audio.SAMPLE_RATE), None, config)


def measure(wave: np.ndarray, text: str | None, config: MeasureConfig) -> dict[str, float]:
    """Measures of one recording, each only where it can be taken (speed needs a text with phonemes in it)."""
    from librosa.effects import trim
    from librosa.feature import rms

    if config.trim:
        wave, _ = trim(wave)
    start = wave[: int(config.seconds * audio.SAMPLE_RATE)]
    out: dict[str, float] = {}
    if (pitch := median_f0(start) if config.pitch == "f0" else _brightness(start)) is not None:
        out["pitch"] = round(pitch, 3)
    normal = (start - start.mean()) / np.sqrt(start.var() + 1e-7)
    out["energy"] = round(float(rms(y=normal).mean()), 6)
    seconds = len(wave) / audio.SAMPLE_RATE
    if text and config.speed == "syllable":
        if count := syllables(text, config.language):
            out["rate"] = round(count / seconds, 6)
    elif text and (sounds := espeak.phonemes(text, config.language)):
        out["speed"] = round(seconds / len(sounds), 6)
    for name in config.traits:
        if name not in traits.by_name():
            raise UserError(
                f"measure.traits: no trait '{name}'; known are {', '.join(traits.by_name())}"
            )
        if (value := traits.by_name()[name].measure(wave)) is not None:
            out[name] = round(value, 6)
    return out


def syllables(text: str, language: str) -> int:
    """Vowels and diphthongs of espeak-ng's phonemes."""
    return sum(sound[0] in _VOWELS for sound in espeak.phonemes(text, language))


_VOWELS = frozenset(
    "aeiouyAEIOUVY03@&"
)  # espeak-ng's mnemonics of vowels and diphthongs begin with one of these


def _brightness(wave: np.ndarray) -> float | None:
    """SpeechCraft's pitch: mean over frames of the mean positive value of piptrack, Hz."""
    import librosa

    pitches, _ = librosa.piptrack(y=wave, sr=audio.SAMPLE_RATE)  # (bins, frames)
    positive = pitches > 0
    voiced = positive.any(axis=0)
    return (
        float((pitches.sum(axis=0)[voiced] / positive.sum(axis=0)[voiced]).mean())
        if voiced.any()
        else None
    )


def median_f0(wave: np.ndarray) -> float | None:
    """Median of the voiced frames' F0, Hz."""
    import librosa

    f0, voiced, _ = librosa.pyin(wave, fmin=60, fmax=500, sr=audio.SAMPLE_RATE)
    return float(np.median(f0[voiced])) if voiced.any() else None


@dataclass(frozen=True)
class Thresholds:
    """Bounds (low, high) of the middle value; pitch by sex. None where the training part had nothing to measure."""

    pitch: dict[str, tuple[float, float]]
    energy: tuple[float, float] | None
    speed: tuple[float, float] | None
    rate: tuple[float, float] | None = None
    more: dict[str, tuple[float, float]] = field(default_factory=dict)  # of traits

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


NONE = Thresholds({}, None, None)  # nothing is measured


def fit(training: Sequence[Utterance]) -> Thresholds:
    """Percentiles of a training part, numpy's default interpolation."""

    def values(name: str, gender: str | None = None) -> list[float]:
        return [
            u.measure[name]
            for u in training
            if u.measure and name in u.measure and gender in (None, u.gender)
        ]

    def bounds(sample: list[float], percentiles: tuple[float, float]) -> tuple[float, float]:
        low, high = np.percentile(sample, percentiles)
        return float(low), float(high)

    if not training:
        raise UserError(
            "no training part to fit thresholds on (folds.rule test). Set measure.source: corpus to measure nothing"
        )
    if not any(u.measure for u in training):
        raise UserError(
            "no measures to fit thresholds on: run `serdesc annotate` on the corpus's data directory"
        )
    return Thresholds(
        pitch={
            g: bounds(v, percentiles)
            for g, percentiles in PITCH_PERCENTILES.items()
            if (v := values("pitch", g))
        },
        energy=bounds(v, THIRDS) if (v := values("energy")) else None,
        speed=bounds(v, THIRDS) if (v := values("speed")) else None,
        rate=bounds(v, THIRDS) if (v := values("rate")) else None,
        more={name: bounds(v, THIRDS) for name in traits.by_name() if (v := values(name))},
    )


def bin3(value: float, bounds: tuple[float, float], names: Sequence[str]) -> str:
    """The first, second or third name: up to the lower bound, up to the upper one, above. A value on a bound is below it."""
    return names[0] if value <= bounds[0] else names[1] if value <= bounds[1] else names[2]


def labels(utt: Utterance, thresholds: Thresholds) -> Fields:
    """What is known of an utterance: measured fields by the thresholds, the others from metadata, absent where there is none."""
    measured = utt.measure or {}
    pitch = energy = speed = None
    if "pitch" in measured and utt.gender in thresholds.pitch:
        pitch = bin3(measured["pitch"], thresholds.pitch[utt.gender], PITCH)
    if "energy" in measured and thresholds.energy:
        energy = bin3(measured["energy"], thresholds.energy, ENERGY)
    if "speed" in measured and thresholds.speed:  # seconds a phoneme: few are fast
        speed = bin3(measured["speed"], thresholds.speed, SPEED[::-1])
    if "rate" in measured and thresholds.rate:
        speed = bin3(measured["rate"], thresholds.rate, SPEED)
    return Fields(
        transcript=utt.text, emotion=utt.emotion, pitch=pitch, energy=energy, speed=speed,
        age=age_group(utt.age) if utt.age is not None else None, gender=utt.gender, emphasis=utt.emphasis,
        more=tuple(
            (name, bin3(measured[name], bounds, traits.by_name()[name].values)) for name, bounds in sorted(thresholds.more.items()) if name in measured
        ),
    )  # fmt: skip
