"""Samples of recordings: by libsndfile where it reads a file to its end, else by FFmpeg (PyAV).

libsndfile uses the length in the header: of files that were joined with `cat` it reads the first,
and it guesses the length of MP3 files without a Xing header. FFmpeg reads such files to their end,
and also MP4, M4A, AAC, WebM and AMR. It hides faults inside a file, so a file that libsndfile opens
and cannot read is an error.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import numpy as np

from serdesc.data import joined
from serdesc.errors import FailedError

# Seconds that a segment may end after its recording, or a recording before its header's end
TOLERANCE = 0.02
DELAY = 0.15  # seconds that FFmpeg may find less than is declared: the codec's delay at both ends
BLOCK = 2**20  # samples read at a time: a header may declare more than the file, or memory, holds
PAGE = 65_307  # bytes; the longest page of an Ogg file
IMPLAUSIBLE = 2**40  # samples; two years at 16 kHz, as in a FLAC header without a length
LARGEST = 2**29  # samples read at once, 2 GB: a file of 6 MB may hold ten hours of silence
# Bytes. sox and ffmpeg declare this size or more if they write to a pipe and do not know the size.
UNKNOWN_SIZE = 0x7FFFF000
# Declared and actual size of WAV, AIFF and AU files in libsndfile's log
_SIZES = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
# Containers that declare the length of their sound; the length of others is FFmpeg's estimate
_DECLARING = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "ogg", "flac", "wav", "aiff", "caf"}
SUFFIXES = (  # of files that are looked for in folders
    ".wav .flac .ogg .opus .oga .mp3 .m4a .m4b .aac .mp4 .mov .mkv .mka .webm .amr .3gp .wma .aif"
    " .aiff .aifc .au .caf .w64 .rf64 .ac3 .sph .nist .gsm"
).split()
_SYSTEM_ERROR = 2  # libsndfile: the file cannot be opened
_NO_AUDIO = (
    (rb"\Z", "0 bytes"),
    (rb"version https://git-lfs", "a Git LFS pointer: fetch the file with `git lfs pull`"),
    (rb"(?i)\s*<(!doctype html|html|\?xml)", "a web page: download the file again"),
    (rb"[\t\n\r\x20-\x7e]+\Z", "text"),
)
_RAW = (
    "no known format. Samples without a header need one, for example: sox -t raw -r 16000 -e signed"
    " -b 16 -c 1 IN OUT.wav"
)


class AudioError(FailedError):
    """Unusable audio. The message is the reason, as in rejected.tsv.

    `place` is the file, with the utterance if it is known.
    """

    utt_id = ""

    def at(self, path: str | Path, utt_id: str = "") -> AudioError:
        """Set the location; returns the error."""
        self.place, self.utt_id = f"{path} ({utt_id})" if utt_id else str(path), utt_id
        return self


def read(
    path: str | Path,
    span: tuple[float, float] | None = None,
    max_seconds: float | None = None,
) -> tuple[np.ndarray, int]:
    """(S, channels) float32 samples of a file or its `span` (seconds), and the rate in Hz.

    At most the first `max_seconds`. Raises AudioError for missing, unreadable, empty and truncated
    files, and for a span that ends after its recording.
    """
    with libsndfile(path) as file:
        if file:
            return _read_libsndfile(file, span, max_seconds), int(file.samplerate)
    return _read_ffmpeg(path, span, max_seconds)


def seconds(path: str | Path) -> float:
    """Length by the header, or of all samples if the header has none. Raises AudioError."""
    rate, samples, _ = properties(path)
    return samples / rate


def properties(path: str | Path) -> tuple[int, int, int]:
    """Rate in Hz, samples and channels. Raises AudioError."""
    with libsndfile(path) as file:
        if file:
            return int(file.samplerate), int(file.frames), int(file.channels)
    samples, rate = _read_ffmpeg(path)
    return rate, len(samples), samples.shape[1]


def comment(path: str | Path) -> str | None:
    """The comment in a file; None if the file is missing or cannot be read."""
    try:
        with libsndfile(path) as file:
            return str(file.comment) if file else None
    except AudioError:
        return None


def find(folder: Path) -> list[Path]:
    """The recordings in a folder and those in it, by suffix, sorted; no hidden ones (`._a.wav`)."""
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            found.append(path)
    return found


@contextmanager
def libsndfile(path: str | Path) -> Iterator[Any]:
    """The file, opened by libsndfile, or None if FFmpeg must read it.

    Errors of opening and reading are raised as AudioError.
    """
    import soundfile

    try:
        starts = joined.count(path)
        if starts > 1 and joined.start(path) == b"RIFF":
            raise AudioError(f"{starts} WAV files in one: split them, or join their samples (sox)")
        file = None
        if starts == 1:
            file = _open(path)
        if file and not 0 < file.frames < IMPLAUSIBLE:
            file.close()
            file = None
    except OSError as error:
        raise AudioError(_reason(error)) from error
    if not file:
        yield None
        return
    try:
        with file:
            yield file
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"not readable as audio ({str(error).rstrip('.')})") from error


def _open(path: str | Path) -> Any:
    """The file opened by libsndfile, or None if it cannot read the format."""
    import soundfile

    try:
        return soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        if error.code == _SYSTEM_ERROR:
            raise AudioError(f"not readable as audio ({str(error).rstrip('.')})") from error
        return None


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"not readable as audio ({error.strerror})"


# ---- libsndfile ----------------------------------------------------------------------------------


def _read_libsndfile(
    file: Any, span: tuple[float, float] | None, max_seconds: float | None
) -> np.ndarray:
    """(S, channels) samples of an open file."""
    rate, expected = file.samplerate, file.frames
    first, last = _positions(span, rate, expected)
    if first >= expected or last > expected + TOLERANCE * rate:
        raise _too_short(expected, rate, last)
    count = min(last, expected) - first
    if max_seconds is not None:
        count = min(count, int(max_seconds * rate))
    _refuse_too_long(count, file.channels, rate)
    declared = expected if span else _declared_samples(file)
    if file.seekable():
        file.seek(first)
        samples = _blocks(file, count)
    else:  # GSM
        samples = _blocks(file, first + count)[first:]
    found = min(len(samples), expected)
    if declared is None:
        raise AudioError(f"cut off: the last page is missing, the file holds {found}")
    if len(samples) < count or declared > expected + TOLERANCE * rate:
        raise _cut_off(declared, found)
    return samples


def _positions(span: tuple[float, float] | None, rate: int, expected: int) -> tuple[int, int]:
    """First sample of a span, or of the file, and the one after its last."""
    if span is None:
        return 0, expected
    return round(span[0] * rate), round(span[1] * rate)


def _blocks(file: Any, count: int) -> np.ndarray:
    """Up to `count` samples from the position of the file."""
    blocks = []
    while count > 0:
        block = file.read(min(count, BLOCK), dtype="float32", always_2d=True)
        blocks.append(block)
        count -= BLOCK
        if len(block) < BLOCK:
            break
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _declared_samples(file: Any) -> int | None:
    """Samples that the header declares; None for an Ogg stream without its last page.

    libsndfile uses the actual number if it is smaller, and logs the difference.
    """
    log = file.extra_info
    if "Last page lacks an end-of-stream bit" in log:
        return None
    if "Junk after the last page" in log and _ends_in_page(file.name):
        return None
    samples = int(file.frames)
    declared_samples = []
    for declared, actual in _SIZES.findall(log):
        if int(actual) and int(declared) < UNKNOWN_SIZE:
            declared_samples.append(round(samples * int(declared) / int(actual)))
    return max(declared_samples, default=samples)


def _ends_in_page(path: str) -> bool:
    """Whether an Ogg file ends before the end of its last page (RFC 3533, section 6)."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - PAGE))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 0
    return len(page) < 27 + segments + sum(page[27 : 27 + segments])


