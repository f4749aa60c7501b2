"""serdesc extract"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from serdesc.cli.command import ConfigFile, Data, Set, command
from serdesc.errors import UserError


@command
def extract(
    data: Data,
    store: Annotated[
        Path, typer.Argument(metavar="STORE", help="Folder for the features.", show_default=False)
    ],
    config_files: ConfigFile = None,
    settings: Set = None,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Job I of N, for job arrays.")
    ] = "1/1",
    max_disk: Annotated[
        Optional[float],
        typer.Option("--max-disk", metavar="GB", help="Compute larger features live instead."),
    ] = None,
) -> None:
    """Store the outputs of all layers of the frozen encoder for a data directory.

    Utterances whose label is not in folds.labels are left out.

    Example:

        serdesc extract data/mini dump/hubert-mini/mini --config conf/mini.yaml
    """
    from serdesc import config as configs
    from serdesc.data.audio import print_rejected
    from serdesc.features.extract import extract as extract_features

    job = _job(shard)
    done = extract_features(data, store, configs.load(config_files, settings), job, max_disk)
    if done.live:
        size = f"features of {done.hours:.3g} h would take {done.gb:.3g} GB"
        limit = f"more than {max_disk:g} GB (--max-disk)"
        typer.echo(f"{store}: {size}, {limit}: they are computed live")
    print_rejected(done.rejected, f"have no features in {store}")


def _job(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise UserError(f"--shard {text}: write I/N with 1 <= I <= N, for example 2/5")
    return int(number), int(count)
