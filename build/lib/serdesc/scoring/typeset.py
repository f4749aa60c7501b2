"""A table (rows of cells, the head first) as Markdown, CSV or LaTeX; terminal.py prints tables."""

from __future__ import annotations

import csv
import io
import re
from typing import Callable, Sequence

Grid = Sequence[Sequence[str]]


def markdown(rows: Grid) -> str:
    lines = []
    for row in rows:
        cells = [_line(cell).replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def comma_separated(rows: Grid) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([plain(cell) for cell in row] for row in rows)
    return out.getvalue().rstrip("\n")


def latex(rows: Grid) -> str:
    """A booktabs tabular."""
    head, *body = ([_escaped(plain(cell)) for cell in row] for row in rows)
    lines = [" & ".join(row) + r" \\" for row in (head, *body)]
    columns = "ll" + "r" * (len(head) - 2)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


FORMS: dict[str, Callable[[Grid], str]] = {
    "markdown": markdown,
    "csv": comma_separated,
    "latex": latex,
}
SUFFIXES = {".md": "markdown", ".csv": "csv", ".tex": "latex"}


def set_table(rows: Grid, title: str, notes: Sequence[str], form: str) -> str:
    """A table with its title and notes; CSV has the cells only."""
    text = FORMS.get(form, markdown)(rows)
    if form == "csv":
        return text
    if form == "latex":
        return "\n".join([f"% {title}", text, *(f"% {note}" for note in notes)])
    return "\n".join([f"### {title}", "", text, "", *(f"- {note}" for note in notes)])


def _line(cell: str) -> str:
    return " ".join(cell.split())


def plain(cell: str) -> str:
    """A cell without leading Markdown bold; stars after a value are significance marks."""
    return re.sub(r"^\*\*(.+?)\*\*", r"\1", _line(cell))


_LATEX = {c: rf"\{c}" for c in "%_&#${}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}
_LATEX |= {"±": r"$\pm$", "†": r"$\dagger$", "∘": r"$\circ$", "β": r"$\beta$"}


def _escaped(cell: str) -> str:
    return re.sub("|".join(map(re.escape, _LATEX)), lambda match: _LATEX[match[0]], cell)
