"""The audio of each utterance, decoded once. What is known of a file is not decoded again.

`utt2audio` has a line for each utterance with usable audio: id, seconds and a stamp of the file.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Sequence

from serdesc.data import audio
from serdesc.data.datadir import Utterance
from serdesc.files import digest, write_lines
from serdesc.progress import progress

RECORD = "utt2audio"
CHUNK = 16  # utterances that a process takes at a time
Convert = Callable[[Utterance, Path], Utterance]


class Audio(NamedTuple):
    """The audio of an utterance."""

    wav: str  # its file, which `convert` may have written
    seconds: float
    reason: str = ""  # why it is unusable


def decode_all(
    utterances: Sequence[Utterance], data: Path, nj: int, convert: Convert | None, name: str
) -> Iterator[Audio]:
    """The audio of each utterance, in order, by `nj` processes.

    Results are written to `data` while it runs, so that a stopped run resumes. Files that `convert`
    writes have a record of their own.
    """
    record, partial = data / RECORD, data / f".{RECORD}.partial"
    stored = {**_read(record), **_read(partial)}
    _write(partial, stored)
    stamps = [None if convert else _stamp(utt) for utt in utterances]
    known: dict[str, float] = {}  # utterances of unchanged files -> seconds
    for utt, stamp in zip(utterances, stamps):
        if stamp and utt.utt_id in stored and stored[utt.utt_id][0] == stamp:
            known[utt.utt_id] = stored[utt.utt_id][1]
    missing = [utt for utt in utterances if utt.utt_id not in known]
    with (
        progress(f"prepare {name}", len(utterances), "utterances") as advance,
        partial.open("a", encoding="utf-8", buffering=1) as output,
        ProcessPoolExecutor(max(1, nj)) as pool,
    ):
        folder = (data / "audio").absolute()
        decoded = pool.map(_decode, missing, repeat(convert), repeat(folder), chunksize=CHUNK)
        found = {}
        for utt, stamp in zip(utterances, stamps):
            if utt.utt_id in known:
                result = Audio(utt.wav, known[utt.utt_id])
            else:
                result = next(decoded)
                if stamp and not result.reason:
                    output.write(f"{utt.utt_id} {stamp} {result.seconds!r}\n")
            if stamp and not result.reason:
                found[utt.utt_id] = (stamp, result.seconds)
            yield result
            advance(1)
    if found:
        _write(record, dict(sorted(found.items())))
    partial.unlink()


def _decode(utt: Utterance, convert: Convert | None, folder: Path) -> Audio:
    try:
        if convert:
            utt = convert(utt, folder)
        samples = len(utt.load_audio())
        return Audio(utt.wav, samples / audio.SAMPLE_RATE)
    except audio.AudioError as error:
        return Audio(utt.wav, 0.0, str(error))


def _stamp(utt: Utterance) -> str | None:
    """A hash of the path, the position in it, and the file's size and time; None without file."""
    try:
        status = os.stat(utt.wav)
    except OSError:
        return None
    return digest(utt.wav, utt.span, utt.channel, status.st_size, status.st_mtime_ns)


def _read(path: Path) -> dict[str, tuple[str, float]]:
    """Utterance -> stamp and seconds; the last line of a stopped run may be incomplete."""
    if not path.exists():
        return {}
    known = {}
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        utt_id, stamp, seconds = line.split(" ")
        known[utt_id] = (stamp, float(seconds))
    return known


def _write(path: Path, known: dict[str, tuple[str, float]]) -> None:
    write_lines(path, (f"{utt_id} {stamp} {s!r}\n" for utt_id, (stamp, s) in known.items()))
