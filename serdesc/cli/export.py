"""serdesc export"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serdesc.cli.command import Set, command
from serdesc.errors import UserError


@command
def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="EXP|DATA", help="A trained fold, or a data directory.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder to write.", show_default=False)
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="Of data: csv, or lhotse.")
    ] = "csv",
    licence: Annotated[
        str, typer.Option("--licence", metavar="ID", help="Of a model, for its card: cc-by-4.0 ...")
    ] = "",
    settings: Set = None,
) -> None:
    """Write a folder to share: a trained model with its card, or data for other toolkits.

    A model's folder has the weights of branches and LoRA, not those of encoder
    and LLM, no code and no data; `serdesc describe --model OUT` takes it.

    Example:

        serdesc export exp/mini/fold1 my-model --licence apache-2.0
    """
    if (source / "config.yaml").exists():
        from serdesc.export import model

        model.export(source, out, settings or [], licence)
        typer.echo(f"{out}: try it with: serdesc describe --model {out} AUDIO")
    elif (source / "wav.scp").exists():
        from serdesc.export import data

        for path in data.export(source, out, to):
            typer.echo(str(path))
    else:
        raise UserError(
            f"{source}: neither an experiment's fold (config.yaml) nor a data directory (wav.scp)"
        )
