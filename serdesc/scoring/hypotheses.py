"""Reads captions of any system: hyp.jsonl, Kaldi text, TSV, JSON or SECap's result file.

The format is detected from the first line:

{"utt_id": "...", "response": "..."}      JSON Lines; a field given beside the response replaces
                                          the value that is read from the response
{"<utt_id>": "<caption>", ...}            one JSON object
[{"image_id": ..., "caption": ...}, ...]  a JSON array, as COCO's results; names as in a TSV header,
                                          fields as in JSON Lines
<utt_id> <caption>                        Kaldi text
utt_id<TAB>response                       TSV with a header (id, key; caption, hypothesis, text), or
                                          two columns without one; cells may be quoted as in CSV
file: <utt_id>.wav / result: <caption>    SECap's result.txt (https://github.com/thuhcsi/SECap); the
                                          first result of a file is used
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

Row = dict[str, Any]  # utt_id, response; optionally fields and posterior
Numbered = list[tuple[int, Row]]  # line number, row

ID = ("utt_id", "image_id", "id", "key", "fid", "file", "wav")
CAPTION = ("response", "caption", "hypothesis", "hyp", "result", "prediction", "text")
# Values that may be given beside the response: description, and a check.
OPTIONAL: dict[str, tuple[str, Callable[[Any], bool]]] = {
    name: (f"one of {', '.join(values)}", values.__contains__) for name, values in VALUES.items()
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_word_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_posterior(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_probability, value.values()))


def _is_probability(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= 1


OPTIONAL |= {
    "transcript": ("text", _is_text),
    "emphasis": ("a list of words", _is_word_list),
    "posterior": ('probabilities of emotions, {"sad": 0.7, ...}', _is_posterior),
}


@dataclass(frozen=True)
class Hypothesis:
    """The response of a system to one utterance, and the fields read from it."""

    response: str
    fields: Fields
    posterior: dict[str, float] | None = None  # over the emotions
    decoded: bool = False  # written by `serdesc decode`


def read_hypotheses(path: Path) -> dict[str, Hypothesis]:
    """The hypotheses of a file in any of these formats, by utterance.

    Fields that a line does not give are read from its response. Raises UserError for duplicates.
    """
    hyps, duplicates = _read(path)
    if duplicates:
        listed = _listed(DUPLICATE, duplicates)
        raise UserError(f"{path}: {listed}: remove all but one of each")
    return hyps


DUPLICATE = "answered twice"
ERRORS = ("missing", DUPLICATE, "empty", "not in the data")


def answered(
    path: Path, utterances: Sequence[Utterance], wrong: bool = False
) -> tuple[dict[str, Hypothesis], dict[str, list[str]]]:
    """A hypothesis for every utterance, and the ids with an error, by kind (ERRORS).

    Raises UserError that lists all errors. With `wrong`, missing, duplicate and empty responses
    count as wrong, and responses to unknown utterances are ignored. An empty response that `serdesc
    decode` wrote is a prediction of the model: it counts as wrong and is not an error.
    """
    hyps, duplicates = _read(path)
    known = {utt.utt_id for utt in utterances}
    empty = [
        utt_id
        for utt_id, hyp in hyps.items()
        if not hyp.response.strip() and hyp.fields == Fields() and not hyp.decoded
    ]
    ids_of = (known - hyps.keys(), duplicates, known.intersection(empty), hyps.keys() - known)
    errors = {kind: sorted(ids) for kind, ids in zip(ERRORS, ids_of) if ids}
    if errors and not wrong:
        lines = "\n  ".join(_listed(kind, ids) for kind, ids in errors.items())
        raise UserError(
            f"{path}:\n  {lines}\nDecode the same data directory that is scored, or count these as "
            "wrong with --missing wrong."
        )
    complete: dict[str, Hypothesis] = {}
    unanswered = {utt_id for kind in ERRORS[:3] for utt_id in errors.get(kind, ())}
    for utt_id in sorted(known):
        complete[utt_id] = Hypothesis("", Fields()) if utt_id in unanswered else hyps[utt_id]
    return complete, errors


def _listed(kind: str, ids: Sequence[str], limit: int = 20) -> str:
    ellipsis = " ..." if len(ids) > limit else ""
    return f"{len(ids)} {kind}: {' '.join(ids[:limit])}{ellipsis}"


def _read(path: Path) -> tuple[dict[str, Hypothesis], list[str]]:
    """The first response to each utterance, and the ids that occur more than once."""
    hyps: dict[str, Hypothesis] = {}
    duplicates: set[str] = set()
    for number, row in read(path):
        response = reader.without_thoughts(row["response"] or "")
        values = {name: row[name] for name in OPTIONAL if row.get(name) is not None}
        invalid = [
            f"{name} '{str(values[name])[:60]}': not {description}"
            for name, (description, is_valid) in OPTIONAL.items()
            if name in values and not is_valid(values[name])
        ]
        if invalid:
            raise UserError(
                f"{path}:{number}: {'; '.join(invalid)}. Remove it from the response to "
                f"{row['utt_id']}: fields that are not given are read from the response"
            )
        if row["utt_id"] in hyps:
            duplicates.add(row["utt_id"])
        else:
            fields = Fields.from_dict({**reader.read(response).to_dict(), **values})
            posterior = values.get("posterior")
            decoded = "unread" in row
            hyps[row["utt_id"]] = Hypothesis(response, fields, posterior, decoded)
    return hyps, sorted(duplicates)


# ---- formats -------------------------------------------------------------------------------------


def read(path: Path) -> Numbered:
    """One row per response, in file order. Raises UserError with file, line and content."""
    if not path.exists():
        raise UserError(
            f"{path}: no such file of hypotheses. Decode with: serdesc decode DATA STORE EXP"
        )
    text = read_text(path)
    rows = _parser(text)(path, text)
    for number, row in rows:
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("utt_id"), str)
            or not isinstance(row.get("response", 0), str | None)
        ):
            raise UserError(
                f"{path}:{number}: a line needs utt_id and response, both text, found "
                f"{json.dumps(row, ensure_ascii=False)[:80]}"
            )
    return rows


def _parser(text: str) -> Callable[[Path, str], Numbered]:
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith("{"):
        is_jsonl = first.rstrip().endswith("}") and "utt_id" in first
        return parse_jsonl if is_jsonl else _json_object
    if first.lstrip().startswith("["):
        return _json_array
    if first.startswith("file:"):
        return _secap
    return _tsv if "\t" in first else _kaldi


def _json_object(path: Path, text: str) -> Numbered:
    try:
        pairs = json.loads(text, object_pairs_hook=list)  # retains duplicate keys
    except json.JSONDecodeError:  # JSON Lines whose first line has no id
        return parse_jsonl(path, text)
    if "response" in dict(pairs):
        return [(1, json.loads(text))]
    return [(1, {"utt_id": utt_id, "response": caption}) for utt_id, caption in pairs]


def _json_array(path: Path, text: str) -> Numbered:
    rows = [(1, row) for row in read_json(path)]
    for _, row in rows:
        if isinstance(row, dict):
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
    lines: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            lines.append((number, [_unquoted(cell.strip()) for cell in line.split("\t")]))
    head = [cell.lower() for cell in lines[0][1]]
    id_column, caption_column = _column(head, ID), _column(head, CAPTION)
    if id_column is None or caption_column is None:
        if len(head) != 2:
            raise UserError(
                f"{path}:1: a TSV of {len(head)} columns without a header that names an id "
                f"({', '.join(ID)}) and a caption ({', '.join(CAPTION)}): "
                f"found {', '.join(head)[:80]}"
            )
        id_column, caption_column = 0, 1
    else:
        lines = lines[1:]
    rows: Numbered = []
    for number, cells in lines:
        if len(cells) <= max(id_column, caption_column):
            raise UserError(f"{path}:{number}: fewer columns than the first line has")
        row = {"utt_id": _stem(cells[id_column]), "response": cells[caption_column]}
        rows.append((number, row))
    return rows


def _column(head: Sequence[str], names: Sequence[str]) -> int | None:
    """Index of the first of the names that the head has."""
    return next((head.index(name) for name in names if name in head), None)


def _unquoted(cell: str) -> str:
    """The text of a cell quoted as in CSV (inner quotes doubled); any other cell is unchanged."""
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
    """The utterance id in the name of an audio file."""
    name = name.strip().rsplit("/", 1)[-1]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() in ("wav", "flac", "mp3", "ogg", "opus", "mp4") else name
