"""Pitch, energy and speed by SpeechCraft's measures, and their labels by thresholds.

    pitch   mean over frames of the mean positive value of librosa.piptrack, Hz; it depends on
            brightness as much as on F0 and is 430-1700 Hz for speech
    energy  mean frame RMS of the wave at zero mean and unit variance: gain does not change it,
            pauses and dynamics do
    speed   seconds a phoneme, over the whole recording

`measure.pitch: f0` measures the median F0 of voiced frames instead (pyin, Hz);
`measure.speed: syllable` measures `rate`, syllables a second.
Source: Jin et al., "SpeechCraft", ACM MM 2024.
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

Bounds = tuple[float, float]  # of the middle value

# Percentiles that bound normal pitch, by gender; energy and speed are divided at the tertiles.
PITCH_PERCENTILES = {"female": (10.0, 60.0), "male": (40.0, 90.0)}
THIRDS = (100 / 3, 200 / 3)
# espeak-ng's mnemonics of vowels and diphthongs begin with one of these.
_VOWELS = frozenset("aeiouyAEIOUVY03@&")


# ---- measurements --------------------------------------------------------------------------------


def compile_librosa(config: MeasureConfig = MeasureConfig()) -> None:
    """Compile what `measure` needs. Call it before worker processes use librosa.

    numba's cache on disk supports one writer: with two, a function may be stored under the name of
    another, and the process that loads it crashes. A lock admits one process at a time.
    """
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path.home() / ".cache" / "serdesc" / "numba")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "w")
    except OSError:  # the installation or home directory is read-only
        folder = Path(tempfile.mkdtemp(prefix="numba-"))
        lock = open(folder / "lock", "w")
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        measure(np.random.default_rng(0).uniform(-0.1, 0.1, audio.SAMPLE_RATE), None, config)


def measure(wave: np.ndarray, text: str | None, config: MeasureConfig) -> dict[str, float]:
    """Measured values of (S,) samples at 16 kHz; a value that cannot be measured is omitted.

    Speed needs a text with phonemes. Raises UserError for an unknown trait.
    """
    from librosa.effects import trim
    from librosa.feature import rms

    if config.trim:
        wave, _ = trim(wave)
    start = wave[: int(config.seconds * audio.SAMPLE_RATE)]
    measured: dict[str, float] = {}
    pitch = median_f0(start) if config.pitch == "f0" else _piptrack_pitch(start)
    if pitch is not None:
        measured["pitch"] = round(pitch, 3)
    standard = (start - start.mean()) / np.sqrt(start.var() + 1e-7)
    measured["energy"] = round(float(rms(y=standard).mean()), 6)
    seconds = len(wave) / audio.SAMPLE_RATE
    if text and config.speed == "syllable":
        if count := syllables(text, config.language):
            measured["rate"] = round(count / seconds, 6)
    elif text and (phonemes := espeak.phonemes(text, config.language)):
        measured["speed"] = round(seconds / len(phonemes), 6)
    for name in config.traits:
        if name not in traits.by_name():
            raise UserError(
                f"measure.traits: no trait '{name}'; known are {', '.join(traits.by_name())}"
            )
        if (value := traits.by_name()[name].measure(wave)) is not None:
            measured[name] = round(value, 6)
    return measured


def syllables(text: str, language: str) -> int:
    """Number of vowels and diphthongs among espeak-ng's phonemes."""
    return sum(phoneme[0] in _VOWELS for phoneme in espeak.phonemes(text, language))


def _piptrack_pitch(wave: np.ndarray) -> float | None:
    """SpeechCraft's pitch: mean over frames of the mean positive value of piptrack, Hz."""
    import librosa

    pitches, _ = librosa.piptrack(y=wave, sr=audio.SAMPLE_RATE)  # (bins, frames)
    positive = pitches > 0
    voiced = positive.any(axis=0)
    if not voiced.any():
        return None
    return float((pitches.sum(axis=0)[voiced] / positive.sum(axis=0)[voiced]).mean())