def _refuse_too_long(samples: int, channels: int, rate: int) -> None:
    hours = LARGEST / channels / rate / 3600
    if samples * channels > LARGEST:
        raise AudioError(f"longer than {hours:.1f} h, which is read at once: list its `segments`")


def _cut_off(declared: int, found: int) -> AudioError:
    return AudioError(f"cut off: the header declares {declared} samples, the file holds {found}")


def _too_short(samples: int, rate: int, last: int) -> AudioError:
    return AudioError(
        f"ends at {samples / rate:.2f} s, before the end of the segment at {last / rate:.2f} s"
    )


# ---- FFmpeg --------------------------------------------------------------------------------------


def _read_ffmpeg(
    path: str | Path,
    span: tuple[float, float] | None = None,
    max_seconds: float | None = None,
) -> tuple[np.ndarray, int]:
    """(S, channels) samples of the first audio stream, and the rate in Hz.

    Always decoded from the start: positions after a jump are not exact in every container.
    """
    import av

    found = 0
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError("no sound in it, only pictures")
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            first, last = _positions(span, rate, IMPLAUSIBLE)
            wanted = last if max_seconds is None else min(last, first + int(max_seconds * rate))
            blocks = []
            for block in decoded(container, stream, joined.count(path) - 1):  # (channels, S)
                if found + block.shape[1] > first:
                    blocks.append(block[:, max(0, first - found) : wanted - found])
                    _refuse_too_long(found - first, block.shape[0], rate)
                found += block.shape[1]
                if found >= wanted:
                    break
            declared = _declared_seconds(container, stream)
    except (av.error.FFmpegError, ValueError) as error:
        if found:
            raise AudioError(f"broken after {found / rate:.2f} s ({_text(error)})") from error
        raise AudioError(f"not readable as audio{_what(path, error)}") from error
    if not found:
        raise AudioError("empty: no samples")
    if span and (found <= first or found + TOLERANCE * rate < min(last, wanted)):
        raise _too_short(found, rate, last)
    if found < wanted and found + DELAY * rate < declared * rate:
        raise _cut_off(round(declared * rate), found)
    return np.ascontiguousarray(np.concatenate(blocks, axis=1).T), rate


