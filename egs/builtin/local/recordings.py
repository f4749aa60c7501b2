"""What hubert-mini is taught about a recording: its wave, and what is known of it or measured in it."""

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
LEVEL, BANDS = (
    82,
    80,
)  # in `describe`'s second vector: where the level stands, and how many bands stand before the measures
MEASURES = ("f0", "f0 range", "level", "pitch", "energy", "speed", "pauses", "rate")


@dataclass
class Recording:
    """A wave at its own level, what is said in it, and what `describe` finds out about it."""

    wave: np.ndarray
    text: str
    speaker: str = ""
    emotion: int = -1  # number in EMOTIONS; -1 where it was not acted
    phones: list[tuple[float, str, bool]] = field(
        default_factory=list
    )  # start (s), name, in the stressed word; made speech only
    local: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T, 43), in part 4 (T, 45)
    overall: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (88,)
    spread: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (576,), part 4 only


def standard(wave: np.ndarray) -> np.ndarray:
    """Zero mean, unit variance."""
    return np.asarray((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))


def load(folder: Path, other_voices: bool) -> list[Recording]:
    """Recordings; with other voices also a copy of each real one, spoken by a longer or shorter vocal tract (one a speaker)."""
    rng = np.random.default_rng(SEED)
    tracts: dict[str, float] = {}
    out: list[Recording] = []
    for utt in datadir.read(folder):
        wave, phones = audio.load(utt.wav), Path(utt.wav).with_suffix(".phones")
        out.append(
            Recording(
                wave, utt.text or "", utt.spk, EMOTIONS.index(utt.emotion) if utt.emotion else -1
            )
        )
        if phones.exists():
            rows = [line.split("\t") for line in phones.read_text().splitlines()]
            out[-1].phones = [(float(start), name, stress == "1") for start, name, stress in rows]
        elif other_voices:
            tract = tracts.setdefault(
                utt.spk, float(rng.choice((rng.uniform(0.84, 0.94), rng.uniform(1.06, 1.18))))
            )
            out.append(
                Recording(
                    soxr.resample(wave, 16_000, 16_000 * tract),
                    utt.text or "",
                    f"{utt.spk}, other tract",
                )
            )
    return out


def mfcc(wave: np.ndarray, frames: int) -> np.ndarray:
    """(T, 39): 13 MFCCs with first and second differences, one vector for each frame of the encoder."""
    coefficients = librosa.feature.mfcc(
        y=standard(wave), sr=16_000, n_mfcc=13, n_fft=400, hop_length=320, n_mels=40
    )
    x = np.concatenate(
        [
            coefficients,
            librosa.feature.delta(coefficients, width=5),
            librosa.feature.delta(coefficients, order=2, width=5),
        ]
    )
    return x.T[:frames]


def smooth(x: np.ndarray, frames: int) -> np.ndarray:
    """Moving average along the first axis."""
    return np.asarray(uniform_filter1d(x, frames, axis=0, mode="nearest"))


def describe(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """What is measured around each frame (T, 43), and of the whole (88,); NaN where it cannot be measured.

    Around a frame: 40 log-mel bands over half a second, energy and log F0 over a tenth, log F0 over half a second. Of the whole:
    mean and deviation of the bands, then MEASURES: of log F0 the median and deviation, the level, SpeechCraft's pitch, energy and
    speed (logarithms), the share of pauses and, of made speech, phonemes a second outside of them.
    """
    wave = standard(recording.wave)
    mel = np.log(
        librosa.feature.melspectrogram(y=wave, sr=16_000, n_fft=400, hop_length=320, n_mels=40).T
        + 1e-4
    )
    f0 = np.log(librosa.yin(wave, fmin=60, fmax=500, sr=16_000, frame_length=1024, hop_length=320))
    n = min(len(f0), len(mel))
    mel, f0 = mel[:n], f0[:n]
    energy = mel.mean(axis=1)
    voiced = energy > np.quantile(energy, 0.4)
    times = np.arange(n)
    f0 = np.interp(times, times[voiced], f0[voiced]) if voiced.any() else f0
    local = np.concatenate(
        [
            smooth(mel, 25),
            smooth(energy, 5)[:, None],
            smooth(f0, 5)[:, None],
            smooth(f0, 25)[:, None],
        ],
        axis=1,
    )
    measures = descriptors.measure(recording.wave, recording.text, MeasureConfig())
    logs = [
        math.log(measures[name]) if measures.get(name, 0) > 0 else math.nan
        for name in ("pitch", "energy", "speed")
    ]
    level = 0.5 * math.log(recording.wave.var() + 1e-9)
    pauses = float(np.mean(energy < np.quantile(energy, 0.95) - 4.0))
    rate = (
        math.log(len(recording.phones) / (n * 0.02 * (1 - pauses)))
        if recording.phones
        else math.nan
    )
    tune = [np.median(f0[voiced]) if voiced.any() else f0.mean(), f0.std(), level]
    overall = np.concatenate([mel.mean(axis=0), mel.std(axis=0), tune, logs, [pauses, rate]])
    return local.astype(np.float32), overall.astype(np.float32)


def brightness(wave: np.ndarray, frames: int) -> np.ndarray:
    """(T, 2): SpeechCraft's pitch around each frame, over a tenth and over half a second; logarithms."""
    pitches, _ = librosa.piptrack(y=wave, sr=16_000, hop_length=320)
    peaks = (pitches > 0).sum(axis=0)
    times, heard = np.arange(pitches.shape[1]), peaks > 0
    if not heard.any():
        return np.zeros((frames, 2), dtype=np.float32)
    values = np.log(np.interp(times, times[heard], pitches.sum(axis=0)[heard] / peaks[heard]))[
        :frames
    ]
    values = np.pad(values, (0, frames - len(values)), mode="edge")
    return np.stack([smooth(values, 5), smooth(values, 25)], axis=1).astype(np.float32)


def describe_more(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    local, overall = describe(recording)
    return np.concatenate([local, brightness(recording.wave, len(local))], axis=1), overall
