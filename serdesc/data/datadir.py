"""Kaldi-style data directories: files of `<id> <value>` lines, sorted and unique.

A file without values is not written.

    wav.scp       path of the audio file             utt2session   session, if the corpus has any
    text          transcript                         utt2emo       emotion
    utt2spk       speaker                            utt2emphasis  stressed words
    utt2dur       seconds                            utt2cap       reference caption
    spk2gender    m or f                             spk2age       years
    utt2description  reference caption without transcript, if the corpus has another
    utt2uniq      original of a speed-perturbed copy (perturb.py)
    segments      recording, start and end in seconds, and its channel (0, 1 ...) if it is of one,
                  for utterances that are parts of long recordings, which wav.scp then lists

Further files: `utt2measure.jsonl` (serdesc annotate: pitch, energy and speed as measured);
`utt2sed.jsonl` (labels: in a part of a fold those of its reference captions, in the corpus's data
directory those of the corpus); `utt2audio` (serdesc prepare: files that were decoded).
Format: https://kaldi-asr.org/doc/data_prep.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Container, Iterable, Sequence

import numpy as np

from serdesc.captions.fields import VALUES, Fields
from serdesc.data import audio, kaldi
from serdesc.errors import UserError
from serdesc.files import digest, parse_jsonl, read_text, write_jsonl

# file -> (attribute, whether the file is keyed by speaker)
TABLES = {
    "wav.scp": ("wav", False),
    "text": ("text", False),
    "utt2spk": ("spk", False),
    "utt2dur": ("seconds", False),
    "utt2session": ("session", False),
    "utt2emo": ("emotion", False),
    "utt2emphasis": ("emphasis", False),
    "utt2cap": ("caption", False),
    "utt2description": ("description", False),
    "utt2uniq": ("uniq", False),
    "spk2gender": ("gender", True),
    "spk2age": ("age", True),
}
REQUIRED = ("wav.scp", "utt2spk")
COMPLETE = ("utt2spk", "text", "utt2dur")  # with a line for every utterance, if they exist
UNTRANSCRIBED = "untranscribed"  # ids that `text` lacks because nobody transcribed them
_GENDER = {"m": "male", "f": "female"}
_EXPECTED = {"gender": "m or f", "emotion": f"one of {', '.join(VALUES['emotion'])}"}
MEASUREMENTS, LABELS, SEGMENTS = "utt2measure.jsonl", "utt2sed.jsonl", "segments"
LABELS_RECORD = "labelled.json"  # beside folds: the settings that made them
# Settings of PrepareConfig that decide which utterances a corpus has and what they are called
PREPARE_KEYS = ("excited", "turns", "text", "recordings_share", "min_seconds", "max_seconds")
MAX_ERRORS = 20  # shown by read


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance of a data directory; None if a value is unknown."""

    utt_id: str
    wav: str
    spk: str
    text: str | None = None
    seconds: float | None = None
    session: str | None = None
    emotion: str | None = None
    emphasis: tuple[str, ...] | None = None
    caption: str | None = None
    description: str | None = None  # caption without transcript, of a corpus that has both
    gender: str | None = None
    age: float | None = None  # years
    measure: dict[str, Any] | None = None  # name -> measured value, see descriptors.measure
    labels: Fields | None = None  # in a part of a fold: the caption's; before: the corpus's
    uniq: str | None = None  # id of the original, if this is a speed-perturbed copy
    recording: str | None = None  # id, if the utterance is a segment of it; None: all of `wav`
    span: tuple[float, float] | None = None  # position in the recording, seconds
    channel: int | None = None  # of the recording, from 0; None: the mean of the channels

    def load_audio(self, max_seconds: float | None = None) -> np.ndarray:
        """(S,) float32 samples at 16 kHz, at most the first `max_seconds`. Raises AudioError."""
        return audio.load(self.wav, max_seconds, self.span, self.utt_id, self.channel)


