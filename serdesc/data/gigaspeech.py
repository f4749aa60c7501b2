"""GigaSpeech in the forms in which it is distributed, recognised by the names below a folder.

    whole recordings   <recording id>.opus (.flac ...); needs GigaSpeech.json, which has their paths
    Parquet files      clips as in speechcolab/gigaspeech of the Hugging Face hub: the columns
                       segment_id, audio {bytes, path}, begin_time, end_time, text; others are not
                       read
    clip files         <segment id>.wav (.opus ...) in any folders

Times and texts of clips are those of GigaSpeech.json if there is one, else of the Parquet columns.
Clip files alone have none: the text is then the label's. The recording of a segment is its id up to
`_S`. A segment that is found twice (subset M contains S) is used once, in the order of the paths.

`unpack` writes the clips of Parquet files to files, once: a row can only be read together with its
row group, about 100 clips, and training reads clips in random order. The bytes are not changed.
740 h of 16 bit at 16 kHz take 85 GB.

GigaSpeech.json: https://github.com/SpeechColab/GigaSpeech
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Container, Iterator, NamedTuple, Sequence

import ijson

from serdesc.data.corpora import SUFFIXES
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import free_gb, write_errors
from serdesc.progress import progress

SEGMENT = re.compile(r"(?:AUD|POD|YOU)\d{10}_S\d{7}")
RECORDING = re.compile(r"(?:AUD|POD|YOU)\d{10}")
# The column `audio` is a struct; its two values are stored, and read, as columns of their own.
SEGMENT_ID, BYTES, AUDIO_PATH = "segment_id", "audio.bytes", "audio.path"
BEGIN, END, TEXT = "begin_time", "end_time", "text"
ROWS = 64  # clips of a Parquet file in memory at a time
SHOWN_SUFFIXES = 5  # kinds of other files in an error


class Segment(NamedTuple):
    """A segment of a recording. Without metadata a clip has no span and an empty text."""

    sid: str
    recording: str
    wav: str  # whole recording, clip, FILE.parquet#ROW.SUFFIX, or empty if there is no clip
    span: tuple[float, float] | None  # in the recording, seconds
    text: str
    is_clip: bool


def segments(folder: Path, metadata: Path | None, wanted: Container[str]) -> Iterator[Segment]:
    """The segments with audio below `folder`; of clips only those with an id in `wanted`.

    The caller removes an id from `wanted` when it gets its segment, so that it gets no second one.
    metadata: GigaSpeech.json, or None for clips without it. Raises UserError if the folder has no
    audio of GigaSpeech or more than one form of it.
    """
    audio = _scan(folder, wanted)
    form = _form(audio, folder)
    if metadata is None and form == "recordings":
        raise UserError(
            f"{folder}: whole recordings, which need GigaSpeech's metadata: give it with --set"
            " prepare.gigaspeech=/path/to/GigaSpeech.json"
        )
    if form == "recordings":
        yield from _of_recordings(metadata, folder)  # type: ignore[arg-type]
    elif metadata is not None:
        yield from _with_metadata(metadata, audio.clips or _rows_by_id(audio.parquet, wanted))
    elif form == "parquet":
        yield from _of_rows(audio.parquet, wanted)
    else:
        for sid, path in audio.clips.items():
            yield Segment(sid, recording_of(sid), path, None, "", True)


def recording_of(sid: str) -> str:
    """The recording of a segment id."""
    return sid.partition("_S")[0]


def _of_recordings(metadata: Path, folder: Path) -> Iterator[Segment]:
    for recording in recordings(metadata):
        wav = str(folder / recording["path"])
        for sid, span, text in _metadata(metadata, recording):
            yield Segment(sid, recording["aid"], wav, span, text, False)


def _with_metadata(metadata: Path, clips: dict[str, str]) -> Iterator[Segment]:
    for recording in recordings(metadata):
        for sid, span, text in _metadata(metadata, recording):
            yield Segment(sid, recording["aid"], clips.pop(sid, ""), span, text, True)


# ---- the forms -----------------------------------------------------------------------------------


@dataclass
class _Audio:
    """The audio below a folder."""

    parquet: list[Path] = field(default_factory=list)
    clips: dict[str, str] = field(default_factory=dict)  # segment id -> path, of the wanted ones
    examples: dict[str, str] = field(default_factory=dict)  # form -> path of its first file
    counts: Counter[str] = field(default_factory=Counter)  # form -> files
    others: Counter[str] = field(default_factory=Counter)  # suffix -> files


FORMS = {"recordings": "whole recording(s)", "parquet": "Parquet file(s)", "clips": "clip(s)"}


def _scan(folder: Path, wanted: Container[str]) -> _Audio:
    audio = _Audio()
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            form = _form_of_name(stem, suffix.lower())
            if not form:
                audio.others[suffix] += 1
                continue
            path = os.path.join(parent, name)
            audio.counts[form] += 1
            audio.examples.setdefault(form, path)
            if form == "parquet":
                audio.parquet.append(Path(path))
            elif form == "clips" and stem in wanted:
                audio.clips.setdefault(stem, path)
    return audio


def _form_of_name(stem: str, suffix: str) -> str:
    """The form that a file of this name belongs to; empty if none."""
    if suffix == ".parquet":
        return "parquet"
    if suffix in SUFFIXES and SEGMENT.fullmatch(stem):
        return "clips"
    return "recordings" if suffix in SUFFIXES and RECORDING.fullmatch(stem) else ""


def _form(audio: _Audio, folder: Path) -> str:
    """The only form of the audio. Raises UserError if there is none or more than one."""
    if len(audio.counts) == 1:
        return next(iter(audio.counts))
    if not audio.counts:
        kinds = [f"{n} *{suffix or ' without suffix'}" for suffix, n in audio.others.most_common()]
        content = ", ".join(kinds[:SHOWN_SUFFIXES]) or "nothing"
        raise UserError(
            f"{folder}: no audio of GigaSpeech below it (found {content}): neither recordings"
            " POD0000000001.opus nor Parquet files nor clips POD0000000001_S0000001.wav. Give the"
            " folder with --set prepare.recordings=DIR"
        )
    kinds = [f"{n} {FORMS[form]} ({audio.examples[form]})" for form, n in audio.counts.items()]
    raise UserError(
        f"{folder}: more than one form of GigaSpeech below it: {' and '.join(kinds)}. Give a folder"
        " with one of them with --set prepare.recordings=DIR"
    )


# ---- GigaSpeech.json -----------------------------------------------------------------------------


def _metadata(path: Path, recording: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Id, span and text of the segments of a recording of GigaSpeech.json."""
    for segment in recording["segments"]:
        try:
            span = (float(segment["begin_time"]), float(segment["end_time"]))
            yield segment["sid"], span, segment.get("text_tn") or ""
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: segment {str(segment)[:80]} of {recording['aid']} has no sid, begin_time"
                f" and end_time in seconds ({error!r}): not GigaSpeech's format"
            ) from error


