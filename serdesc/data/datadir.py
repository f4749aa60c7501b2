"""Kaldi-style data directories: files of `<id> <value>` lines, sorted and unique; only the files that have something to say.

    wav.scp       path of the audio file             utt2session   session, where the corpus has sessions
    text          transcript                         utt2emo       emotion
    utt2spk       speaker                            utt2emphasis  stressed words, separated by spaces
    utt2dur       seconds                            utt2cap       reference caption
    spk2gender    m or f                             spk2age       years
    utt2uniq      of a copy at another speed (perturb.py): its original
    segments      recording, start and end in seconds: utterances inside long recordings; wav.scp then names the recordings

Beside them `utt2measure.jsonl` (serdesc annotate: raw pitch, energy, speed) and `utt2sed.jsonl` (labels: in a fold's part what its
reference captions say, above the folds what the corpus brought), and `reco2dur` (serdesc prepare: recordings' lengths, seconds).
Format: https://kaldi-asr.org/doc/data_prep.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterable, Sequence

from serdesc.captions.fields import EMOTIONS, Fields
from serdesc.data import audio
from serdesc.errors import UserError
from serdesc.files import digest, parse_jsonl, read_text, write_jsonl, write_lines

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
    "utt2uniq": ("uniq", False),
    "spk2gender": ("gender", True),
    "spk2age": ("age", True),
}
REQUIRED = ("wav.scp", "utt2spk")
_GENDER = {"m": "male", "f": "female"}
MEASURES, LABELS, SEGMENTS = "utt2measure.jsonl", "utt2sed.jsonl", "segments"
LABELLED = "labelled.json"  # beside folds: what they were made by
CHOICES = (
    "excited",
    "turns",
    "text",
    "min_seconds",
    "max_seconds",
)  # of PrepareConfig: which utterances there are, and what they are called
REJECTED = "rejected.tsv"  # utterances that cannot be used: id, path, reason


@dataclass(frozen=True, slots=True)
class Utterance:
    utt_id: str
    wav: str
    spk: str
    text: str | None = None
    seconds: float | None = None
    session: str | None = None
    emotion: str | None = None
    emphasis: tuple[str, ...] | None = None
    caption: str | None = None
    gender: str | None = None
    age: float | None = None  # years
    measure: dict[str, float] | None = None
    labels: Fields | None = (
        None  # in a fold's part, by `annotate`: what the caption says; before it: what the corpus brought
    )
    uniq: str | None = None  # of a copy at another speed: the original's id
    recording: str | None = (
        None  # id of the recording that the utterance is a segment of; None: `wav` holds it alone
    )
    span: tuple[float, float] | None = None  # where in the recording, seconds


def read(folder: Path) -> list[Utterance]:
    """The utterances of a data directory, sorted by id. Raises UserError with every fault: file, line and remedy."""
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such data directory. Make one with: serdesc prepare CORPUS SRC {folder}"
        )
    faults = [
        f"{folder / name}: missing, every data directory needs it"
        for name in REQUIRED
        if not (folder / name).exists()
    ]
    tables = {
        name: _read_table(folder / name, faults) for name in TABLES if (folder / name).exists()
    }
    wavs = tables.get("wav.scp", {})
    segments = (
        _read_segments(folder / SEGMENTS, wavs, faults) if (folder / SEGMENTS).exists() else {}
    )
    every, listed = (segments, SEGMENTS) if segments else (wavs, "wav.scp")
    for name, table in tables.items():
        if name == "wav.scp":
            continue
        known = set(tables.get("utt2spk", {}).values()) if TABLES[name][1] else every.keys()
        faults += [
            f"{folder / name}: '{key}' is not in {'utt2spk' if TABLES[name][1] else listed}: remove that line"
            for key in sorted(table.keys() - known)
        ]
    for name in ("utt2spk", "text", "utt2dur"):
        if name in tables:
            missing = sorted(every.keys() - tables[name].keys())
            faults += [
                f"{folder / name}: no line for '{key}', which {listed} has: add it"
                for key in missing
            ]
    rows = {
        name: _read_rows(folder / name) for name in (MEASURES, LABELS) if (folder / name).exists()
    }
    if faults:
        shown = faults[:20] + ([f"... and {len(faults) - 20} more"] if len(faults) > 20 else [])
        raise UserError(f"{folder} is not a sound data directory:\n  " + "\n  ".join(shown))
    return [_utterance(utt_id, folder, tables, segments.get(utt_id), rows) for utt_id in every]


def identity(utterances: Sequence[Utterance]) -> str:
    """A hash of all that is known of utterances in their order, but for where their audio lies."""
    return digest(
        [(u.utt_id, u.spk, u.text, u.caption, u.labels and u.labels.to_dict()) for u in utterances]
    )


def timed(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The utterances with their lengths: where utt2dur has none, by the header of the audio, if that can be read."""
    return [
        utt if utt.seconds is not None else replace(utt, seconds=audio.length(utt.wav))
        for utt in utterances
    ]


