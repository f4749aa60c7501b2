"""GigaSpeech in the forms in which it is distributed, recognised by the names below a folder.

    whole recordings   <recording id>.opus (.flac ...); needs GigaSpeech.json, which has their paths
    Parquet files      clips as in speechcolab/gigaspeech of the Hugging Face hub: the columns
                       segment_id, audio {bytes, path}, begin_time, end_time, text; others are not
                       read
    clip files         <segment id>.wav (.opus ...) in any folders

Times and texts of clips are those of GigaSpeech.json if there is one, else of the Parquet columns.
Clip files alone have none: the text is then the label's. The recording of a segment is its id up to
`_S`. A segment that is found twice (subset M contains S) is used once, in the order of the paths.

GigaSpeech.json: https://github.com/SpeechColab/GigaSpeech
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Container, Iterator, NamedTuple

import ijson

from serdesc.data import parquet
from serdesc.data.corpora import SUFFIXES
from serdesc.errors import UserError

SEGMENT = re.compile(r"(?:AUD|POD|YOU)\d{10}_S\d{7}")
RECORDING = re.compile(r"(?:AUD|POD|YOU)\d{10}")
SHOWN_SUFFIXES = 5  # kinds of other files in an error


class Segment(NamedTuple):
    """A segment of a recording. Without metadata a clip has no span and an empty text."""

    sid: str
    recording: str
    wav: str  # whole recording, clip, row of a Parquet file, or empty if there is no clip
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
        yield from _with_metadata(metadata, audio.clips or _clips_in(audio.parquet, wanted))
    elif form == "parquet":
        for row in parquet.rows(audio.parquet, wanted):
            yield Segment(row.sid, recording_of(row.sid), row.wav, row.span, row.text, True)
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


def _clips_in(files: list[Path], wanted: Container[str]) -> dict[str, str]:
    """Segment id -> row of a Parquet file, the first one."""
    clips: dict[str, str] = {}
    for row in parquet.rows(files, wanted):
        clips.setdefault(row.sid, row.wav)
    return clips


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
