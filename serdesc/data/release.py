"""Text files of a corpus as it is released: encodings, line ends, empty lines, missing values."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Iterable, Iterator, Sequence

from serdesc.errors import UserError
from serdesc.files import read_lines, read_text

SEXES = {"m": "male", "male": "male", "man": "male"}
SEXES |= {"f": "female", "female": "female", "woman": "female"}


def lines(path: Path, former: str = "") -> list[str]:
    """The lines of a UTF-8 file that are not empty.

    former: the encoding of files that are not UTF-8, if the corpus is known to have such. Raises
    UserError for other files: a guess would change words.
    """
    if former:
        raw = path.read_bytes()
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            decoded = raw.decode(former, errors="replace").replace("\r\n", "\n")
            return [line for line in decoded.split("\n") if line.strip()]
    return [line for line in read_lines(path) if line.strip()]


def table(path: Path) -> dict[str, str]:
    """`<id> <value>` lines; the value of an id alone is empty."""
    values = {}
    for line in lines(path):
        key, *rest = line.split(None, 1)
        values[key] = rest[0].strip() if rest else ""
    return values


def rows(path: Path, required: Sequence[str], delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a table with a header.

    Raises UserError for a table that is not CSV, lacks a required column, or has a row without it.
    """
    reader = csv.DictReader(io.StringIO(read_text(path)), delimiter=delimiter)
    try:
        absent = [column for column in required if column not in (reader.fieldnames or ())]
        if absent:
            names = ", ".join(reader.fieldnames or ["nothing"])
            raise UserError(f"{path}: no column {', '.join(absent)}; found {names}")
        for row in reader:
            if not any((row[column] or "").strip() for column in reader.fieldnames or ()):
                continue
            missing = [column for column in required if row[column] is None]
            if missing:
                raise UserError(
                    f"{path}:{reader.line_num}: the row ends before its column {missing[0]}:"
                    " download the table again"
                )
            yield row
    except csv.Error as error:
        raise UserError(
            f"{path}:{reader.line_num}: not a table ({error}): look for a quotation mark that is"
            " not closed before that line"
        ) from None


def sex(value: str | None) -> str | None:
    """male or female of m, M, male, f ...; None of anything else."""
    return SEXES.get((value or "").strip().lower())


def number(value: str | None) -> float | None:
    """A finite number; None of anything else."""
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None


def visible(paths: Iterable[Path]) -> list[Path]:
    """The paths, sorted, without hidden files: macOS writes `._name` beside files it copies."""
    return sorted(path for path in paths if not path.name.startswith("."))