def read(folder: Path) -> list[Utterance]:
    """The utterances of a data directory, sorted by id.

    Raises UserError that lists the errors: file, line and correction.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such data directory. Make one with: serdesc prepare CORPUS SRC {folder}"
        )
    errors: list[str] = []
    for name in REQUIRED:
        if not (folder / name).exists():
            errors.append(f"{folder / name}: missing, every data directory needs it")
    tables: dict[str, dict[str, str]] = {}
    for name in TABLES:
        if (folder / name).exists():
            tables[name] = kaldi.read_table(folder / name, errors)
    kaldi.check_wavs(folder / "wav.scp", tables.get("wav.scp", {}), errors)
    segments: dict[str, kaldi.Segment] = {}
    if (folder / SEGMENTS).exists():
        segments = kaldi.read_segments(folder / SEGMENTS, tables.get("wav.scp", {}), errors)
    utt_ids = list(segments or tables.get("wav.scp", {}))
    untranscribed: dict[str, str] = {}
    if (folder / UNTRANSCRIBED).exists():
        untranscribed = kaldi.read_table(folder / UNTRANSCRIBED, errors)
    listed_in = SEGMENTS if segments else "wav.scp"
    _check_keys(folder, tables, utt_ids, untranscribed, listed_in, errors)
    rows = {}
    for name in (MEASUREMENTS, LABELS):
        if (folder / name).exists():
            rows[name] = _read_rows(folder / name)
    if errors:
        shown = errors[:MAX_ERRORS]
        if len(errors) > MAX_ERRORS:
            shown.append(f"... and {len(errors) - MAX_ERRORS} more")
        raise UserError(f"{folder} is not a valid data directory:\n  " + "\n  ".join(shown))
    return [_utterance(utt_id, folder, tables, segments.get(utt_id), rows) for utt_id in utt_ids]


def identity(utterances: Sequence[Utterance]) -> str:
    """A hash of the contents of utterances, in order, without the paths of their audio."""
    rows: list[Sequence[Any]] = []
    for u in utterances:
        row = (u.utt_id, u.spk, u.text, u.caption, u.labels and u.labels.to_dict())
        rows.append(row if u.description is None else (*row, u.description))
    return digest(rows)


def with_seconds(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The utterances with their lengths: those without one get that of the audio's header."""
    complete = []
    for utt in utterances:
        if utt.seconds is None and utt.span:
            utt = replace(utt, seconds=utt.span[1] - utt.span[0])
        elif utt.seconds is None:
            utt = replace(utt, seconds=audio.seconds_or_none(utt.wav))
        complete.append(utt)
    return complete


def _check_keys(
    folder: Path,
    tables: dict[str, dict[str, str]],
    utt_ids: Sequence[str],
    untranscribed: Container[str],
    listed_in: str,
    errors: list[str],
) -> None:
    """Append an error for each id that is in only one of two files."""
    speakers = set(tables.get("utt2spk", {}).values())
    for name, table in tables.items():
        if name == "wav.scp":
            continue
        by_speaker = TABLES[name][1]
        expected = speakers if by_speaker else set(utt_ids)
        source = "utt2spk" if by_speaker else listed_in
        unexpected = sorted(table.keys() - expected)
        for key, remedy in kaldi.remedies(unexpected, expected if unexpected else ()).items():
            errors.append(f"{folder / name}: '{key}' is not in {source}: {remedy}")
    for name in COMPLETE:
        if name in tables:
            for key in sorted(set(utt_ids) - tables[name].keys()):
                if name == "text" and key in untranscribed:
                    continue
                remedy = f", or list it in {UNTRANSCRIBED}" if name == "text" else ""
                errors.append(
                    f"{folder / name}: no line for '{key}' of {listed_in}: add it{remedy}"
                )


def _read_rows(path: Path) -> dict[str, Any]:
    """utterance -> measured values (MEASUREMENTS) or Fields (LABELS)."""
    rows: dict[str, Any] = {}
    for number, row in parse_jsonl(path, read_text(path)):
        if not isinstance(row, dict) or not isinstance(row.get("utt_id"), str):
            raise UserError(
                f"{path}:{number}: {str(row)[:60]} where an object with a text utt_id is expected:"
                " correct or remove that line"
            )
        utt_id = row.pop("utt_id")
        try:
            rows[utt_id] = Fields.from_dict(row) if path.name == LABELS else row
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path}:{number}: '{utt_id}': {error}. Correct that line, or make the file again"
                " with `serdesc annotate`"
            ) from None
    return rows


