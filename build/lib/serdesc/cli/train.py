"""serdesc train"""

from __future__ import annotations

from typing import Annotated

import typer

from serdesc.cli.command import ConfigFile, Data, Exp, Set, StoreArg, command


@command
def train(
    data: Data,
    store: StoreArg,
    exp: Exp,
    config_files: ConfigFile = None,
    settings: Set = None,
    allow_cpu: Annotated[
        bool, typer.Option("--allow-cpu", help="Train an LLM of over 1e9 parameters on a CPU.")
    ] = False,
) -> None:
    """Fine-tune branches, adapters and LoRA on a fold's training part, or resume that.

    Example:

        serdesc train data/fold1/train dump exp/fold1 --config conf/mini.yaml
    """
    from serdesc import config as configs
    from serdesc.training.trainer import train_experiment

    config = configs.load(config_files, settings)
    excluded = train_experiment(data, store, exp, config, allow_cpu)
    if excluded:
        typer.echo(
            f"{excluded} utterances without features were not used: {store}/rejected.tsv", err=True
        )
