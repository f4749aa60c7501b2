"""serdesc train"""

from __future__ import annotations

import math
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
    time_limit: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="End within this time: seconds, H:MM:SS or D-HH:MM:SS.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Fine-tune branches, adapters and LoRA on a fold's training part, or resume that.

    SIGTERM, SIGUSR1 and --time-limit end it after a step, with a checkpoint
    and exit code 75: call it again, and it goes on from there.

    Example:

        serdesc train data/fold1/train dump exp/fold1 --config conf/mini.yaml
    """
    from serdesc.training.stopping import StopRequest, seconds_of

    stop = StopRequest(seconds_of(time_limit) if time_limit else math.inf)
    with stop.listening():
        from serdesc import config as configs
        from serdesc.training.trainer import train_experiment

        config = configs.load(config_files, settings)
        excluded = train_experiment(data, store, exp, config, allow_cpu, stop)
    if excluded:
        typer.echo(
            f"{excluded} utterances without features were not used: {store}/rejected.tsv", err=True
        )
