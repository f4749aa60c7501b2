"""Pitch, energy and speed of recordings, and their labels by thresholds.

    pitch   f0: median F0 of the voiced frames, Hz. piptrack: SpeechCraft's, the mean over frames
            of the mean positive value of librosa.piptrack; it depends on brightness as much as on
            F0 and is 430-1700 Hz for speech
    energy  relative: mean frame RMS of the wave at zero mean and unit variance; gain does not
            change it, pauses and dynamics do. level: active speech level, dB of full scale
    speed   seconds of speech a phoneme; `rate`, syllables a second of speech, by
            measure.speed: syllable. Pauses count with measure.speech_time: whole, SpeechCraft's

Source of SpeechCraft's measures: Jin et al., "SpeechCraft", ACM MM 2024.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from serdesc import f0
from serdesc.captions import traits
from serdesc.captions.fields import ENERGY, PITCH, SPEED, Fields, age_group
from serdesc.config import MeasureConfig
from serdesc.data import audio, espeak
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError

Measured = dict[str, Any]  # measure -> number, or the class of a trait without an order
Bounds = tuple[float, float]  # of the middle value

THIRDS = (100 / 3, 200 / 3)
# Percentiles that bound normal pitch, by gender, and over all speakers for one of unknown gender;
# energy and speed are divided at the tertiles.
UNKNOWN = "unknown"
PITCH_PERCENTILES = {"female": (10.0, 60.0), "male": (40.0, 90.0), UNKNOWN: THIRDS}
FRAME = 320  # samples of a frame of the gate: 20 ms
PAUSE = 10 ** (-25 / 20)  # frames 25 dB below the level of the loud frames are pauses
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


def measure(wave: np.ndarray, text: str | None, config: MeasureConfig) -> Measured:
    """Measured values of (S,) samples at 16 kHz; a value that cannot be measured is omitted.

    Speed needs a text with phonemes. Raises UserError for an unknown trait.
    """
    from librosa.effects import trim

    if config.trim:
        wave, _ = trim(wave)
    start = wave[: int(config.seconds * audio.SAMPLE_RATE)]
    measured: Measured = {}
    if (pitch := _pitch(start, config)) is not None:
        measured["pitch"] = round(pitch, 3)
    if (energy := _energy(start, config)) is not None:
        measured["energy"] = round(energy, 6)
    seconds = len(wave) / audio.SAMPLE_RATE
    if config.speech_time == "gated":
        seconds = float(speech_frames(wave).sum() * FRAME / audio.SAMPLE_RATE)
    if text and seconds and config.speed == "syllable":
        if count := syllables(text, config.language):
            measured["rate"] = round(count / seconds, 6)
    elif text and seconds and (phonemes := espeak.phonemes(text, config.language)):
        measured["speed"] = round(seconds / len(phonemes), 6)
    for name in config.traits:
        if name not in traits.by_name():
            raise UserError(
                f"measure.traits: no trait '{name}'; known are {', '.join(traits.by_name())}"
            )
        trait = traits.by_name()[name]
        value = trait.measure(wave)
        if isinstance(value, str) and value not in trait.values:
            raise FailedError(
                f"trait {name}: its function returned '{value}', which is none of its values "
                f"({', '.join(trait.values)})"
            )
        if value is not None:
            measured[name] = value if isinstance(value, str) else round(value, 6)
    return measured


def levels(wave: np.ndarray) -> np.ndarray:
    """RMS of each frame of 20 ms (frames,); a remainder of samples is left out."""
    frames = wave[: len(wave) // FRAME * FRAME].reshape(-1, FRAME)
    return np.asarray(np.sqrt((frames**2).mean(axis=1) + 1e-12))


def speech_frames(wave: np.ndarray) -> np.ndarray:
    """(frames,) whether the level of a frame is within 25 dB of the loud ones (95th percentile)."""
    level = levels(wave)
    if not len(level):
        return np.zeros(0, bool)
    return np.asarray(level > PAUSE * np.percentile(level, 95))


def _pitch(wave: np.ndarray, config: MeasureConfig) -> float | None:
    if config.pitch == "piptrack":
        return _piptrack_pitch(wave)
    return f0.median(f0.track(wave, "pyin", config.f0_confidence), config.voiced_seconds)


def _energy(wave: np.ndarray, config: MeasureConfig) -> float | None:
    """Mean RMS of the normalised wave, or the mean power of speech frames in dB."""
    if config.energy == "level":
        speech = levels(wave)[speech_frames(wave)]
        return float(10 * np.log10((speech**2).mean())) if len(speech) else None
    from librosa.feature import rms

    standard = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    return float(rms(y=standard).mean())


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


# ---- thresholds ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thresholds:
    """Bounds of the middle value; None if the training part has no measurements of it."""

    pitch: dict[str, Bounds]  # by gender; `unknown`: over all speakers
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
        speakers = [utt for utt in training if gender in (utt.gender, UNKNOWN)]
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
    """Percentiles of a measured number; None if no utterance has it."""
    values = [utt.measure[name] for utt in utterances if utt.measure and name in utt.measure]
    if not values or isinstance(values[0], str):
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
    bounds = thresholds.pitch.get(utt.gender or UNKNOWN)
    if "pitch" in measured and bounds:
        pitch = bin3(measured["pitch"], bounds, PITCH)
    if "energy" in measured and thresholds.energy:
        energy = bin3(measured["energy"], thresholds.energy, ENERGY)
    if "speed" in measured and thresholds.speed:  # seconds a phoneme: a low value is fast
        speed = bin3(measured["speed"], thresholds.speed, SPEED[::-1])
    if "rate" in measured and thresholds.rate:
        speed = bin3(measured["rate"], thresholds.rate, SPEED)
    more = []
    for name, trait in sorted(traits.by_name().items()):
        value = measured.get(name)
        if isinstance(value, str):
            more.append((name, value))
        elif value is not None and name in thresholds.more:
            more.append((name, bin3(value, thresholds.more[name], trait.values)))
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
