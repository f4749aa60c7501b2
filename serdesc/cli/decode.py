"""serdesc decode"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from serdesc.cli.command import Data, Exp, Set, StoreArg, command


@command
def decode(
    data: Data,
    store: StoreArg,
    exp: Exp,
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out", metavar="FILE", help="By default EXP/decode_PART/hyp.jsonl, PART: DATA's name."
        ),
    ] = None,
    settings: Set = None,
) -> None:
    """Caption a data directory with a trained experiment and its own configuration.

    Example:

        serdesc decode data/mini/fold1/test dump/hubert-mini/mini exp/mini/fold1
    """
    from serdesc.data.audio import print_rejected
    from serdesc.inference.decode import decode_experiment

    hyp = out or exp / f"decode_{data.name}" / "hyp.jsonl"
    rejected = decode_experiment(data, store, exp, hyp, settings)
    if rejected is None:
        typer.echo(f"{hyp} exists already; remove it to decode again", err=True)
        return
    print_rejected(rejected, f"are not in {hyp}")
    typer.echo(str(hyp))
