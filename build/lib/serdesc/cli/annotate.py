"""serdesc annotate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from serdesc.cli.command import ConfigFile, Data, Jobs, Set, command


@command
def annotate(
    data: Data,
    out: Annotated[
        Optional[Path],
        typer.Option("--out", metavar="DIR", help="Folder for the folds; DATA by default."),
    ] = None,
    config_files: ConfigFile = None,
    settings: Set = None,
    nj: Jobs = 1,
) -> None:
    """Measure pitch, energy and speed; make folds with labels and reference captions.

    The thresholds of a fold's labels are computed from its training part.

    Example:

        serdesc annotate data/ravdess --config conf/eight.yaml --nj 4
    """
    from serdesc import config as configs
    from serdesc.data.annotate import annotate as annotate_data

    for fold in annotate_data(data, configs.load(config_files, settings), nj, out):
        counts = ", ".join(f"{len(part)} {name}" for name, part in fold.parts().items())
        typer.echo(f"{out or data}/fold{fold.number}: {counts}")
