"""Anybody's captions: hyp.jsonl, a Kaldi text file, a TSV, a JSON object or SECap's result file, told apart by how they begin.

{"utt_id": "...", "response": "..."}     one object a line; fields may stand in it and are then not read from the response
{"<utt_id>": "<caption>", ...}           one JSON object
<utt_id> <caption>                       Kaldi
utt_id<TAB>response                      TSV, with such a head (id, key; caption, hypothesis, text) or two columns without one
file: <utt_id>.wav / result: <caption>   SECap's result.txt (https://github.com/thuhcsi/SECap); of its results the first is taken
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Sequence

from serdesc import reader
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.fields import VALUES, Fields
from serdesc.files import parse_jsonl, read_text

Row = dict[str, Any]  # utt_id, response, and perhaps fields and posterior
Numbered = list[tuple[int, Row]]  # with the line that it stands on

ID = ("utt_id", "id", "key", "fid", "file", "wav")
CAPTION = ("response", "caption", "hypothesis", "hyp", "result", "prediction", "text")


@dataclass(frozen=True)
class Hypothesis:
    """An answer as it came, and the fields that it says."""

    response: str
    fields: Fields
    posterior: dict[str, float] | None = None  # of the emotions
    decoded: bool = False  # `serdesc decode` wrote it


def read_hypotheses(path: Path) -> dict[str, Hypothesis]:
    """Fields of each answer in a file of any of these forms; the reader fills what a line does not give."""
    hyps, twice = _read(path)
    if twice:
        raise UserError(f"{path}: {_named('answered twice', twice)}: keep one of the two")
    return hyps


FAULTS = ("missing", "answered twice", "empty", "not in the data")


def answered(path: Path, utterances: Sequence[Utterance], wrong: bool = False) -> tuple[dict[str, Hypothesis], dict[str, list[str]]]:
    """An answer for every utterance, and the ids of those that have none, two, or an empty one, and of answers to nothing (FAULTS).

    Raises UserError that names them all; with `wrong` the first three count as wrong and the last are left out. An empty answer that
    `serdesc decode` wrote is what the model said: it is wrong in any case, and no fault.
    """
    hyps, twice = _read(path)
    known = {utt.utt_id for utt in utterances}
    empty = [utt_id for utt_id, hyp in hyps.items() if not hyp.response.strip() and hyp.fields == Fields() and not hyp.decoded]
    found = (known - hyps.keys(), twice, known.intersection(empty), hyps.keys() - known)
    faults = {what: sorted(ids) for what, ids in zip(FAULTS, found) if ids}
    if faults and not wrong:
        told = "\n  ".join(_named(what, ids) for what, ids in faults.items())
        raise UserError(f"{path}:\n  {told}\nDecode the same data directory that is scored, or count these as wrong with --missing wrong.")
    silent = {utt_id for what in FAULTS[:3] for utt_id in faults.get(what, ())}
    return {utt_id: Hypothesis("", Fields()) if utt_id in silent else hyps[utt_id] for utt_id in sorted(known)}, faults


def _named(what: str, ids: Sequence[str], most: int = 20) -> str:
    return f"{len(ids)} {what}: {' '.join(ids[:most])}{' ...' if len(ids) > most else ''}"


def _read(path: Path) -> tuple[dict[str, Hypothesis], list[str]]:
    """The first answer of each utterance, and the ids that stand more than once."""
    hyps: dict[str, Hypothesis] = {}
    twice: list[str] = []
    for number, row in read(path):
        said = reader.read(row["response"]).to_dict()
        given = {name: row[name] for name in said if row.get(name) is not None}
        bad = [f"{name} '{given[name]}'" for name in VALUES if given.get(name) is not None and given[name] not in VALUES[name]]
        if bad:
            raise UserError(f"{path}:{number}: {', '.join(bad)}: not a value of that field; leave it out and the reader fills it")
        if row["utt_id"] in hyps:
            twice.append(row["utt_id"])
        else:
            fields = Fields.from_dict({**said, **given})
            hyps[row["utt_id"]] = Hypothesis(row["response"], fields, row.get("posterior"), decoded="unread" in row)
    return hyps, sorted(set(twice))


# ---- forms ---------------------------------------------------------------------------------------------------------------


def read(path: Path) -> Numbered:
    """One row an answer, in the file's order. Raises UserError with file, line and what was found there."""
    if not path.exists():
        raise UserError(f"{path}: no such hypotheses. Make them with: serdesc decode DATA STORE EXP")
    text = read_text(path)
    rows = _form(text)(path, text)
    for number, row in rows:
        if not isinstance(row, dict) or not {"utt_id", "response"} <= row.keys():
            raise UserError(f"{path}:{number}: a line needs utt_id and response, found {json.dumps(row, ensure_ascii=False)[:80]}")
    return rows


def _form(text: str) -> Callable[[Path, str], Numbered]:
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith("{"):
        return _json_object if not first.rstrip().endswith("}") or "utt_id" not in first else _json_lines
    if first.startswith("file:"):
        return _secap
    return _tsv if "\t" in first else _kaldi


def _json_lines(path: Path, text: str) -> Numbered:
    return list(enumerate(parse_jsonl(path, text), start=1))


def _json_object(path: Path, text: str) -> Numbered:
    try:
        table = json.loads(text)
    except json.JSONDecodeError:  # several objects: lines of which the first lacks an id
        return _json_lines(path, text)
    if "response" in table or not all(isinstance(value, str) for value in table.values()):
        return [(1, table)]
    return [(number, {"utt_id": utt_id, "response": caption}) for number, (utt_id, caption) in enumerate(table.items(), start=1)]


def _kaldi(path: Path, text: str) -> Numbered:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            utt_id, _, caption = line.strip().partition(" ")
            rows.append((number, {"utt_id": utt_id, "response": caption.strip()}))
    return rows


def _tsv(path: Path, text: str) -> Numbered:
    lines = [(number, line.split("\t")) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    head = [cell.strip().lower() for cell in lines[0][1]]
    id_column = next((head.index(name) for name in ID if name in head), None)
    caption_column = next((head.index(name) for name in CAPTION if name in head), None)
    if id_column is None or caption_column is None:
        if len(head) != 2:
            raise UserError(
                f"{path}:1: a TSV of {len(head)} columns without a head that names an id ({', '.join(ID)}) and a caption ({', '.join(CAPTION)}): "
                f"found {', '.join(head)[:80]}"
            )
        id_column, caption_column = 0, 1
    else:
        lines = lines[1:]
    short = next((number for number, cells in lines if len(cells) <= max(id_column, caption_column)), None)
    if short is not None:
        raise UserError(f"{path}:{short}: fewer columns than the first line has")
    return [(number, {"utt_id": _stem(cells[id_column]), "response": cells[caption_column].strip()}) for number, cells in lines]


def _secap(path: Path, text: str) -> Numbered:
    rows: Numbered = []
    for number, line in enumerate(text.split("\n"), start=1):
        name, _, value = line.partition(":")
        if name.strip() == "file":
            rows.append((number, {"utt_id": _stem(value)}))
        elif name.strip() == "result" and rows:
            rows[-1][1].setdefault("response", value.strip())
    return rows


def _stem(name: str) -> str:
    """The id in the name of an audio file."""
    name = name.strip().rsplit("/", 1)[-1]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() in ("wav", "flac", "mp3", "ogg", "opus", "mp4") else name
