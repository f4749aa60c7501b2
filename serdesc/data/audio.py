"""Audio from any file that libsndfile reads, as one channel at 16 kHz; what cannot be used is refused with its reason."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import numpy as np

SAMPLE_RATE = 16_000
TOLERANCE = 0.02  # seconds that a segment may end after its recording: lists round, and codecs pad


class AudioError(ValueError):
    """Audio that cannot be used. The message is the reason, as it stands in rejected.tsv."""


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """The file as libsndfile opens it; what goes wrong there, and while it is read, is an AudioError."""
    import soundfile

    if not Path(path).exists():
        raise AudioError("no such file")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"not readable as audio ({str(error).rstrip('.')})") from error


def seconds(path: str | Path) -> float:
    """Length by the file's header. Raises AudioError."""
    with opened(path) as file:
        return float(file.frames / file.samplerate)


def load(path: str | Path, max_seconds: float | None = None, span: tuple[float, float] | None = None) -> np.ndarray:
    """(S,) float32 samples at 16 kHz, channels averaged, of the whole file or of `span` (seconds) in it.

    Raises AudioError: missing, empty, cut off, silent or not numbers.
    """
    with opened(path) as file:
        rate, expected = file.samplerate, file.frames
        first, last = (round(second * rate) for second in span) if span else (0, expected)
        if span and (first >= expected or last > expected + TOLERANCE * rate):
            raise AudioError(f"ends at {expected / rate:.2f} s, before the end of the segment at {last / rate:.2f} s")
        file.seek(first)
        wanted = min(last, expected) - first
        if max_seconds is not None:
            wanted = min(wanted, int(max_seconds * rate))
        wave = file.read(wanted, dtype="float32", always_2d=True)
    if not len(wave):
        raise AudioError("empty: no samples")
    if len(wave) < wanted:
        raise AudioError(f"cut off: the header promises {expected} samples, the file holds {len(wave)}")
    if not np.isfinite(wave).all():
        raise AudioError(f"{int((~np.isfinite(wave)).sum())} samples are not numbers (NaN or infinity)")
    mono = wave.mean(axis=1)
    if rate != SAMPLE_RATE:
        import soxr

        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if float(np.abs(mono).max(initial=0.0)) < 1e-5:
        raise AudioError("silent: no sample above 0.00001 of full scale")
    return np.ascontiguousarray(mono, dtype=np.float32)
