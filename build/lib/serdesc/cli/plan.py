"""serdesc plan"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from serdesc.cli.command import Set, command


@command
def plan(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG", help="YAML file, as for `train`.", show_default=False),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Data directory, with or without folds, or a folder of folds.",
            show_default=False,
        ),
    ],
    more: Annotated[
        Optional[list[Path]],
        typer.Option("--config", metavar="FILE", help="Further file or system. Repeatable."),
    ] = None,
    gpu: Annotated[
        str,
        typer.Option("--gpu", metavar="CARD", help="A card of plan/cards.yaml, e.g. a100-40."),
    ] = "",
    memory: Annotated[
        Optional[float],
        typer.Option(
            "--memory",
            metavar="GB",
            min=0.1,
            help="Limit; by default the card's or this machine's.",
        ),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure this machine's speed, one or two minutes.")
    ] = False,
    out: Annotated[
        Optional[Path], typer.Option("--out", metavar="FILE", help="JSON to write.")
    ] = None,
    settings: Set = None,
) -> None:
    """Estimate parameters, disk, tokens, memory and hours of a run, and settings that fit a card.

    Example:

        serdesc plan egs/iemocap/conf/iemocap.yaml data/iemocap --gpu a100-40
    """
    from serdesc import config as configs
    from serdesc.plan import planner

    resolved = configs.load([config, *(more or [])], settings)
    planner.run(resolved, data, gpu, memory, calibrate, out)
