"""serdesc report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from serdesc.cli.command import ConfigFile, Jobs, Set, command
from serdesc.errors import UserError


@command
def report(
    exp: Annotated[
        Path,
        typer.Argument(metavar="EXP", help="Experiment with folds: exp/mini.", show_default=False),
    ],
    out: Annotated[
        Optional[Path],
        typer.Argument(
            metavar="[DIR]", help="Folder of --html; EXP/html_PART by default.", show_default=False
        ),
    ] = None,
    part: Annotated[str, typer.Option("--part", help="Decoded part of the folds.")] = "test",
    html: Annotated[
        bool, typer.Option("--html", help="Also write a page with all utterances and their audio.")
    ] = False,
    compare: Annotated[
        Optional[Path],
        typer.Option("--compare", metavar="EXP", help="Show another experiment's captions beside."),
    ] = None,
    data: Annotated[
        Optional[Path],
        typer.Option("--data", metavar="DATA", help="Directory with the folds, if it was moved."),
    ] = None,
    audio: Annotated[
        str, typer.Option("--audio", help="Of the page: link (to the corpus), copy or embed.")
    ] = "link",
    nj: Jobs = 1,
    config_files: ConfigFile = None,
    settings: Set = None,
) -> None:
    """Pool the folds of an experiment: a table, score_PART.json and RESULTS.md.

    --html adds a folder whose report.html opens in a browser, without a server.

    Example:

        serdesc report exp/mini --html page/
    """
    from serdesc import config as configs
    from serdesc.scoring.report import report as report_experiment

    config = configs.load(config_files, settings)
    if not html and (out or compare or data):
        raise UserError("DIR, --compare and --data are of a page: add --html")
    report_experiment(exp, part, config)
    if html:
        from serdesc.report import experiment

        folder = out or exp / f"html_{part}"
        page = experiment.write(exp, part, config, folder, data, compare, audio, nj)
        typer.echo(str(page))