def recordings(path: Path) -> Iterator[dict[str, Any]]:
    """The recordings of GigaSpeech.json, read one at a time: the file has several gigabytes."""
    if not path.exists():
        raise UserError(
            f"{path}: no such file. Give GigaSpeech's metadata with --set"
            " prepare.gigaspeech=/path/to/GigaSpeech.json"
        )
    empty = True
    with open_json(path) as file:
        for recording in ijson.items(file, "audios.item", use_float=True, buf_size=1 << 20):
            empty = False
            _check_recording(path, recording)
            yield recording
        if empty:
            file.seek(0)
            raise UserError(
                f"{path}: begins with {file.read(60)!r} and has no recording in a list `audios`:"
                " not GigaSpeech's format"
            )


def _check_recording(path: Path, recording: Any) -> None:
    keys = list(recording) if isinstance(recording, dict) else []
    missing = [key for key in ("aid", "path", "segments") if key not in keys]
    if missing:
        content = ", ".join(recording) if isinstance(recording, dict) else str(recording)[:60]
        raise UserError(
            f"{path}: a recording without {' and '.join(missing)}, found {content}: not"
            " GigaSpeech's format"
        )


@contextmanager
def open_json(path: Path) -> Iterator[BinaryIO]:
    """A JSON file, after its byte order mark. JSON errors in the block are raised as UserError."""
    with path.open("rb") as file:
        file.seek(3 if file.read(3) == b"\xef\xbb\xbf" else 0)
        try:
            yield file
        except (ijson.JSONError, UnicodeDecodeError) as error:
            file.seek(0)
            first = file.readline(1 << 20)
            raise UserError(
                f"{path}: begins with {first[:60]!r} but is not one JSON object ({error}):"
                f" {_remedy(first)}"
            ) from error


