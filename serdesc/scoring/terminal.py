"""Tables and texts on the terminal: no cell is cut or wrapped inside a word.

A table that is wider than the terminal is split into stacked parts that repeat the label columns.
Without a terminal (pipe, log file) and without COLUMNS the width is 160 and texts are not wrapped.
"""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING, Literal, Sequence

from rich.cells import cell_len
from rich.console import Console

from serdesc.printable import printable
from serdesc.scoring.typeset import Grid, grid, plain

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

LOG_WIDTH = 160
LONG = 20  # a longer cell may be wrapped between words
BORDERS = 3  # columns of the terminal per table column: padding and border; one more at the left


def print_table(table: Grid | pd.DataFrame, title: str, labels: int = 1) -> None:
    """Print a table; the first `labels` columns are repeated in each part."""
    console = _console()
    rows = [[printable(plain(cell)) for cell in row] for row in grid(table)]
    columns = list(zip(*rows))
    console.print(_wrapped(printable(title), console.width), style="italic", soft_wrap=True)
    widths = [_comfortable_width(column) for column in columns]
    natural = [max(map(cell_len, column)) for column in columns]
    for part in _parts(widths, labels, console.width):
        shortest = [widths[i] for i in part]
        longest = [natural[i] for i in part]
        final = _spread(shortest, longest, console.width)
        console.print(_rich_table([columns[i] for i in part], final, labels))


def _rich_table(columns: Grid, widths: Sequence[int], labels: int) -> Table:
    """One part of a table, from its columns of cells."""
    from rich.table import Table

    part = Table()
    for i, (column, width) in enumerate(zip(columns, widths)):
        justify: Literal["left", "right"] = "left" if i < labels else "right"
        part.add_column(column[0], justify=justify, overflow="fold", width=width)
    for row in list(zip(*columns))[1:]:
        part.add_row(*row)
    return part


def print_lines(lines: Sequence[str], indent: str = "") -> None:
    """Print texts, wrapped between words on a terminal; `indent` before continuation lines."""
    console = _console()
    for line in lines:
        print(_wrapped(printable(line), console.width, indent))


def print_command(words: Sequence[str]) -> None:
    """Print a command or options to paste, continued with a backslash where a line is full."""
    lines = [""]
    for word in words:
        extended = f"{lines[-1]} {word}".strip()
        if lines[-1] and is_terminal() and len(extended) > _console().width - 2:
            lines.append(f"  {word}")
        else:
            lines[-1] = lines[-1] + " " + word if lines[-1] else word
    print(" \\\n".join(lines))


def is_terminal() -> bool:
    """True if the width of the output is known: a terminal, or COLUMNS is set."""
    return sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()


def _console() -> Console:
    width = None if is_terminal() else LOG_WIDTH
    return Console(width=width, markup=False, emoji=False, highlight=False)


def _wrapped(text: str, width: int, indent: str = "") -> str:
    if not is_terminal() or len(text) <= width:
        return text
    start = text[: len(text) - len(text.lstrip())]
    lines = textwrap.wrap(
        text.strip(),
        width,
        initial_indent=start,
        subsequent_indent=start + indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def _comfortable_width(column: Sequence[str]) -> int:
    """Width of the longest word, and of the longest cell below the head if it is not LONG."""
    words = [cell_len(word) for cell in column for word in cell.split()]
    short = [cell_len(cell) for cell in column[1:] if cell_len(cell) <= LONG]
    return max([1, *words, *short])


def _parts(widths: Sequence[int], labels: int, limit: int) -> list[list[int]]:
    """The columns of each part: all labels, and as many others as fit."""
    fixed = list(range(labels))
    parts: list[list[int]] = [list(fixed)]
    for i in range(labels, len(widths)):
        extended = [*parts[-1], i]
        width = _table_width([widths[k] for k in extended])
        if len(parts[-1]) > labels and width > limit:
            parts.append([*fixed, i])
        else:
            parts[-1] = extended
    return parts


def _spread(widths: Sequence[int], natural: Sequence[int], limit: int) -> list[int]:
    """Widths extended up to the natural ones, from left to right, while the table fits."""
    spare = max(0, limit - _table_width(widths))
    final: list[int] = []
    for width, wish in zip(widths, natural):
        extra = min(spare, max(0, wish - width))
        final.append(width + extra)
        spare -= extra
    return final


def _table_width(widths: Sequence[int]) -> int:
    return sum(widths) + BORDERS * len(widths) + 1