def _read_segments(
    path: Path, wavs: dict[str, str], faults: list[str]
) -> dict[str, tuple[str, float, float]]:
    segments = {}
    for key, value in _read_table(path, faults).items():
        parts = value.split()
        try:
            recording, start, end = parts[0], float(parts[1]), float(parts[2])
        except (IndexError, ValueError):
            faults.append(
                f"{path}: '{key} {value}' where `utterance recording start end` is expected, seconds"
            )
            continue
        if recording not in wavs:
            faults.append(
                f"{path}: recording '{recording}' of '{key}' is not in wav.scp: add it there"
            )
        elif not 0 <= start < end:
            faults.append(
                f"{path}: '{key}' goes from {start:g} to {end:g} s: it must start at 0 or later and end after its start"
            )
        segments[key] = (recording, start, end)
    return segments


def _read_table(path: Path, faults: list[str]) -> dict[str, str]:
    table: dict[str, str] = {}
    previous = ""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        key, _, value = line.strip().partition(" ")
        if not key:
            faults.append(f"{path}:{number}: empty line: remove it")
        elif key in table:
            faults.append(f"{path}:{number}: '{key}' stands twice: keep one of the two")
        elif key < previous:
            faults.append(
                f"{path}:{number}: '{key}' after '{previous}': sort the file with LC_ALL=C sort"
            )
        table[key] = value.strip()
        previous = max(previous, key)
    return table


def _read_rows(path: Path) -> dict[str, Any]:
    """Measures, or labels, of each utterance."""
    found: dict[str, Any] = {}
    for number, row in parse_jsonl(path, read_text(path)):
        if not isinstance(row, dict) or not isinstance(row.get("utt_id"), str):
            raise UserError(
                f"{path}:{number}: {str(row)[:60]} where an object with a text utt_id is expected: mend or remove that line"
            )
        utt_id = row.pop("utt_id")
        try:
            found[utt_id] = Fields.from_dict(row) if path.name == LABELS else row
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path}:{number}: '{utt_id}': {error}. Correct that line, or make the file again with `serdesc annotate`"
            ) from None
    return found


