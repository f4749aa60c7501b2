"""Files of answers of any system, and of ASR: their format is detected from the first line.

{"utt_id": "...", "response": "..."}      JSON Lines; a field given beside the response replaces
                                          the value that is read from the response; names as in a
                                          TSV header
{"<utt_id>": "<caption>", ...}            one JSON object
[{"image_id": ..., "caption": ...}, ...]  a JSON array, as COCO's results, also as the only value of
                                          an object; fields as in JSON Lines
<utt_id> <caption>                        Kaldi text
utt_id<TAB>response                       TSV with a header (id, key; caption, hypothesis, text), or
                                          two columns without one; cells may be quoted as in CSV
utt_id,response                           CSV with such a header
file: <utt_id>.wav / result: <caption>    SECap's result.txt (https://github.com/thuhcsi/SECap); the
                                          first result of a file is used
a Parquet file                            columns as in a TSV header

Of ASR (`serdesc score --as transcript`) also CTM and sclite's trn
(https://github.com/usnistgov/SCTK).
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any, Callable, Container, Sequence

from serdesc.errors import UserError
from serdesc.files import decode_text, parse_jsonl, read_bytes

Row = dict[str, Any]  # utt_id, response; optionally fields and posterior
Numbered = list[tuple[int, Row]]  # line number, row

ID = (
    "utt_id utterance_id uttid image_id audio_id id key fid file filename file_name wav wav_path"
    " audio audio_path path"
).split()
CAPTION = (
    "response caption hypothesis hyp result prediction pred answer output generated_text text"
).split()
SUFFIXES = ("wav", "flac", "mp3", "ogg", "opus", "mp4", "m4a", "webm")
_SECAP_LABEL = re.compile(r"\s*(file|result)\d*\s*:")
_TRN = re.compile(r"(?P<words>.*)\((?P<id>[^()\s]+)\)\s*")
# First lines of files that hold no answers, or none that are read
_OTHERS = (
    (re.compile(r"<\?xml|<!doctype|<html", re.IGNORECASE), "XML or HTML"),
    (re.compile(r"WEBVTT|\d+\s*$"), "subtitles (SRT or WebVTT)"),
    (re.compile(r"File type = \"ooTextFile\""), "a Praat TextGrid"),
    (re.compile(r"PK\x03\x04"), "a spreadsheet or an archive (ZIP)"),
)
_KNOWN = "JSON Lines, JSON, Kaldi text, TSV, CSV, Parquet and SECap's result.txt"


def read(path: Path, transcripts: bool = False) -> Numbered:
    """One row per answer, in file order; an input that is a pipe is read once.

    transcripts: a file of an ASR system, whose words are the answers. Raises UserError with file,
    line and content.
    """
    if not path.exists():
        raise UserError(
            f"{path}: no such file of hypotheses. Decode with: serdesc decode DATA STORE EXP"
        )
    raw = read_bytes(path)
    if raw[:4] == b"PAR1":
        rows = _parquet(path, raw)
    else:
        text = decode_text(path, raw)
        rows = _parser(path, text, transcripts)(path, text)
    for number, row in rows:
        if isinstance(row, dict):
            _rename(row)
            if isinstance(row.get("response"), dict):  # an answer in JSON
                row["response"] = json.dumps(row["response"], ensure_ascii=False)
            for name in ("utt_id", "response"):
                if isinstance(row.get(name), str):
                    row[name] = _whole_characters(row[name])
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("utt_id"), str)
            or not isinstance(row.get("response", 0), str | None)
        ):
            raise UserError(
                f"{path}:{number}: a line needs utt_id and response, both text, found "
                f"{json.dumps(row, ensure_ascii=False, default=str)[:80]}"
            )
    return rows


def id_of(name: str, known: Container[str] = ()) -> str:
    """The utterance id of a name, which may be the path of an audio file.

    An id may contain a slash: a name that is known is the id.
    """
    if name in known:
        return name
    stem, _, suffix = name.strip().rpartition(".")
    if suffix.lower() in SUFFIXES:
        return stem if stem in known else stem.rsplit("/", 1)[-1]
    last = name.strip().rsplit("/", 1)[-1]
    return last if last in known else name


def _whole_characters(text: str) -> str:
    """The text; halves of surrogate pairs, which no file can hold, become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _parser(path: Path, text: str, transcripts: bool) -> Callable[[Path, str], Numbered]:
    lines = text.split("\n")
    first = next((line for line in lines if line.strip() and not line.startswith(";;")), "")
    if first.lstrip().startswith("{"):
        return parse_jsonl if _is_row(first) else _json_object
    if first.lstrip().startswith("["):
        return _json_array
    if first.startswith("file:"):
        return _secap
    for pattern, name in _OTHERS:
        if pattern.match(first):
            raise UserError(f"{path}: is {name}, which is not read. Read are {_KNOWN}")
    if _is_ctm(first) or _TRN.fullmatch(first):
        if not transcripts:
            name = "CTM" if _is_ctm(first) else "trn"
            raise UserError(
                f"{path}: '{first[:60]}' is {name} of an ASR system, no caption: score it with"
                " --as transcript"
            )
        return _ctm if _is_ctm(first) else _trn
    if "\t" in first:
        return _tsv
    return _csv if _header(next(csv.reader([first]), [])) else _kaldi


