"""Audio from any file that libsndfile or FFmpeg reads, as one channel at 16 kHz.

Unusable audio raises AudioError with the reason.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Sequence

import numpy as np

from serdesc.data import recording
from serdesc.data.recording import AudioError, seconds
from serdesc.printable import printable

SAMPLE_RATE = 16_000
QUIET_DB = 35  # below the loudest part: silence at the ends of a recording
SILENCE = 1e-5  # of full scale; a recording without a larger deviation from its mean is silent
LOUDEST = 32.0  # of full scale: samples beyond it are in another unit, as float samples up to 32768
LOWEST_RATE = 4000  # Hz
SHORTEST = 0.01  # seconds
CANCELLED = 1e-3  # of the louder channel's level: what is left of channels that cancel each other
SHOWN = 10  # utterances printed by print_rejected


def print_rejected(rejected: Sequence[AudioError], consequence: str) -> None:
    """Print the first SHOWN errors to standard error."""
    if not rejected:
        return
    print(f"{len(rejected)} utterances {consequence}: their audio is unusable:", file=sys.stderr)
    for error in rejected[:SHOWN]:
        print(printable(f"  {error.place}: {error}"), file=sys.stderr)
    if len(rejected) > SHOWN:
        print(f"  ... and {len(rejected) - SHOWN} more", file=sys.stderr)
    print(
        "Restore the files and run this command again, or run `serdesc prepare` again, which"
        " excludes them.",
        file=sys.stderr,
        flush=True,
    )


def seconds_or_none(path: str | Path) -> float | None:
    """Length by the file's header; None if the file cannot be read."""
    try:
        return seconds(path)
    except AudioError:
        return None


def load(
    path: str | Path,
    max_seconds: float | None = None,
    span: tuple[float, float] | None = None,
    utt_id: str = "",
    channel: int | None = None,
) -> np.ndarray:
    """(S,) float32 samples at 16 kHz of the file or its `span` (seconds).

    One channel, from 0, or the mean of all.
    Raises AudioError with the file and `utt_id` if audio is missing, empty, truncated, silent or
    not finite.
    """
    try:
        samples, rate = recording.read(path, span, max_seconds)
        if channel is not None:
            if not 0 <= channel < samples.shape[1]:
                raise AudioError(
                    f"no channel {channel}: the recording has {samples.shape[1]}, from 0"
                )
            samples = samples[:, channel]
        return from_samples(samples, rate)
    except AudioError as error:
        raise error.at(path, utt_id)


def speech_bounds(wave: np.ndarray) -> tuple[int, int]:
    """Samples between which a wave at 16 kHz is louder than its loudest part less 35 dB, with 0.1 s
    more at both ends.
    """
    from librosa.effects import trim

    _, (start, end) = trim(wave, top_db=QUIET_DB)
    margin = SAMPLE_RATE // 10
    return max(0, int(start) - margin), min(len(wave), int(end) + margin)


def from_samples(samples: np.ndarray, rate: int, max_seconds: float | None = None) -> np.ndarray:
    """(S,) float32 samples at 16 kHz of samples (S,) or (S, channels) at `rate` Hz.

    Full scale is 1, or the range of an integer type.
    Raises AudioError if they are empty, silent, not finite, or no sound in these units.
    """
    if rate < LOWEST_RATE:
        raise AudioError(f"sampled at {rate} Hz: speech needs {LOWEST_RATE} Hz or more")
    if max_seconds is not None:
        samples = samples[: int(max_seconds * rate)]
    if not len(samples):
        raise AudioError("empty: no samples")
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / -float(np.iinfo(samples.dtype).min)
    if not np.isfinite(samples).all():
        invalid = int((~np.isfinite(samples)).sum())
        raise AudioError(f"{invalid} samples are not numbers (NaN or infinity)")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise AudioError(
            f"samples reach {peak:.0f}, where full scale is 1: divide them by full scale, for"
            " 16-bit values by 32768"
        )
    if len(samples) < SHORTEST * rate:
        raise AudioError(f"too short: {len(samples)} samples at {rate} Hz, {SHORTEST} s are needed")
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    if samples.ndim == 2:
        level, louder = np.sqrt((mono**2).mean()), np.sqrt((samples**2).mean(axis=0).max())
        if louder > SILENCE and level < CANCELLED * louder:
            raise AudioError(
                "the channels cancel each other: keep one of them, for example with sox IN OUT"
                " remix 1"
            )
    if rate != SAMPLE_RATE:
        import soxr

        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if float(np.abs(mono - mono.mean()).max()) < SILENCE:
        raise AudioError("silent: no sample is 0.00001 of full scale away from the mean")
    return np.ascontiguousarray(mono, dtype=np.float32)
