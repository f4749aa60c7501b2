"""Long recordings in pieces that end in pauses. A few pieces' samples are in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import numpy as np

from serdesc.data import audio, joined, recording
from serdesc.data.audio import AudioError

BLOCK_SECONDS = 10.0  # read at a time
PAUSE_SECONDS = 0.3  # the quietest stretch of this length in the second half of a piece ends it
FRAME_SECONDS = 0.02


@dataclass(frozen=True)
class Piece:
    """Part of a recording: its times in seconds, and its samples at 16 kHz or why it has none."""

    start: float
    end: float
    wave: np.ndarray | AudioError


def pieces(path: Path, longest: float) -> Iterator[Piece]:
    """The pieces of a recording, each of at most `longest` seconds, without gaps.

    A piece whose samples cannot be used, as one of silence, has the reason. Raises AudioError for a
    file that cannot be read, or no further.
    """
    held: np.ndarray | None = None
    first, rate = 0, 0  # position of `held` in samples
    for block, rate in blocks(path):
        held = block if held is None else np.concatenate([held, block])
        limit = int(longest * rate)
        while len(held) > limit:
            cut = pause(held[:limit], rate)
            yield _piece(path, held[:cut], first, rate)
            held, first = held[cut:], first + cut
    if held is not None and len(held):
        yield _piece(path, held, first, rate)


def _piece(path: Path, samples: np.ndarray, first: int, rate: int) -> Piece:
    start, end = first / rate, (first + len(samples)) / rate
    try:
        return Piece(start, end, audio.from_samples(samples, rate))
    except AudioError as error:
        return Piece(start, end, error.at(f"{path}, {start:.1f} to {end:.1f} s"))


def pause(samples: np.ndarray, rate: int) -> int:
    """The sample in the middle of the quietest stretch in the second half of (S, channels)."""
    size = int(FRAME_SECONDS * rate)
    mono = samples.mean(axis=1)
    power = (mono[: len(mono) // size * size].reshape(-1, size) ** 2).mean(axis=1)
    width = round(PAUSE_SECONDS / FRAME_SECONDS)
    if len(power) < 2 * width:
        return len(samples)
    smooth = np.convolve(power, np.ones(width) / width, "valid")
    half = len(smooth) // 2
    return int((half + int(np.argmin(smooth[half:])) + width / 2) * size)


def blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """(S, channels) float32 samples of a file, part by part, and the rate in Hz."""
    try:
        with recording.libsndfile(path) as file:
            if file:
                rate = int(file.samplerate)
                size = int(BLOCK_SECONDS * rate)
                while len(block := file.read(size, dtype="float32", always_2d=True)):
                    yield block, rate
                return
        yield from _ffmpeg_blocks(path)
    except AudioError as error:
        raise error.at(path)


def _ffmpeg_blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    import av

    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            held: list[np.ndarray] = []
            for block in recording.decoded(container, stream, joined.count(path) - 1):
                held.append(block)
                if sum(part.shape[1] for part in held) >= BLOCK_SECONDS * rate:
                    yield np.concatenate(held, axis=1).T, rate
                    held = []
            if held:
                yield np.concatenate(held, axis=1).T, rate
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(f"broken ({error})") from error
