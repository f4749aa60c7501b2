"""serdesc table"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from serdesc.cli.command import ConfigFile, Set, command
from serdesc.errors import UserError


@command
def table(
    number: Annotated[
        int, typer.Argument(metavar="1|2|3", help="Table of the paper.", show_default=False)
    ],
    exp: Annotated[
        list[str],
        typer.Argument(
            metavar="EXP", help="Folder of experiments per corpus, or NAME=EXP.", show_default=False
        ),
    ],
    form: Annotated[
        str, typer.Option("--format", help="terminal, markdown, csv or latex; default: as --out.")
    ] = "",
    out: Annotated[
        Optional[Path],
        typer.Option("--out", metavar="FILE", help="File to write: .md, .csv, .tex or .parquet."),
    ] = None,
    unit: Annotated[
        str, typer.Option("--unit", help="Unit of the tests: utterance, speaker or fold.")
    ] = "utterance",
    descriptors: Annotated[
        bool, typer.Option("--descriptors", help="Add a column for each descriptor.")
    ] = False,
    part: Annotated[str, typer.Option("--part", help="Decoded part of the folds.")] = "test",
    config_files: ConfigFile = None,
    settings: Set = None,
) -> None:
    """The paper's Table 1, 2 or 3: published rows beside measured ones.

    Example:

        serdesc table 2 egs/mini/exp egs/ravdess/exp --format markdown
    """
    from serdesc import config as configs
    from serdesc.scoring import significance, tables, terminal, typeset

    form = _form(form, out)
    if unit not in significance.UNITS:
        raise UserError(f"--unit {unit}: not one of {', '.join(significance.UNITS)}")
    config = configs.load(config_files, settings)
    made = tables.table(number, exp, part, unit, config, descriptors)
    if form == "terminal" and not out:
        terminal.print_table(made.terminal, made.title, tables.LABELS)
        terminal.print_lines(made.notes, "  ")
        return
    if out:
        typeset.write(out, made.rows, made.title, made.notes, form)
        typer.echo(str(out))
    else:
        typer.echo(typeset.set_table(made.rows, made.title, made.notes, form))


def _form(form: str, out: Path | None) -> str:
    """The format that is named, or that of the suffix of --out."""
    from serdesc.scoring import typeset

    if out and not form and out.suffix not in typeset.SUFFIXES:
        suffixes = ", ".join(typeset.SUFFIXES)
        raise UserError(
            f"--out {out}: ends in none of {suffixes}: rename it, or name the form with --format"
        )
    if not form:
        form = typeset.SUFFIXES[out.suffix] if out else "terminal"
    if form not in ("terminal", *typeset.FORMS):
        raise UserError(f"--format {form}: not one of terminal, {', '.join(typeset.FORMS)}")
    return form
