"""A table, rows of cells with the head first, as Markdown, CSV, LaTeX or on the terminal."""

from __future__ import annotations

import csv
import io
import re
import sys
from typing import Callable, Sequence

Grid = Sequence[Sequence[str]]


def markdown(rows: Grid) -> str:
    head, *body = ([_line(cell).replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(
        [
            "| " + " | ".join(head) + " |",
            "|" + "---|" * len(head),
            *("| " + " | ".join(row) + " |" for row in body),
        ]
    )


def comma_separated(rows: Grid) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_plain(cell) for cell in row] for row in rows)
    return out.getvalue().rstrip("\n")


def latex(rows: Grid) -> str:
    """A booktabs tabular."""
    head, *body = ([_escaped(_plain(cell)) for cell in row] for row in rows)
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


def terminal(rows: Grid, title: str) -> None:
    """Print it; the first row is the head."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows[1:]:
        table.add_row(*(_plain(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160, markup=False, emoji=False).print(table)


FORMS: dict[str, Callable[[Grid], str]] = {
    "markdown": markdown,
    "csv": comma_separated,
    "latex": latex,
}
SUFFIXES = {".md": "markdown", ".csv": "csv", ".tex": "latex"}


def set_table(rows: Grid, title: str, notes: Sequence[str], form: str) -> str:
    """A table with its title and notes; of CSV the cells alone."""
    made = FORMS.get(form, markdown)(rows)
    if form == "csv":
        return made
    if form == "latex":
        return "\n".join([f"% {title}", made, *(f"% {note}" for note in notes)])
    return "\n".join([f"### {title}", "", made, "", *(f"- {note}" for note in notes)])


def _line(cell: str) -> str:
    return " ".join(cell.split())


def _plain(cell: str) -> str:
    """Without Markdown's bold, which stands in front; stars behind a value are marks."""
    return re.sub(r"^\*\*(.+?)\*\*", r"\1", _line(cell))


_LATEX = {c: rf"\{c}" for c in "%_&#${}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}
_LATEX |= {"±": r"$\pm$", "†": r"$\dagger$", "∘": r"$\circ$", "β": r"$\beta$"}


def _escaped(cell: str) -> str:
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found[0]], cell)
