"""A table of text cells as Markdown, CSV, LaTeX or Parquet; terminal.py prints tables."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Sequence

from serdesc.errors import UserError
from serdesc.files import atomic_path, write_text

if TYPE_CHECKING:
    import pandas as pd

Grid = Sequence[Sequence[str]]  # rows of cells, the head first


def grid(table: Grid | pd.DataFrame) -> Grid:
    """The rows of a table, its head first."""
    if isinstance(table, Sequence):
        return table
    head = [str(name) for name in table.columns]
    return [head, *table.to_numpy().tolist()]


def _changed(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with all cells and headings changed."""
    return table.map(change).rename(columns=change)


def markdown(table: pd.DataFrame) -> str:
    """A table in the format of GitHub."""
    escaped = _changed(table, _markdown_cell)
    text = escaped.to_markdown(index=False, tablefmt="github", disable_numparse=True)
    return str(text)


def comma_separated(table: pd.DataFrame) -> str:
    text = _changed(table, plain).to_csv(index=False, lineterminator="\n")
    return str(text).rstrip("\n")


def latex(table: pd.DataFrame) -> str:
    """A booktabs tabular."""
    escaped = _changed(table, _latex_cell)
    columns = "ll" + "r" * (len(table.columns) - 2)
    return str(escaped.to_latex(index=False, escape=False, column_format=columns)).rstrip("\n")


PARQUET = "parquet"
TEXT: dict[str, Callable[[pd.DataFrame], str]] = {
    "markdown": markdown,
    "csv": comma_separated,
    "latex": latex,
}
FORMS = (*TEXT, PARQUET)
SUFFIXES = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".parquet": PARQUET}


def set_table(table: pd.DataFrame, title: str, notes: Sequence[str], form: str) -> str:
    """A table with its title and notes; CSV has the cells only.

    Raises UserError for Parquet, which is no text.
    """
    if form == PARQUET:
        _check_pyarrow()
        raise UserError("--format parquet is binary: it is written with --out FILE.parquet only")
    text = TEXT.get(form, markdown)(table)
    if form == "csv":
        return text
    if form == "latex":
        return "\n".join([f"% {title}", text, *(f"% {note}" for note in notes)])
    return "\n".join([f"### {title}", "", text, "", *(f"- {note}" for note in notes)])


def write(path: Path, table: pd.DataFrame, title: str, notes: Sequence[str], form: str) -> None:
    """Write a table to a file; Parquet has the cells only. Raises UserError without pyarrow."""
    if form != PARQUET:
        write_text(path, set_table(table, title, notes, form) + "\n")
        return
    _check_pyarrow()
    with atomic_path(path) as temporary:
        _changed(table, plain).to_parquet(temporary, engine="pyarrow", index=False)


def _check_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise UserError(
            "Parquet needs pyarrow, which is not installed: pip install pyarrow, or write "
            f"{', '.join(TEXT)}"
        )


def number(value: float | None) -> str:
    """A figure with one decimal; empty if it is missing."""
    return "" if value is None or value != value else f"{value:.1f}"


def signed_span(interval: tuple[float, float] | None) -> str:
    """Both ends of the interval of a difference, with their signs."""
    return "" if interval is None else f"{interval[0]:+.1f} to {interval[1]:+.1f}"


def span(interval: Sequence[float] | None) -> str:
    """An interval: low-high; empty if it is missing."""
    return f"{interval[0]:.1f}-{interval[1]:.1f}" if interval else ""


def _line(cell: str) -> str:
    return " ".join(cell.split())


def plain(cell: str) -> str:
    """A cell without leading Markdown bold; stars after a value are significance marks."""
    return re.sub(r"^\*\*(.+?)\*\*", r"\1", _line(cell))


def _markdown_cell(cell: str) -> str:
    return _line(cell).replace("|", "\\|")


_LATEX = {c: rf"\{c}" for c in "%_&#${}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}
_LATEX |= {"±": r"$\pm$", "†": r"$\dagger$", "∘": r"$\circ$", "β": r"$\beta$"}


def _latex_cell(cell: str) -> str:
    """The cell with LaTeX's special characters escaped; pandas' escape knows only ASCII."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda match: _LATEX[match[0]], plain(cell))
