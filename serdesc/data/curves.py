"""Curves of recordings for reports: F0, level, speech rate and the peaks of the wave, 8 bits each.

`utt2curves.jsonl` in the corpus's data directory has one line per recording: utt_id, key (of the
audio), seconds, and each curve as base64 of bytes. `annotate` writes it (report.curves); `serdesc
report --html` computes what is missing.

    f0      25 values a second, 0 unvoiced, 1 to 255: 60 to 600 Hz, logarithmic (pyin)
    level   25 values a second, 0 to 255: -80 to 0 dB of full scale, RMS of 40 ms
    rate    25 values a second, 0 to 255: 0 to 12 syllables a second of speech
    peaks   50 values a second, 0 to 255: largest magnitude of 20 ms, full scale 255

Syllables are maxima of the level between dips of 2 dB or more (de Jong and Wempe, Behavior Research
Methods 41, 2009), here of the band from 300 to 2500 Hz; their rate is a mean with Gaussian weights
(0.3 s), over speech.
"""

from __future__ import annotations

import base64
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from serdesc import f0
from serdesc.data import audio, descriptors
from serdesc.data.datadir import Utterance
from serdesc.files import digest, write_errors
from serdesc.progress import progress

NAME = "utt2curves.jsonl"
VERSION = 1  # of `curves`, part of the key
RATE, PEAK_RATE = 25, 50  # values a second
LOWEST, HIGHEST = f0.FLOOR, f0.CEILING  # Hz
QUIETEST = -80.0  # dB of full scale
SPEECH = (
    25 * 255 / -QUIETEST
)  # codes of the level below the loud values that are still speech: 25 dB
FASTEST = 12.0  # syllables a second
BAND = (300.0, 2500.0)  # Hz, of vowels
DIP = 2.0  # dB between two syllables
SHORTEST_SYLLABLE = 0.1  # seconds between two maxima
WINDOW = 0.3  # seconds, standard deviation of the weights of the rate
SHORTEST = 800  # samples of a wave in which syllables are looked for
HOP = 160  # samples between values of the level in which syllables are found: 10 ms
Curves = dict[str, Any]


def of_wave(wave: np.ndarray) -> Curves:
    """seconds, and f0, level, rate and peaks as base64, of (S,) samples at 16 kHz."""
    track = f0.track(wave)
    count = max(1, int(np.ceil(len(wave) * RATE / audio.SAMPLE_RATE)))
    times = (np.arange(count) + 0.5) / RATE
    rms = np.sqrt(_slots(wave**2, RATE).mean(axis=1))
    decibels = 20 * np.log10(rms + 1e-9)
    return {
        "seconds": round(len(wave) / audio.SAMPLE_RATE, 3),
        "f0": _pitch_bytes(track, times),
        "level": _bytes(255 * (1 - decibels / QUIETEST)),
        "rate": _bytes(255 * rate(wave, times) / FASTEST),
        "peaks": _bytes(255 * np.abs(_slots(wave, PEAK_RATE)).max(axis=1)),
    }