def _is_row(line: str) -> bool:
    """Whether a line is an object with utt_id."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return line.rstrip().endswith("}") and "utt_id" in line
    return isinstance(row, dict) and "utt_id" in row


# ---- JSON and Parquet ----------------------------------------------------------------------------


def _json_object(path: Path, text: str) -> Numbered:
    try:
        pairs = json.loads(text, object_pairs_hook=list)  # retains duplicate keys
    except json.JSONDecodeError:  # JSON Lines whose first line has no id
        return parse_jsonl(path, text)
    names = dict(pairs).keys()
    if "response" in names or ({*ID} & names and {*CAPTION} & names):
        return [(1, json.loads(text))]
    if len(pairs) == 1:
        (value,) = json.loads(text).values()
        if isinstance(value, list):
            return [(1, row) for row in value]
    return [(1, {"utt_id": utt_id, "response": caption}) for utt_id, caption in pairs]


def _json_array(path: Path, text: str) -> Numbered:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not JSON ({error.msg}): remove the file and make it again."
        ) from error
    return [(1, row) for row in rows]


def _parquet(path: Path, raw: bytes) -> Numbered:
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(raw))
    except ImportError:
        raise UserError(
            f'{path}: is Parquet, which needs pyarrow: pip install "serdesc[parquet]"'
        ) from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not readable as Parquet ({error}): make it again") from None
    frame = frame.astype(object).where(frame.notna(), None)
    return list(enumerate(frame.to_dict("records"), start=1))


def _rename(row: Row) -> None:
    """Give id and caption of a row their first names; COCO's ids are numbers."""
    for first, *others in (ID, CAPTION):
        name = next((name for name in others if name in row), None)
        if first not in row and name:
            row[first] = row[name]
    if isinstance(row.get("utt_id"), int):
        row["utt_id"] = str(row["utt_id"])


# ---- lines and tables ----------------------------------------------------------------------------


def _kaldi(path: Path, text: str) -> Numbered:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            utt_id, *rest = line.split(None, 1)
            rows.append((number, {"utt_id": utt_id, "response": rest[0].strip() if rest else ""}))
    return rows


def _tsv(path: Path, text: str) -> Numbered:
    lines = [(number, line.split("\t")) for number, line in _records(text) if line.strip()]
    head = [_unquoted(cell) for cell in lines[0][1]]
    columns = _header(head)
    if not columns and len(head) != 2:
        raise UserError(
            f"{path}:1: a TSV of {len(head)} columns without a header that names an id "
            f"({', '.join(ID)}) and a caption ({', '.join(CAPTION)}): found {', '.join(head)[:80]}"
        )
    return _cells(path, lines[1:] if columns else lines, columns or (0, 1))