def _utterance(
    utt_id: str,
    folder: Path,
    tables: dict[str, dict[str, str]],
    segment: kaldi.Segment | None,
    rows: dict[str, dict[str, Any]],
) -> Utterance:
    spk = tables["utt2spk"][utt_id]
    values: dict[str, Any] = {}
    if segment:
        values["recording"], values["span"], values["channel"] = (
            segment[0],
            segment[1:3],
            segment[3],
        )
    for name, table in tables.items():
        attribute, by_speaker = TABLES[name]
        key = spk if by_speaker else utt_id
        if segment and name == "wav.scp":
            key = segment[0]
        if key in table:
            values[attribute] = _parse(attribute, key, table, folder / name)
    return Utterance(
        utt_id,
        **values,
        measure=rows.get(MEASUREMENTS, {}).get(utt_id),
        labels=rows.get(LABELS, {}).get(utt_id),
    )


def _parse(attribute: str, key: str, table: dict[str, str], path: Path) -> Any:
    value = table[key]
    try:
        if attribute in ("seconds", "age"):
            return float(value)
        if attribute == "gender":
            return _GENDER[value]
        if attribute == "emotion":
            return VALUES["emotion"][VALUES["emotion"].index(value)]
    except (ValueError, KeyError):
        expected = _EXPECTED.get(attribute, "a number")
        line = list(table).index(key) + 1  # _read_table rejects empty and repeated lines
        raise UserError(
            f"{path}:{line}: '{value}' where {expected} is expected, of '{key}': correct or remove"
            " that line"
        ) from None
    return tuple(value.split()) if attribute == "emphasis" else value


def _format(attribute: str, value: Any) -> str:
    if attribute == "emphasis":
        return " ".join(value)
    if attribute == "gender":
        return str(value)[0]
    if attribute == "age":
        return f"{value:g}"
    if attribute == "seconds":
        return f"{value:.4f}"
    return str(value)


def write(folder: Path, utterances: Iterable[Utterance]) -> list[Utterance]:
    """Write a data directory; files without values are removed. Returns the utterances by id."""
    utterances = sorted(utterances, key=lambda utt: utt.utt_id)
    for name, (attribute, by_speaker) in TABLES.items():
        table = {}
        for utt in utterances:
            value = getattr(utt, attribute)
            if value is not None:
                table[_key(utt, name, by_speaker)] = _format(attribute, value)
        kaldi.write_table(folder / name, table)
    segments = {}
    for utt in utterances:
        if utt.span:
            channel = "" if utt.channel is None else f" {utt.channel}"
            times = f"{utt.span[0]:.3f} {utt.span[1]:.3f}"
            segments[utt.utt_id] = f"{utt.recording} {times}{channel}"
    kaldi.write_table(folder / SEGMENTS, segments)
    without_text = {utt.utt_id: "" for utt in utterances if utt.text is None}
    if len(without_text) == len(utterances):
        without_text = {}  # there is no `text`
    kaldi.write_table(folder / UNTRANSCRIBED, without_text)
    measured = ((utt.utt_id, utt.measure) for utt in utterances if utt.measure is not None)
    write_rows(folder / MEASUREMENTS, measured)
    labelled = ((utt.utt_id, utt.labels.to_dict()) for utt in utterances if utt.labels is not None)
    write_rows(folder / LABELS, labelled)
    return utterances


def _key(utt: Utterance, name: str, by_speaker: bool) -> str:
    if by_speaker:
        return utt.spk
    if name == "wav.scp":
        return utt.recording or utt.utt_id
    return utt.utt_id


def write_rows(path: Path, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write JSON lines of utterance ids and values; without rows the file is removed.

    One row is in memory at a time.
    """
    lines = ({"utt_id": utt_id, **row} for utt_id, row in rows)
    first = next(lines, None)
    if first is not None:
        write_jsonl(path, chain([first], lines))
    else:
        path.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove the files of a data directory, and the folder if it has no others."""
    for name in (*TABLES, SEGMENTS, UNTRANSCRIBED, MEASUREMENTS, LABELS):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def originals(utterances: Iterable[Utterance]) -> list[Utterance]:
    """The utterances that are not speed-perturbed copies."""
    return [utt for utt in utterances if utt.uniq is None]


def merge(folders: Iterable[Path]) -> list[Utterance]:
    """The utterances of several data directories, without labels, sorted by id.

    Raises UserError if two directories have an id in common.
    """
    merged: dict[str, Utterance] = {}
    for folder in folders:
        for utt in read(folder):
            if utt.utt_id in merged:
                raise UserError(
                    f"{folder}: '{utt.utt_id}' is also in another of the directories: rename one of"
                    " the two"
                )
            merged[utt.utt_id] = replace(utt, labels=None)
    return sorted(merged.values(), key=lambda utt: utt.utt_id)
