"""serdesc prepare"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serdesc.cli.command import ConfigFile, Data, Jobs, Set, command
from serdesc.printable import printable

SHOWN = 10  # rejected utterances on the terminal


@command
def prepare(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS",
            help="A module of serdesc/data/corpora: mini, ravdess, emodb ...",
            show_default=False,
        ),
    ],
    src: Annotated[
        Path,
        typer.Argument(
            metavar="SRC",
            help="The downloaded corpus (mini: folder for the made speech).",
            show_default=False,
        ),
    ],
    data: Data,
    config_files: ConfigFile = None,
    settings: Set = None,
    nj: Jobs = 1,
) -> None:
    """Turn a downloaded corpus into a Kaldi-style data directory.

    Example:

        serdesc prepare ravdess ~/corpora/ravdess data/ravdess
    """
    from serdesc import config as configs
    from serdesc.data.prepare import prepare as prepare_corpus

    config = configs.load(config_files, settings)
    accepted, rejected = prepare_corpus(corpus, src, data, config.prepare, nj)
    hours = sum(utt.seconds or 0.0 for utt in accepted) / 3600
    speakers = len({utt.spk for utt in accepted})
    counts = f"{len(accepted)} utterances, {speakers} speakers, {hours:.2f} h"
    typer.echo(f"{data}: {counts}; {len(rejected)} rejected")
    for item in rejected[:SHOWN]:
        line = f"  rejected {item.utt_id}: {item.reason} ({item.path})"
        typer.echo(printable(line), err=True)
    if rejected:
        typer.echo(f"  all of them, with reasons: {data / 'rejected.tsv'}", err=True)