def decoded(container: Any, stream: Any, joints: int) -> Iterator[np.ndarray]:
    """(channels, S) float32 samples of each frame, with rate and channels of the first.

    Files that were joined may change both.
    """
    import av

    convert: Any = None
    layout, format_of = None, None
    for frame in _frames(container, stream, joints):
        layout = layout or frame.layout.name
        if format_of != (frame.format.name, frame.layout.name, frame.sample_rate):
            if convert:
                yield from (part.to_ndarray() for part in convert.resample(None))
            convert = av.AudioResampler("fltp", layout, int(stream.rate))
            format_of = (frame.format.name, frame.layout.name, frame.sample_rate)
        frame.pts = None
        yield from (part.to_ndarray() for part in convert.resample(frame))
    if convert:
        yield from (part.to_ndarray() for part in convert.resample(None))


def _frames(container: Any, stream: Any, joints: int) -> Iterator[Any]:
    """Decoded frames; at each joint a packet that is no sound, but tags, is skipped."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            joints -= 1
            if joints < 0:
                raise


def _declared_seconds(container: Any, stream: Any) -> float:
    """The length of the sound that the container declares, or 0."""
    if container.format.name not in _DECLARING:
        return 0.0
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and not container.streams.video:
        return float(container.duration / 1e6)
    return 0.0


def _what(path: str | Path, error: Exception) -> str:
    """What a file is that FFmpeg cannot read."""
    with open(path, "rb") as file:
        head = file.read(512)
    for pattern, name in _NO_AUDIO:
        if re.match(pattern, head):
            return f": {name}"
    is_mp4 = head[4:8] == b"ftyp"
    if is_mp4 and b"moov" not in Path(path).read_bytes():
        return ": cut off, its index (moov) is missing"
    if is_mp4 or joined.start(path):
        return f" ({_text(error)})"
    return f": {_RAW}"


def _text(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
