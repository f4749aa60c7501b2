"""Training data of hubert-mini: waves, and the acoustic targets that are measured on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import librosa
import numpy as np
import soxr
from scipy.ndimage import uniform_filter1d

from serdesc.config import MeasureConfig
from serdesc.data import audio, datadir, descriptors
from serdesc.data.acting import EMOTIONS

SEED = 1
BANDS = 80  # elements of `overall` before the utterance's measures: mean and deviation of 40 bands
LEVEL = 82  # index of the level in `overall`
# Measures of an utterance, the last elements of `overall`
UTTERANCE_MEASURES = ("f0", "f0 range", "level", "pitch", "energy", "speed", "pauses", "rate")


@dataclass
class Recording:
    """A wave at its original level, its text and its targets (T: frames of the encoder)."""

    wave: np.ndarray  # (S,) at 16 kHz
    text: str
    speaker: str = ""
    emotion: int = -1  # index in EMOTIONS; -1 if it was not acted
    # Synthetic speech only: start in seconds, phoneme, whether its word is stressed
    phones: list[tuple[float, str, bool]] = field(default_factory=list)
    local: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T, 43); (T, 45) in part 4
    overall: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (88,)
    spread: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (576,), part 4 only


def standardise(wave: np.ndarray) -> np.ndarray:
    """Zero mean, unit variance."""
    return np.asarray((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))


def load(folder: Path, other_voices: bool) -> list[Recording]:
    """The recordings of a data directory.

    other_voices: add a copy of each real one with a longer or shorter vocal tract, one a speaker.
    """
    rng = np.random.default_rng(SEED)
    tracts: dict[str, float] = {}
    recordings: list[Recording] = []
    for utt in datadir.read(folder):
        wave, phones = audio.load(utt.wav), Path(utt.wav).with_suffix(".phones")
        emotion = EMOTIONS.index(utt.emotion) if utt.emotion else -1
        recordings.append(Recording(wave, utt.text or "", utt.spk, emotion))
        if phones.exists():
            recordings[-1].phones = read_phones(phones)
        elif other_voices:
            lengths = rng.uniform(0.84, 0.94), rng.uniform(1.06, 1.18)
            tract = tracts.setdefault(utt.spk, float(rng.choice(lengths)))
            copy = soxr.resample(wave, 16_000, 16_000 * tract)
            recordings.append(Recording(copy, utt.text or "", f"{utt.spk}, other tract"))
    return recordings


def read_phones(path: Path) -> list[tuple[float, str, bool]]:
    phones = []
    for line in path.read_text().splitlines():
        start, name, stressed = line.split("\t")
        phones.append((float(start), name, stressed == "1"))
    return phones


def mfcc(wave: np.ndarray, frames: int) -> np.ndarray:
    """(T, 39): 13 MFCCs with first and second differences at the encoder's frame rate."""
    coefficients = librosa.feature.mfcc(
        y=standardise(wave), sr=16_000, n_mfcc=13, n_fft=400, hop_length=320, n_mels=40
    )
    first = librosa.feature.delta(coefficients, width=5)
    second = librosa.feature.delta(coefficients, order=2, width=5)
    return np.concatenate([coefficients, first, second]).T[:frames]


def smooth(x: np.ndarray, frames: int) -> np.ndarray:
    """Moving average along the first axis."""
    return np.asarray(uniform_filter1d(x, frames, axis=0, mode="nearest"))


def targets(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Targets of each frame (T, 43) and of the utterance (88,); NaN if one cannot be measured.

    Frame: 40 log-mel bands over 0.5 s, energy and log F0 over 0.1 s, log F0 over 0.5 s. Utterance:
    mean and deviation of the bands, then UTTERANCE_MEASURES: median and deviation of log F0, the
    level, SpeechCraft's pitch, energy and speed (logarithms), the share of pauses and, of synthetic
    speech, the logarithm of phonemes a second outside pauses.
    """
    wave = standardise(recording.wave)
    mel = librosa.feature.melspectrogram(y=wave, sr=16_000, n_fft=400, hop_length=320, n_mels=40)
    mel = np.log(mel.T + 1e-4)  # (T, 40)
    f0 = np.log(librosa.yin(wave, fmin=60, fmax=500, sr=16_000, frame_length=1024, hop_length=320))
    n = min(len(f0), len(mel))
    mel, f0 = mel[:n], f0[:n]
    energy = mel.mean(axis=1)
    voiced = energy > np.quantile(energy, 0.4)
    times = np.arange(n)
    f0 = np.interp(times, times[voiced], f0[voiced]) if voiced.any() else f0
    columns = [smooth(mel, 25), smooth(energy, 5), smooth(f0, 5), smooth(f0, 25)]
    local = np.column_stack(columns)
    measured = descriptors.measure(recording.wave, recording.text, MeasureConfig())
    logarithms = []
    for name in ("pitch", "energy", "speed"):
        value = measured.get(name, 0)
        logarithms.append(math.log(value) if value > 0 else math.nan)
    level = 0.5 * math.log(recording.wave.var() + 1e-9)
    pauses = float(np.mean(energy < np.quantile(energy, 0.95) - 4.0))
    rate = math.nan
    if recording.phones:
        rate = math.log(len(recording.phones) / (n * 0.02 * (1 - pauses)))
    median = np.median(f0[voiced]) if voiced.any() else f0.mean()
    measures = [median, f0.std(), level, *logarithms, pauses, rate]
    overall = np.concatenate([mel.mean(axis=0), mel.std(axis=0), measures])
    return local.astype(np.float32), overall.astype(np.float32)


def piptrack_pitch(wave: np.ndarray, frames: int) -> np.ndarray:
    """(T, 2): logarithm of SpeechCraft's pitch, smoothed over 0.1 and 0.5 s."""
    pitches, _ = librosa.piptrack(y=wave, sr=16_000, hop_length=320)  # (bins, frames)
    peaks = (pitches > 0).sum(axis=0)
    times, voiced = np.arange(pitches.shape[1]), peaks > 0
    if not voiced.any():
        return np.zeros((frames, 2), dtype=np.float32)
    means = pitches.sum(axis=0)[voiced] / peaks[voiced]
    values = np.log(np.interp(times, times[voiced], means))[:frames]
    values = np.pad(values, (0, frames - len(values)), mode="edge")
    return np.stack([smooth(values, 5), smooth(values, 25)], axis=1).astype(np.float32)


def targets_with_pitch(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """`targets` with SpeechCraft's pitch of each frame: (T, 45) and (88,)."""
    local, overall = targets(recording)
    pitch = piptrack_pitch(recording.wave, len(local))
    return np.concatenate([local, pitch], axis=1), overall