def _slots(wave: np.ndarray, rate: int) -> np.ndarray:
    """Samples (S,) in slots of 1 / rate seconds (slots, samples); the last one is filled up."""
    length = audio.SAMPLE_RATE // rate
    count = max(1, -(-len(wave) // length))
    return np.pad(wave, (0, count * length - len(wave))).reshape(count, length)


def _pitch_bytes(track: f0.Track, times: np.ndarray) -> str:
    """F0 at `times` (n,), of the nearest frame."""
    if not len(track.f0):
        return _bytes(np.zeros(len(times)))
    frames = np.clip(np.rint(times / track.hop).astype(int), 0, len(track.f0) - 1)
    hertz = track.f0[frames]
    code = 1 + 254 * np.log(hertz / LOWEST) / np.log(HIGHEST / LOWEST)
    return _bytes(np.where(np.isnan(hertz), 0, np.maximum(code, 1)))


def _bytes(values: np.ndarray) -> str:
    rounded = np.clip(np.rint(np.nan_to_num(values)), 0, 255).astype(np.uint8)
    return base64.b64encode(rounded.tobytes()).decode()


def rate(wave: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Syllables a second of speech around each of `times` (n,) of (S,) samples at 16 kHz."""
    speech = descriptors.speech_frames(wave)
    if not speech.any():
        return np.zeros(len(times))
    step = descriptors.FRAME / audio.SAMPLE_RATE
    at_speech = (np.flatnonzero(speech) + 0.5) * step
    weights = _weights(times, at_speech).sum(axis=1) * step
    counts = _weights(times, syllable_times(wave)).sum(axis=1)
    return np.asarray(np.where(weights > 0.05, counts / np.maximum(weights, 0.05), 0))


def _weights(times: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Gaussian weights (n, events)."""
    return np.asarray(np.exp(-0.5 * ((times[:, None] - events[None]) / WINDOW) ** 2))


def syllable_times(wave: np.ndarray) -> np.ndarray:
    """Seconds of the syllables' maxima in (S,) samples at 16 kHz."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import butter, find_peaks, sosfiltfilt

    band = butter(3, BAND, "bandpass", fs=audio.SAMPLE_RATE, output="sos")
    if len(wave) < SHORTEST:
        return np.zeros(0)
    power = _slots(sosfiltfilt(band, wave) ** 2, audio.SAMPLE_RATE // HOP).mean(axis=1)
    level = 10 * np.log10(gaussian_filter1d(power, 2.0) + 1e-12)
    floor = np.percentile(level, 95) - 25
    apart = int(SHORTEST_SYLLABLE * audio.SAMPLE_RATE / HOP)
    maxima, _ = find_peaks(level, height=floor, prominence=DIP, distance=apart)
    return np.asarray((maxima + 0.5) * HOP / audio.SAMPLE_RATE)


def measures(curves: Curves) -> dict[str, float]:
    """f0, the median (Hz), and level (dB) and rate (syllables a second), means over speech.

    Of the curves of a recording; what cannot be known is left out.
    """
    codes = {}
    for name in ("f0", "level", "rate"):
        codes[name] = np.frombuffer(base64.b64decode(curves.get(name, "")), np.uint8).astype(float)
    level, voiced = codes["level"], codes["f0"][codes["f0"] > 0]
    found: dict[str, float] = {}
    if len(voiced):
        octaves = (np.median(voiced) - 1) / 254
        found["f0"] = float(LOWEST * (HIGHEST / LOWEST) ** octaves)
    speech = level > max(0.0, np.percentile(level, 95) - SPEECH) if len(level) else level > 0
    if speech.any():
        found["level"] = float(QUIETEST * (1 - level[speech].mean() / 255))
        found["rate"] = float(codes["rate"][speech].mean() * FASTEST / 255)
    return found


# ---- files ---------------------------------------------------------------------------------------


def identity(utt: Utterance) -> str:
    """A key of an utterance's audio; size and time of its file stand for the contents."""
    path = Path(utt.wav)
    stat = path.stat() if path.exists() else None
    changed = stat and [stat.st_size, stat.st_mtime_ns]
    return digest(VERSION, utt.wav, changed, utt.span, utt.channel)


def read(data: Path, utterances: Sequence[Utterance]) -> dict[str, Curves]:
    """The stored curves of utterances whose audio has not changed since, by utterance.

    A line that was cut off (the process was killed) counts as absent.
    """
    path = data / NAME
    wanted = {utt.utt_id: utt for utt in utterances}
    found: dict[str, Curves] = {}
    if not path.exists():
        return found
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
                utt, key = wanted.get(row.pop("utt_id")), row.pop("key")
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            if utt is not None and key == identity(utt):
                found[utt.utt_id] = row
    return found


def append(data: Path, rows: Iterable[tuple[Utterance, Curves]]) -> None:
    """Append lines to utt2curves.jsonl."""
    path = data / NAME
    lines: list[str] = []
    for utt, curves in rows:
        row = {"utt_id": utt.utt_id, "key": identity(utt), **curves}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    if lines:
        with write_errors(path), path.open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)


BLOCK = 200  # utterances; curves are stored after each block


def complete(
    data: Path, utterances: Sequence[Utterance], nj: int
) -> tuple[Mapping[str, Curves], list[audio.AudioError]]:
    """The curves of all utterances, those that are missing computed by `nj` processes and stored.

    Also the errors of utterances whose audio cannot be used. Where `data` cannot be written to, the
    computed curves are returned only.
    """
    found = read(data, utterances)
    missing = [utt for utt in utterances if utt.utt_id not in found]
    errors: list[audio.AudioError] = []
    if not missing:
        return found, errors
    descriptors.compile_librosa()
    with (
        progress("curves", len(missing), "utterances") as advance,
        ProcessPoolExecutor(max(1, nj)) as pool,
    ):
        for start in range(0, len(missing), BLOCK):
            block = missing[start : start + BLOCK]
            made = []
            for utt, result in zip(block, pool.map(_of_utterance, block, chunksize=8)):
                if isinstance(result, audio.AudioError):
                    errors.append(result)
                else:
                    found[utt.utt_id] = result
                    made.append((utt, result))
                advance(1)
            _store(data, made)
    return found, errors


def _store(data: Path, made: Sequence[tuple[Utterance, Curves]]) -> None:
    if os.access(data, os.W_OK):
        append(data, made)


def _of_utterance(utt: Utterance) -> Curves | audio.AudioError:
    try:
        return of_wave(utt.load_audio())
    except audio.AudioError as error:
        return error
