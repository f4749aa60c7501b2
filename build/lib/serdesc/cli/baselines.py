"""serdesc baselines"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serdesc.cli.command import ConfigFile, Data, Jobs, Set, command


@command
def baselines(
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="JSON to write.", show_default=False)
    ],
    nj: Jobs = 1,
    config_files: ConfigFile = None,
    settings: Set = None,
) -> None:
    """Score trivial baselines without the model on the same folds.

    A constant answer, words alone, reference descriptors, and log-mel statistics.

    Example:

        serdesc baselines data/mini --out exp/mini/baselines.json
    """
    from serdesc import config as configs
    from serdesc.scoring import baselines as trivial

    config = configs.load(config_files, settings)
    trivial.write(out, trivial.baselines(data, nj, config.scoring))
    typer.echo(str(out))
