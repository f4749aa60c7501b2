"""serdesc report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serdesc.cli.command import ConfigFile, Set, command


@command
def report(
    exp: Annotated[
        Path,
        typer.Argument(metavar="EXP", help="Experiment with folds: exp/mini.", show_default=False),
    ],
    part: Annotated[str, typer.Option("--part", help="Decoded part of the folds.")] = "test",
    config_files: ConfigFile = None,
    settings: Set = None,
) -> None:
    """Pool the folds of an experiment: a table, score_PART.json and RESULTS.md.

    Example:

        serdesc report exp/mini
    """
    from serdesc import config as configs
    from serdesc.scoring.report import report as report_experiment

    report_experiment(exp, part, configs.load(config_files, settings))
