"""Anybody's captions: hyp.jsonl, a Kaldi text file, a TSV, a JSON object or SECap's result file, told apart by how they begin.

{"utt_id": "...", "response": "..."}     one object a line; fields may stand in it and are then not read from the response
{"<utt_id>": "<caption>", ...}           one JSON object
<utt_id> <caption>                       Kaldi
utt_id<TAB>response                      TSV, with such a head (id, key; caption, hypothesis, text) or two columns without one
file: <utt_id>.wav / result: <caption>   SECap's result.txt (https://github.com/thuhcsi/SECap); of its results the first is taken
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

from serdesc.errors import UserError
from serdesc.files import parse_jsonl

Row = dict[str, Any]  # utt_id, response, and perhaps fields and posterior
Numbered = list[tuple[int, Row]]  # with the line that it stands on

ID = ("utt_id", "id", "key", "fid", "file", "wav")
CAPTION = ("response", "caption", "hypothesis", "hyp", "result", "prediction", "text")


def read(path: Path) -> Numbered:
    """One row an answer, in the file's order. Raises UserError with file, line and what was found there."""
    if not path.exists():
        raise UserError(f"{path}: no such hypotheses. Make them with: serdesc decode DATA STORE EXP")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}: convert it, for example with iconv -t UTF-8") from error
    rows = _form(text)(path, text)
    for number, row in rows:
        if not isinstance(row, dict) or not {"utt_id", "response"} <= row.keys():
            raise UserError(f"{path}:{number}: a line needs utt_id and response, found {json.dumps(row, ensure_ascii=False)[:80]}")
    return rows


def _form(text: str) -> Callable[[Path, str], Numbered]:
    first = next((line for line in text.splitlines() if line.strip()), "")
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
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            utt_id, _, caption = line.strip().partition(" ")
            rows.append((number, {"utt_id": utt_id, "response": caption.strip()}))
    return rows


def _tsv(path: Path, text: str) -> Numbered:
    lines = [(number, line.split("\t")) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
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
    for number, line in enumerate(text.splitlines(), start=1):
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
