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
        Optional[Path],
        typer.Argument(
            metavar="DATA",
            help="Data directory, with or without folds, or a folder of folds; or use --hours.",
            show_default=False,
        ),
    ] = None,
    more: Annotated[
        Optional[list[Path]],
        typer.Option("--config", metavar="FILE", help="Further file or system. Repeatable."),
    ] = None,
    gpu: Annotated[
        str,
        typer.Option("--gpu", metavar="CARD", help="A card of plan/cards.yaml, e.g. a100-40."),
    ] = "",
    gpus: Annotated[
        int, typer.Option("--gpus", metavar="N", min=1, help="GPUs per training, with torchrun.")
    ] = 1,
    hours: Annotated[
        Optional[float],
        typer.Option("--hours", metavar="H", min=0, help="Hours of speech, in place of DATA."),
    ] = None,
    clip_seconds: Annotated[
        Optional[float],
        typer.Option(
            "--clip-seconds",
            metavar="S",
            min=0.1,
            help="With --hours: length of a clip; by default 4, SpeechCraft's mean.",
        ),
    ] = None,
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
    from serdesc.errors import UserError
    from serdesc.plan import planner
    from serdesc.plan.lengths import CLIP_SECONDS, AssumedData

    if (data is None) == (hours is None):
        raise UserError("give DATA or --hours H, one of the two: H hours of speech are assumed")
    resolved = configs.load([config, *(more or [])], settings)
    source = data or AssumedData(hours or 0.0, clip_seconds or CLIP_SECONDS)
    planner.run(resolved, source, gpu, gpus, memory, calibrate, out)