def _remedy(line: bytes) -> str:
    try:
        json.loads(line)
    except ValueError:  # also of a wrong encoding
        return "download it again"
    return "its first line is a complete JSON value (JSON lines): write all of them as one object"


# ---- Parquet files -------------------------------------------------------------------------------


@contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
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
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: not readable as Parquet ({error}): download it again") from error


def _rows_by_id(files: Sequence[Path], wanted: Container[str]) -> dict[str, str]:
    """Segment id -> FILE.parquet#ROW.SUFFIX."""
    rows: dict[str, str] = {}
    for segment in _of_rows(files, wanted):
        rows.setdefault(segment.sid, segment.wav)
    return rows


def _of_rows(files: Sequence[Path], wanted: Container[str]) -> Iterator[Segment]:
    """The rows of Parquet files that are wanted, without their audio."""
    with progress("read Parquet columns", len(files), "files") as advance:
        for path in files:
            with _open_parquet(path) as file:
                for row, values in enumerate(_values(file)):
                    if values[0] in wanted:
                        yield _of_row(path, row, *values)
            advance(1)


def _values(file: Any) -> Iterator[tuple[Any, ...]]:
    columns = [SEGMENT_ID, AUDIO_PATH, BEGIN, END, TEXT]
    for batch in file.iter_batches(4096, columns=columns, use_threads=False):
        audio_paths = batch.column("audio").field("path")
        arrays = [batch.column(SEGMENT_ID), audio_paths, *map(batch.column, columns[2:])]
        yield from zip(*(array.to_pylist() for array in arrays))


def _of_row(
    path: Path, row: int, sid: str, audio_path: str | None, begin: float, end: float, text: str
) -> Segment:
    suffix = os.path.splitext(audio_path or "")[1].lower()
    wav = f"{path}#{row}{suffix if suffix in SUFFIXES else '.wav'}"
    return Segment(sid, recording_of(sid), wav, (begin, end), text or "", True)


# ---- unpacking -----------------------------------------------------------------------------------


def unpack(utterances: list[Utterance], folder: Path, nj: int) -> Iterator[Utterance]:
    """The utterances; those in Parquet files with their clip as a file of `folder`.

    A file that exists is not written again: it is complete, since it gets its name at the end.
    Raises UserError if the disk is too small.
    """
    missing: dict[str, dict[int, str]] = {}  # Parquet file -> row -> file to write
    for utt in utterances:
        parquet, row, clip = _location(utt, folder)
        if parquet and not _is_complete(clip):
            missing.setdefault(parquet, {})[row] = clip
    if missing:
        _print_need(missing, folder)
        _write_clips(missing, nj)
    for utt in utterances:
        parquet, _, clip = _location(utt, folder)
        yield replace(utt, wav=clip) if parquet else utt


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


def _print_need(missing: dict[str, dict[int, str]], folder: Path) -> None:
    """Print what will be unpacked. Raises UserError if it needs more than the free space."""
    need = sum(_size(Path(path), len(rows)) for path, rows in missing.items()) / 1e9
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
    with _open_parquet(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        total = 0
        for group in groups:
            columns = [group.column(i) for i in range(group.num_columns)]
            total += sum(c.total_uncompressed_size for c in columns if c.path_in_schema == BYTES)
        return float(total * rows / max(1, file.metadata.num_rows))


def _write_clips(missing: dict[str, dict[int, str]], nj: int) -> None:
    total = sum(map(len, missing.values()))
    with (
        progress("unpack clips", total, "clips") as advance,
        ThreadPoolExecutor(max(1, nj)) as pool,
    ):
        for written in pool.map(_write_clips_of_file, missing.items()):
            advance(written)


def _write_clips_of_file(item: tuple[str, dict[int, str]]) -> int:
    path, clips = item
    for parent in {os.path.dirname(clip) for clip in clips.values()}:
        os.makedirs(parent, exist_ok=True)
    with _open_parquet(Path(path)) as file:
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
