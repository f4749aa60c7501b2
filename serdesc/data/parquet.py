"""Clips in Parquet files, as in the dataset speechcolab/gigaspeech of the Hugging Face hub.

Its columns are segment_id, speaker, text, audio {bytes, path}, begin_time, end_time, audio_id,
title, url, source, category and original_full_path; those below are read. The path of a clip is
FILE.parquet#ROW.SUFFIX until `unpack` has written it to a file of its own: a row can only be read
together with its row group, about 100 clips, and training reads clips in random order. The bytes
are not changed. 740 h of 16 bit at 16 kHz take 85 GB.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path
from typing import Any, Container, Iterator, NamedTuple, Sequence

from serdesc.data.corpora import SUFFIXES
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import free_gb, write_errors
from serdesc.progress import progress

# The column `audio` is a struct; its two values are stored, and read, as columns of their own.
SEGMENT_ID, BYTES, AUDIO_PATH = "segment_id", "audio.bytes", "audio.path"
BEGIN, END, TEXT = "begin_time", "end_time", "text"
ROWS = 64  # clips of a Parquet file in memory at a time


class Row(NamedTuple):
    """A row of a Parquet file."""

    sid: str
    wav: str  # FILE.parquet#ROW.SUFFIX
    span: tuple[float, float]  # in the recording, seconds
    text: str


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """A Parquet file with the columns of GigaSpeech. Raises UserError for any other."""
    if find_spec("pyarrow") is None:
        raise UserError(
            f"{path}: Parquet needs pyarrow, which is not installed: pip install pyarrow"
        )
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, buffer_size=1 << 20) as file:
            columns = [file.schema.column(i).path for i in range(len(file.schema))]
            missing = {SEGMENT_ID, BYTES, AUDIO_PATH, BEGIN, END, TEXT}.difference(columns)
            if missing:
                raise UserError(
                    f"{path}: no column {' and '.join(sorted(missing))}, found"
                    f" {', '.join(columns)}: not a Parquet file of GigaSpeech"
                )
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not readable as Parquet ({reason}): download it again") from error


def rows(files: Sequence[Path], wanted: Container[str]) -> Iterator[Row]:
    """The rows with an id in `wanted`, without their audio."""
    with progress("read Parquet columns", len(files), "files") as advance:
        for path in files:
            with _open(path) as file:
                for number, (sid, clip, begin, end, text) in enumerate(_values(file)):
                    if sid in wanted:
                        suffix = os.path.splitext(clip or "")[1].lower()
                        known = suffix if suffix in SUFFIXES else ".wav"
                        yield Row(sid, f"{path}#{number}{known}", (begin, end), text or "")
            advance(1)


def _values(file: Any) -> Iterator[tuple[Any, ...]]:
    columns = [SEGMENT_ID, AUDIO_PATH, BEGIN, END, TEXT]
    for batch in file.iter_batches(4096, columns=columns, use_threads=False):
        audio_paths = batch.column("audio").field("path")
        arrays = [batch.column(SEGMENT_ID), audio_paths, *map(batch.column, columns[2:])]
        yield from zip(*(array.to_pylist() for array in arrays))


# ---- unpacking -----------------------------------------------------------------------------------


def unpack(utterances: list[Utterance], folder: Path, nj: int) -> None:
    """Write the clips of utterances in Parquet files to files of `folder`; sets their paths.

    The utterances are replaced in the list, one at a time: there may be a million. A file that
    exists is not written again: it is complete, since it gets its name at the end. Raises UserError
    if the disk is too small.
    """
    missing: dict[str, list[Utterance]] = {}  # Parquet file -> utterances without a file
    for utt in utterances:
        parquet, _, clip = _location(utt, folder)
        if parquet and not _is_complete(clip):
            missing.setdefault(parquet, []).append(utt)
    if missing:
        _print_need(missing, folder)
        _write_clips(missing, folder, nj)
        missing.clear()
    for i, utt in enumerate(utterances):
        parquet, _, clip = _location(utt, folder)
        if parquet:
            utterances[i] = replace(utt, wav=clip)


def _location(utt: Utterance, folder: Path) -> tuple[str, int, str]:
    """Parquet file (or an empty string), row, and the file in `folder` for an utterance's clip."""
    parquet, _, name = utt.wav.rpartition("#")
    if not parquet.endswith(".parquet"):
        return "", 0, utt.wav
    row, suffix = os.path.splitext(name)
    return parquet, int(row), f"{folder}/{utt.spk}/{utt.utt_id}{suffix}"


def _is_complete(clip: str) -> bool:
    try:
        return os.stat(clip).st_size > 0
    except OSError:
        return False


def _print_need(missing: dict[str, list[Utterance]], folder: Path) -> None:
    """Print what will be unpacked. Raises UserError if it needs more than the free space."""
    need = sum(_size(Path(path), len(utts)) for path, utts in missing.items()) / 1e9
    free, count = free_gb(folder), sum(map(len, missing.values()))
    content = f"{count} clips of {len(missing)} Parquet file(s), about {need:.2g} GB"
    if need > free:
        raise UserError(
            f"{folder}: {content}, cannot be unpacked here: {free:.1f} GB are free. Give another"
            " folder with --set prepare.unpacked=DIR, or prepare a part of the recordings"
            " (prepare.recordings_share)"
        )
    print(f"unpacking {content}, to {folder}; {free:.0f} GB are free", file=sys.stderr, flush=True)


def _size(path: Path, rows: int) -> float:
    """Bytes of the audio of so many rows of a Parquet file, by the sizes in its footer."""
    with _open(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        total = 0
        for group in groups:
            columns = [group.column(i) for i in range(group.num_columns)]
            total += sum(c.total_uncompressed_size for c in columns if c.path_in_schema == BYTES)
        return float(total * rows / max(1, file.metadata.num_rows))


def _write_clips(missing: dict[str, list[Utterance]], folder: Path, nj: int) -> None:
    total = sum(map(len, missing.values()))
    with (
        progress("unpack clips", total, "clips") as advance,
        ThreadPoolExecutor(max(1, nj)) as pool,
    ):
        for written in pool.map(_write_clips_of_file, missing.items(), repeat(folder)):
            advance(written)


def _write_clips_of_file(item: tuple[str, list[Utterance]], folder: Path) -> int:
    path, utterances = item
    clips: dict[int, str] = {}
    for utt in utterances:
        _, row, clip = _location(utt, folder)
        clips[row] = clip
    for parent in {os.path.dirname(clip) for clip in clips.values()}:
        with write_errors(Path(parent)):
            os.makedirs(parent, exist_ok=True)
    with _open(Path(path)) as file:
        for row, data in _audio_bytes(file, clips):
            _write_clip(clips[row], data or b"")
    return len(clips)


def _audio_bytes(file: Any, rows: Container[int]) -> Iterator[tuple[int, bytes | None]]:
    """Number and bytes of the rows; row groups without any of them are not read."""
    first = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if any(row in rows for row in range(first, first + size)):
            row = first
            batches = file.iter_batches(ROWS, [group], columns=[BYTES], use_threads=False)
            for batch in batches:
                for value in batch.column("audio").field("bytes"):
                    if row in rows:
                        yield row, value.as_py()
                    row += 1
        first += size


def _write_clip(clip: str, data: bytes) -> None:
    """Write a file under a temporary name and rename it. Unlike others it is not synchronised."""
    temporary = f"{clip}.{os.getpid()}.part"
    with write_errors(Path(clip)):
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, clip)