def median_f0(wave: np.ndarray) -> float | None:
    """Median F0 of the voiced frames, Hz; None if no frame is voiced."""
    import librosa

    f0, voiced, _ = librosa.pyin(wave, fmin=60, fmax=500, sr=audio.SAMPLE_RATE)
    return float(np.median(f0[voiced])) if voiced.any() else None


# ---- thresholds ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thresholds:
    """Bounds of the middle value; None if the training part has no measurements of it."""

    pitch: dict[str, Bounds]  # by gender
    energy: Bounds | None
    speed: Bounds | None
    rate: Bounds | None = None
    more: dict[str, Bounds] = field(default_factory=dict)  # of traits

    def to_dict(self) -> dict[str, object]:
        """JSON of thresholds.json."""
        return asdict(self)


NO_THRESHOLDS = Thresholds({}, None, None)


def fit(training: Sequence[Utterance]) -> Thresholds:
    """Thresholds at percentiles of a training part (numpy's default interpolation).

    Raises UserError if there is no training part, or if it has no measurements.
    """
    if not training:
        raise UserError(
            "no training part to fit thresholds on (folds.rule test). Set measure.source: corpus"
            " to measure nothing"
        )
    if not any(u.measure for u in training):
        raise UserError(
            "no measurements to fit thresholds on: run `serdesc annotate` on the corpus's data"
            " directory"
        )
    pitch = {}
    for gender, percentiles in PITCH_PERCENTILES.items():
        speakers = [utt for utt in training if utt.gender == gender]
        if bounds := _bounds(speakers, "pitch", percentiles):
            pitch[gender] = bounds
    more = {}
    for name in traits.by_name():
        if bounds := _bounds(training, name):
            more[name] = bounds
    return Thresholds(
        pitch=pitch,
        energy=_bounds(training, "energy"),
        speed=_bounds(training, "speed"),
        rate=_bounds(training, "rate"),
        more=more,
    )


def _bounds(
    utterances: Sequence[Utterance], name: str, percentiles: Bounds = THIRDS
) -> Bounds | None:
    """Percentiles of a measured value; None if no utterance has it."""
    values = [utt.measure[name] for utt in utterances if utt.measure and name in utt.measure]
    if not values:
        return None
    low, high = np.percentile(values, percentiles)
    return float(low), float(high)


def bin3(value: float, bounds: Bounds, names: Sequence[str]) -> str:
    """The name of a value: first up to the lower bound, second up to the upper bound, else third.

    A value that equals a bound has the lower name.
    """
    if value <= bounds[0]:
        return names[0]
    return names[1] if value <= bounds[1] else names[2]


def labels(utt: Utterance, thresholds: Thresholds) -> Fields:
    """The fields of an utterance: measured ones by the thresholds, the others from metadata."""
    measured = utt.measure or {}
    pitch = energy = speed = None
    if "pitch" in measured and utt.gender in thresholds.pitch:
        pitch = bin3(measured["pitch"], thresholds.pitch[utt.gender], PITCH)
    if "energy" in measured and thresholds.energy:
        energy = bin3(measured["energy"], thresholds.energy, ENERGY)
    if "speed" in measured and thresholds.speed:  # seconds a phoneme: a low value is fast
        speed = bin3(measured["speed"], thresholds.speed, SPEED[::-1])
    if "rate" in measured and thresholds.rate:
        speed = bin3(measured["rate"], thresholds.rate, SPEED)
    more = []
    for name, bounds in sorted(thresholds.more.items()):
        if name in measured:
            more.append((name, bin3(measured[name], bounds, traits.by_name()[name].values)))
    return Fields(
        transcript=utt.text,
        emotion=utt.emotion,
        pitch=pitch,
        energy=energy,
        speed=speed,
        age=age_group(utt.age) if utt.age is not None else None,
        gender=utt.gender,
        emphasis=utt.emphasis,
        more=tuple(more),
    )
