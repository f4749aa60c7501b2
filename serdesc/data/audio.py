"""Audio from any file that libsndfile reads, as one channel at 16 kHz.

Unusable audio raises AudioError with the reason.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np

from serdesc.errors import FailedError

SAMPLE_RATE = 16_000
# Seconds that a segment may end after its recording, or a recording before the end that its header
# declares: lists round, and codecs pad.
TOLERANCE = 0.02
# Bytes. sox and ffmpeg declare this size or more if they write to a pipe and do not know the size.
UNKNOWN_SIZE = 0x7FFFF000
# Declared and actual size of WAV, AIFF and AU files in libsndfile's log
_SIZES = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
SILENCE = 1e-5  # of full scale; a recording without a larger deviation from its mean is silent
LOUDEST = 32.0  # of full scale: samples beyond it are in another unit, as float samples up to 32768
LOWEST_RATE = 4000  # Hz
SHORTEST = 0.01  # seconds
CANCELLED = 1e-3  # of the louder channel's level: what is left of channels that cancel each other
SHOWN = 10  # utterances printed by print_rejected


class AudioError(FailedError):
    """Unusable audio. The message is the reason, as in rejected.tsv.

    `place` is the file, with the utterance if it is known.
    """

    utt_id = ""

    def at(self, path: str | Path, utt_id: str = "") -> AudioError:
        """Set the location; returns the error."""
        self.place, self.utt_id = f"{path} ({utt_id})" if utt_id else str(path), utt_id
        return self


def print_rejected(rejected: Sequence[AudioError], consequence: str) -> None:
    """Print the first SHOWN errors to standard error."""
    if not rejected:
        return
    print(f"{len(rejected)} utterances {consequence}: their audio is unusable:", file=sys.stderr)
    for error in rejected[:SHOWN]:
        print(f"  {error.place}: {error}", file=sys.stderr)
    if len(rejected) > SHOWN:
        print(f"  ... and {len(rejected) - SHOWN} more", file=sys.stderr)
    print(
        "Restore the files and run this command again, or run `serdesc prepare` again, which"
        " excludes them.",
        file=sys.stderr,
        flush=True,
    )


@contextmanager
def open_audio(path: str | Path) -> Iterator[Any]:
    """The file, opened by libsndfile. Errors of opening and reading are raised as AudioError."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (soundfile.LibsndfileError, RuntimeError) as error:
        if not Path(path).exists():
            raise AudioError("no such file") from error
        raise AudioError(f"not readable as audio ({str(error).rstrip('.')})") from error


def seconds(path: str | Path) -> float:
    """Length by the file's header. Raises AudioError."""
    with open_audio(path) as file:
        return float(file.frames / file.samplerate)


def seconds_or_none(path: str | Path) -> float | None:
    """Length by the file's header; None if the file cannot be read."""
    try:
        return seconds(path)
    except AudioError:
        return None


def _declared_samples(file: Any) -> int | None:
    """Samples that the header declares; None for an Ogg stream without its last page.

    libsndfile uses the actual number if it is smaller, and logs the difference.
    """
    if "Last page lacks an end-of-stream bit" in file.extra_info:
        return None
    samples = int(file.frames)
    declared_samples = []
    for declared, actual in _SIZES.findall(file.extra_info):
        if int(actual) and int(declared) < UNKNOWN_SIZE:
            declared_samples.append(round(samples * int(declared) / int(actual)))
    return max(declared_samples, default=samples)


def load(
    path: str | Path,
    max_seconds: float | None = None,
    span: tuple[float, float] | None = None,
    utt_id: str = "",
) -> np.ndarray:
    """(S,) float32 samples at 16 kHz, mean of the channels, of the file or its `span` (seconds).

    Raises AudioError with the file and `utt_id` if audio is missing, empty, truncated, silent or
    not finite.
    """
    try:
        return _load(path, max_seconds, span)
    except AudioError as error:
        raise error.at(path, utt_id)


def _load(
    path: str | Path, max_seconds: float | None, span: tuple[float, float] | None
) -> np.ndarray:
    with open_audio(path) as file:
        rate, expected = file.samplerate, file.frames
        first, last = 0, expected
        if span:
            first, last = round(span[0] * rate), round(span[1] * rate)
        if span and (first >= expected or last > expected + TOLERANCE * rate):
            raise AudioError(
                f"ends at {expected / rate:.2f} s, before the end of the segment at"
                f" {last / rate:.2f} s"
            )
        file.seek(first)
        count = min(last, expected) - first
        if max_seconds is not None:
            count = min(count, int(max_seconds * rate))
        declared = expected if span else _declared_samples(file)
        wave = file.read(count, dtype="float32", always_2d=True)  # (samples, channels)
    if not len(wave):
        raise AudioError("empty: no samples")
    if declared is None:
        reason = "the last page is missing"
        raise AudioError(f"cut off: {reason}, the file holds {min(len(wave), expected)}")
    if len(wave) < count or declared > expected + TOLERANCE * rate:
        reason = f"the header declares {declared} samples"
        raise AudioError(f"cut off: {reason}, the file holds {min(len(wave), expected)}")
    return from_samples(wave, rate)


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
