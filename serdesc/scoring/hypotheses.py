"""Anybody's captions: hyp.jsonl, a Kaldi text file, a TSV, JSON or SECap's result file, told apart by how they begin.

{"utt_id": "...", "response": "..."}     one object a line; fields may stand in it and are then not read from the response
{"<utt_id>": "<caption>", ...}           one JSON object
[{"image_id": ..., "caption": ...}, ...] a JSON array, as of COCO's results; names as in a TSV's head, fields as in a line
<utt_id> <caption>                       Kaldi
utt_id<TAB>response                      TSV, with such a head (id, key; caption, hypothesis, text) or two columns without one; csv may quote cells
file: <utt_id>.wav / result: <caption>   SECap's result.txt (https://github.com/thuhcsi/SECap); of its results the first is taken
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Sequence

from serdesc.captions import reader
from serdesc.captions.fields import VALUES, Fields
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import parse_jsonl, read_json, read_text

Row = dict[str, Any]  # utt_id, response, and perhaps fields and posterior
Numbered = list[tuple[int, Row]]  # with the line that it stands on

ID = ("utt_id", "image_id", "id", "key", "fid", "file", "wav")
CAPTION = ("response", "caption", "hypothesis", "hyp", "result", "prediction", "text")
FITS: dict[str, tuple[str, Callable[[Any], bool]]] = {  # what may be given beside the response
    **{
        name: (f"one of {', '.join(values)}", values.__contains__)
        for name, values in VALUES.items()
    },
    "transcript": ("text", lambda given: isinstance(given, str)),
    "emphasis": (
        "a list of words",
        lambda given: isinstance(given, list) and all(isinstance(word, str) for word in given),
    ),
    "posterior": (
        'probabilities of emotions, {"sad": 0.7, ...}',
        lambda given: isinstance(given, dict)
        and bool(given)
        and all(isinstance(p, (int, float)) and 0 <= p <= 1 for p in given.values()),
    ),
}


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


def answered(
    path: Path, utterances: Sequence[Utterance], wrong: bool = False
) -> tuple[dict[str, Hypothesis], dict[str, list[str]]]:
    """An answer for every utterance, and the ids of those that have none, two, or an empty one, and of answers to nothing (FAULTS).

    Raises UserError that names them all; with `wrong` the first three count as wrong and the last are left out. An empty answer that
    `serdesc decode` wrote is what the model said: it is wrong in any case, and no fault.
    """
    hyps, twice = _read(path)
    known = {utt.utt_id for utt in utterances}
    empty = [
        utt_id
        for utt_id, hyp in hyps.items()
        if not hyp.response.strip() and hyp.fields == Fields() and not hyp.decoded
    ]
    found = (known - hyps.keys(), twice, known.intersection(empty), hyps.keys() - known)
    faults = {what: sorted(ids) for what, ids in zip(FAULTS, found) if ids}
    if faults and not wrong:
        told = "\n  ".join(_named(what, ids) for what, ids in faults.items())
        raise UserError(
            f"{path}:\n  {told}\nDecode the same data directory that is scored, or count these as wrong with --missing wrong."
        )
    silent = {utt_id for what in FAULTS[:3] for utt_id in faults.get(what, ())}
    return {
        utt_id: Hypothesis("", Fields()) if utt_id in silent else hyps[utt_id]
        for utt_id in sorted(known)
    }, faults


def _named(what: str, ids: Sequence[str], most: int = 20) -> str:
    return f"{len(ids)} {what}: {' '.join(ids[:most])}{' ...' if len(ids) > most else ''}"


def _read(path: Path) -> tuple[dict[str, Hypothesis], list[str]]:
    """The first answer of each utterance, and the ids that stand more than once."""
    hyps: dict[str, Hypothesis] = {}
    twice: list[str] = []
    for number, row in read(path):
        response = row["response"] or ""
        given = {name: row[name] for name in FITS if row.get(name) is not None}
        bad = [
            f"{name} '{str(given[name])[:60]}': not {wanted}"
            for name, (wanted, fits) in FITS.items()
            if name in given and not fits(given[name])
        ]
        if bad:
            raise UserError(
                f"{path}:{number}: {'; '.join(bad)}. Leave it out of the answer to {row['utt_id']}: the reader fills what it can"
            )
        if row["utt_id"] in hyps:
            twice.append(row["utt_id"])
        else:
            fields = Fields.from_dict({**reader.read(response).to_dict(), **given})
            hyps[row["utt_id"]] = Hypothesis(
                response, fields, given.get("posterior"), decoded="unread" in row
            )
    return hyps, sorted(set(twice))


# ---- forms ---------------------------------------------------------------------------------------------------------------


def read(path: Path) -> Numbered:
    """One row an answer, in the file's order. Raises UserError with file, line and what was found there."""
    if not path.exists():
        raise UserError(
            f"{path}: no such hypotheses. Make them with: serdesc decode DATA STORE EXP"
        )
    text = read_text(path)
    rows = _form(text)(path, text)
    for number, row in rows:
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("utt_id"), str)
            or not isinstance(row.get("response", 0), str | None)
        ):
            raise UserError(
                f"{path}:{number}: a line needs utt_id and response, both text, found {json.dumps(row, ensure_ascii=False)[:80]}"
            )
    return rows


def _form(text: str) -> Callable[[Path, str], Numbered]:
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith("{"):
        return (
            _json_object
            if not first.rstrip().endswith("}") or "utt_id" not in first
            else parse_jsonl
        )
    if first.lstrip().startswith("["):
        return _json_array
    if first.startswith("file:"):
        return _secap
    return _tsv if "\t" in first else _kaldi


def _json_object(path: Path, text: str) -> Numbered:
    try:
        pairs = json.loads(text, object_pairs_hook=list)  # with a key that stands twice
    except json.JSONDecodeError:  # several objects: lines of which the first lacks an id
        return parse_jsonl(path, text)
    if "response" in dict(pairs):
        return [(1, json.loads(text))]
    return [(1, {"utt_id": utt_id, "response": caption}) for utt_id, caption in pairs]


def _json_array(path: Path, text: str) -> Numbered:
    rows = [(1, row) for row in read_json(path)]
    for row in (row for _, row in rows if isinstance(row, dict)):
        for names in (ID, CAPTION):
            row.update({names[0]: row[name] for name in reversed(names) if name in row})
    return rows


def _kaldi(path: Path, text: str) -> Numbered:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            utt_id, _, caption = line.strip().partition(" ")
            rows.append((number, {"utt_id": utt_id, "response": caption.strip()}))
    return rows


def _tsv(path: Path, text: str) -> Numbered:
    lines = [
        (number, [_unquoted(cell.strip()) for cell in line.split("\t")])
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    head = [cell.lower() for cell in lines[0][1]]
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
    short = next(
        (number for number, cells in lines if len(cells) <= max(id_column, caption_column)), None
    )
    if short is not None:
        raise UserError(f"{path}:{short}: fewer columns than the first line has")
    return [
        (number, {"utt_id": _stem(cells[id_column]), "response": cells[caption_column]})
        for number, cells in lines
    ]


def _unquoted(cell: str) -> str:
    """What csv quoted: a cell in quotes, with every quote in it doubled. Any other stays as it is: "hello" he said "bye"."""
    inside = cell[1:-1]
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside.replace('""', "")
    return inside.replace('""', '"') if quoted else cell


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
