"""Audio from any file that libsndfile reads, as one channel at 16 kHz; what cannot be used is refused with its reason."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np

from serdesc.errors import FailedError

SAMPLE_RATE = 16_000
TOLERANCE = 0.02  # seconds that a segment may end after its recording, or a recording before what its header says: lists round, and codecs pad
PIPED = 0x7FFFF000  # bytes: what sox and ffmpeg promise from here on means that they did not know
_SIZES = re.compile(
    r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)"
)  # of WAV, AIFF, AU in libsndfile's log


class AudioError(FailedError):
    """Audio that cannot be used. The message is the reason, as it stands in rejected.tsv; `place` is the file, with the utterance if it is known."""

    utt_id = ""

    def at(self, path: str | Path, utt_id: str = "") -> AudioError:
        self.place, self.utt_id = f"{path} ({utt_id})" if utt_id else str(path), utt_id
        return self


def print_rejected(unusable: Sequence[AudioError], what: str) -> None:
    """Name what cannot be used, and why, on standard error: the first ten of them."""
    if unusable:
        print(
            f"{len(unusable)} utterances {what}, for their audio cannot be used:", file=sys.stderr
        )
        for error in unusable[:10]:
            print(f"  {error.place}: {error}", file=sys.stderr)
        if len(unusable) > 10:
            print(f"  ... and {len(unusable) - 10} more", file=sys.stderr)
        print(
            "Restore the files and make this again, or run `serdesc prepare` again: it leaves them out.",
            file=sys.stderr,
            flush=True,
        )


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


def length(path: str | Path) -> float | None:
    """The same; None where there is no audio that can be read."""
    try:
        return seconds(path)
    except AudioError:
        return None


def _promised(file: Any) -> int | None:
    """Samples by the header. libsndfile takes the fewer that are there and tells its log; None of an Ogg stream without an end.

    What writes to a pipe cannot know the length, and promises all that the field holds.
    """
    if "Last page lacks an end-of-stream bit" in file.extra_info:
        return None
    there = int(file.frames)
    sizes = [(int(promised), int(held)) for promised, held in _SIZES.findall(file.extra_info)]
    return max(
        (round(there * promised / held) for promised, held in sizes if held and promised < PIPED),
        default=there,
    )


def load(
    path: str | Path,
    max_seconds: float | None = None,
    span: tuple[float, float] | None = None,
    utt_id: str = "",
) -> np.ndarray:
    """(S,) float32 samples at 16 kHz, channels averaged, of the whole file or of `span` (seconds) in it.

    Raises AudioError, with the file and `utt_id` in it: missing, empty, cut off, silent or not numbers.
    """
    try:
        return _load(path, max_seconds, span)
    except AudioError as error:
        raise error.at(path, utt_id)


def _load(
    path: str | Path, max_seconds: float | None, span: tuple[float, float] | None
) -> np.ndarray:
    with opened(path) as file:
        rate, expected = file.samplerate, file.frames
        first, last = (round(second * rate) for second in span) if span else (0, expected)
        if span and (first >= expected or last > expected + TOLERANCE * rate):
            raise AudioError(
                f"ends at {expected / rate:.2f} s, before the end of the segment at {last / rate:.2f} s"
            )
        file.seek(first)
        wanted = min(last, expected) - first
        if max_seconds is not None:
            wanted = min(wanted, int(max_seconds * rate))
        promised = expected if span else _promised(file)
        wave = file.read(wanted, dtype="float32", always_2d=True)
    if not len(wave):
        raise AudioError("empty: no samples")
    if len(wave) < wanted or promised is None or promised > expected + TOLERANCE * rate:
        told = (
            "its last page is not there"
            if promised is None
            else f"the header promises {promised} samples"
        )
        raise AudioError(f"cut off: {told}, the file holds {min(len(wave), expected)}")
    if not np.isfinite(wave).all():
        raise AudioError(
            f"{int((~np.isfinite(wave)).sum())} samples are not numbers (NaN or infinity)"
        )
    mono = wave.mean(axis=1)
    if rate != SAMPLE_RATE:
        import soxr

        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if float(np.abs(mono).max(initial=0.0)) < 1e-5:
        raise AudioError("silent: no sample above 0.00001 of full scale")
    return np.ascontiguousarray(mono, dtype=np.float32)
