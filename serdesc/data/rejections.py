"""rejected.tsv: utterances whose audio cannot be used, a TSV of id, path and reason."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable

from serdesc.errors import UserError
from serdesc.files import read_text, write_lines

NAME = "rejected.tsv"


def read(folder: Path) -> list[tuple[str, str, str]]:
    """Id, path and reason of each utterance that `serdesc prepare` or `annotate` rejected."""
    path = folder / NAME
    if not path.exists():
        return []
    rows = []
    for line in read_text(path).split("\n")[1:]:
        if line:
            cells = line.split("\t")
            if len(cells) != 3:
                raise UserError(
                    f"{path}: '{' '.join(cells)}' where utt_id, path and reason are expected,"
                    " separated by TABs"
                )
            rows.append((cells[0], cells[1], cells[2]))
    return rows


def write(folder: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write rejected.tsv: a header, and the rows sorted."""
    lines = []
    for cells in [("utt_id", "path", "reason"), *sorted(rows)]:
        lines.append("\t".join(map(_one_cell, cells)) + "\n")
    write_lines(folder / NAME, lines)


def append(folder: Path, row: tuple[str, str, str]) -> None:
    """Append a row to rejected.tsv; several processes may do so."""
    path = folder / NAME
    if not path.exists():
        write(folder, [])
    with path.open("a", encoding="utf-8") as file:
        file.write("\t".join(map(_one_cell, row)) + "\n")


def _one_cell(value: str) -> str:
    return value.replace("\t", " ").replace("\n", " ")
