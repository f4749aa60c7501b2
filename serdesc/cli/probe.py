"""serdesc probe"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from serdesc.cli.command import Data, Set, StoreArg, command


@command
def probe(
    data: Data,
    store: StoreArg,
    exps: Annotated[
        list[Path],
        typer.Argument(metavar="EXP...", help="Trained folds to compare.", show_default=False),
    ],
    train: Annotated[
        Optional[Path],
        typer.Option("--train", metavar="DATA", help="Trains the linear probes; DATA/../train."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", help="Utterances that captions are decoded for.")
    ] = 200,
    out: Annotated[
        Optional[Path],
        typer.Option("--out", metavar="FILE", help="By default EXP/probe_PART.json of each EXP."),
    ] = None,
    settings: Set = None,
) -> None:
    """Does a model listen to the voice or read the words? Its branches are taken apart.

    Branches of two utterances are combined, one branch is silenced, and linear
    classifiers read words, emotion and voice from the latents of each.

    Example:

        serdesc probe data/mini/fold1/test dump/hubert-mini/mini exp/mini/fold1
    """
    from serdesc.data import datadir
    from serdesc.files import write_json
    from serdesc.inference import probing as test
    from serdesc.scoring import probing, terminal

    training = datadir.originals(datadir.read(train or data.parent / "train"))
    utterances = datadir.read(data)
    swapped: dict[str, list[dict[str, Any]]] = {}
    probed: dict[str, list[dict[str, Any]]] = {}
    for exp in exps:
        loaded = test.load(exp, store, settings or [])
        config, found = loaded.model.config.scoring, loaded.run(training, utterances, limit)
        rows = probing.swap_rows(found.swapped, config)
        name = str(exp)
        swapped[name] = probing.swap(rows, config)
        probed[name] = probing.probes(training, utterances, found.vectors, config)
        silence = probing.silence(utterances, found.answers, config)
        says = probing.verdict(probed[name], swapped[name])
        tree = {
            "data": str(data),
            "utterances": {"train": len(training), "test": len(utterances), "limit": limit},
            "swap": swapped[name],
            "silence": silence,
            "probes": probed[name],
            "kl per dimension": found.kl,
            "active dimensions": found.active,
            "says": says,
            "pairs": rows,
        }
        path = out if out and len(exps) == 1 else exp / f"probe_{data.name}.json"
        write_json(path, tree)
        title = f"{exp}: mean recall and WER % with both branches, and with one silenced"
        terminal.print_table(probing.silence_cells(silence), title)
        for line in says:
            typer.echo(f"{exp}: {line}")
        typer.echo(f"{exp}: active latent dimensions {found.active}; all figures: {path}")
    if any(swapped.values()):
        title = "swapped branches: captions that follow the utterance of each branch, %"
        terminal.print_table(probing.cells(swapped), title, labels=2)
    title = "linear probes: mean recall % (95 % over speakers)"
    terminal.print_table(probing.cells(probed), title, labels=2)