def _csv(path: Path, text: str) -> Numbered:
    reader = csv.reader(io.StringIO(text))
    try:
        lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not CSV ({error}): correct that line") from None
    return _cells(path, lines[1:], _header(lines[0][1]) or (0, 1))


def _cells(
    path: Path, lines: Sequence[tuple[int, Sequence[str]]], columns: tuple[int, int]
) -> Numbered:
    rows: Numbered = []
    for number, cells in lines:
        if len(cells) <= max(columns):
            raise UserError(f"{path}:{number}: fewer columns than the first line has")
        utt_id, response = (_unquoted(cells[column]) for column in columns)
        rows.append((number, {"utt_id": utt_id, "response": response}))
    return rows


def _header(head: Sequence[str]) -> tuple[int, int] | None:
    """Columns of id and caption of a table's first line, if it names both."""
    names = [cell.strip().lower() for cell in head]
    found = []
    for accepted in (ID, CAPTION):
        found.append(next((names.index(name) for name in accepted if name in names), -1))
    return (found[0], found[1]) if min(found) >= 0 else None


def _records(text: str) -> list[tuple[int, str]]:
    """Number and text of each row of a TSV: a line, or several if a quoted cell has line breaks.

    A line without a TAB continues a cell whose quotation mark is not closed.
    """
    records: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if records and "\t" not in line and _is_open(records[-1][1]):
            first, before = records[-1]
            records[-1] = first, f"{before}\n{line}"
        else:
            records.append((number, line))
    return records


def _is_open(record: str) -> bool:
    cell = record.rpartition("\t")[2].lstrip()
    return cell.startswith('"') and cell.count('"') % 2 == 1


def _unquoted(cell: str) -> str:
    """The text of a cell quoted as in CSV (inner quotes doubled); any other cell is unchanged."""
    cell = cell.strip()
    inside = cell[1:-1]
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside.replace('""', "")
    return inside.replace('""', '"') if quoted else cell


def _secap(path: Path, text: str) -> Numbered:
    """The first result of each file; lines after it belong to it, up to the next name."""
    rows: Numbered = []
    name = ""
    for number, line in enumerate(text.split("\n"), start=1):
        label = _SECAP_LABEL.match(line)
        if label:
            name, value = label[1], line[label.end() :].strip()
            if name == "file":
                rows.append((number, {"utt_id": value}))
            elif rows and "response" not in rows[-1][1]:
                rows[-1][1]["response"] = value
            else:
                name = ""  # another result of the same file
        elif name == "result" and line.strip():
            rows[-1][1]["response"] += f"\n{line.strip()}"
    return rows


# ---- ASR -----------------------------------------------------------------------------------------


def _is_ctm(line: str) -> bool:
    """Whether a line is `recording channel start seconds word [confidence]`."""
    cells = line.split()
    numbers = cells[2:4]
    return len(cells) in (5, 6) and all(re.fullmatch(r"\d+(\.\d+)?", cell) for cell in numbers)


def _ctm(path: Path, text: str) -> Numbered:
    words: dict[str, list[tuple[float, str]]] = {}
    first: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith(";;"):
            continue
        if not _is_ctm(line):
            raise UserError(
                f"{path}:{number}: '{line[:60]}' where `recording channel start seconds word` is"
                " expected"
            )
        utt_id, _, start, _, word = line.split()[:5]
        words.setdefault(utt_id, []).append((float(start), word))
        first.setdefault(utt_id, number)
    rows: Numbered = []
    for utt_id, timed in words.items():
        timed.sort(key=lambda item: item[0])
        response = " ".join(word for _, word in timed)
        rows.append((first[utt_id], {"utt_id": utt_id, "response": response}))
    return rows


def _trn(path: Path, text: str) -> Numbered:
    rows: Numbered = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        match = _TRN.fullmatch(line)
        if not match:
            raise UserError(f"{path}:{number}: '{line[:60]}' does not end with `(utt_id)`")
        rows.append((number, {"utt_id": match["id"], "response": match["words"].strip()}))
    return rows