def _utterance(
    utt_id: str,
    folder: Path,
    tables: dict[str, dict[str, str]],
    segment: tuple[str, float, float] | None,
    rows: dict[str, dict[str, Any]],
) -> Utterance:
    spk = tables["utt2spk"][utt_id]
    values: dict[str, Any] = {}
    if segment:
        values["recording"], values["span"] = segment[0], segment[1:]
    for name, table in tables.items():
        attribute, by_speaker = TABLES[name]
        key = segment[0] if segment and name == "wav.scp" else spk if by_speaker else utt_id
        if key in table:
            values[attribute] = _parse(attribute, key, table, folder / name)
    return Utterance(
        utt_id,
        **values,
        measure=rows.get(MEASURES, {}).get(utt_id),
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
            return EMOTIONS[EMOTIONS.index(value)]
    except (ValueError, KeyError):
        wanted = {"gender": "m or f", "emotion": f"one of {', '.join(EMOTIONS)}"}.get(
            attribute, "a number"
        )
        line = list(table).index(key) + 1  # no line is empty or stands twice: that is told before
        raise UserError(
            f"{path}:{line}: '{value}' where {wanted} is expected, of '{key}': correct or remove that line"
        ) from None
    return tuple(value.split()) if attribute == "emphasis" else value


def _format(attribute: str, value: Any) -> str:
    if attribute == "emphasis":
        return " ".join(value)
    if attribute == "gender":
        return str(value)[0]
    return (
        f"{value:g}"
        if attribute == "age"
        else f"{value:.4f}" if attribute == "seconds" else str(value)
    )


def write(folder: Path, utterances: Iterable[Utterance]) -> list[Utterance]:
    """Write what is known of the utterances; files with nothing in them are not made. Returns them sorted by id."""
    utterances = sorted(utterances, key=lambda utt: utt.utt_id)
    for name, (attribute, by_speaker) in TABLES.items():
        _write_table(
            folder / name,
            {
                (
                    utt.spk
                    if by_speaker
                    else utt.recording or utt.utt_id if name == "wav.scp" else utt.utt_id
                ): _format(attribute, value)
                for utt in utterances
                if (value := getattr(utt, attribute)) is not None
            },
        )
    _write_table(
        folder / SEGMENTS,
        {u.utt_id: f"{u.recording} {u.span[0]:.3f} {u.span[1]:.3f}" for u in utterances if u.span},
    )
    write_rows(
        folder / MEASURES,
        [(utt.utt_id, utt.measure) for utt in utterances if utt.measure is not None],
    )
    write_rows(
        folder / LABELS,
        [(utt.utt_id, utt.labels.to_dict()) for utt in utterances if utt.labels is not None],
    )
    return utterances


def _write_table(path: Path, table: dict[str, str]) -> None:
    if table:
        write_lines(path, (f"{key} {table[key]}".rstrip() + "\n" for key in sorted(table)))
    else:
        path.unlink(missing_ok=True)


def write_rows(path: Path, rows: list[tuple[str, dict[str, Any]]]) -> None:
    if rows:
        write_jsonl(path, [{"utt_id": utt_id, **row} for utt_id, row in rows])
    else:
        path.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Take away a data directory that `write` made, and its folder where nothing else lies in it."""
    for name in (*TABLES, SEGMENTS, MEASURES, LABELS):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def rejected(folder: Path) -> list[tuple[str, str, str]]:
    """Id, path and reason of each utterance that `serdesc prepare` or `annotate` could not use."""
    lines = read_text(folder / REJECTED).split("\n")[1:] if (folder / REJECTED).exists() else []
    rows = [tuple(line.split("\t")) for line in lines if line]
    if wrong := [row for row in rows if len(row) != 3]:
        raise UserError(
            f"{folder / REJECTED}: '{' '.join(wrong[0])}' where utt_id, path and reason are expected, separated by TABs"
        )
    return [(row[0], row[1], row[2]) for row in rows]


def write_rejected(folder: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    lines = [("utt_id", "path", "reason"), *sorted(rows)]
    write_lines(
        folder / REJECTED,
        (
            "\t".join(value.replace("\t", " ").replace("\n", " ") for value in line) + "\n"
            for line in lines
        ),
    )


def originals(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Without the copies that perturbation made of some."""
    return [utt for utt in utterances if utt.uniq is None]


def merge(folders: Iterable[Path]) -> list[Utterance]:
    """The utterances of several data directories as one list; an id may stand in one of them only."""
    merged: dict[str, Utterance] = {}
    for folder in folders:
        for utt in read(folder):
            if utt.utt_id in merged:
                raise UserError(
                    f"{folder}: '{utt.utt_id}' also stands in another of the directories: rename one of the two"
                )
            merged[utt.utt_id] = replace(utt, labels=None)
    return sorted(merged.values(), key=lambda utt: utt.utt_id)
