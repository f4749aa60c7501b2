"""Verbs of stages 1 and 2: corpora into data directories, labels, and what is wrong with them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from serdesc.cli.command import ConfigFile, Data, Jobs, Set, verb
from serdesc.errors import FailedError, UserError

if TYPE_CHECKING:
    from serdesc.data.check import Finding


@verb
def config(
    key: Annotated[str, typer.Argument(help="A key, for example encoder.model; without it the whole configuration.", show_default=False)] = "",
    config_files: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """Print the configuration that files, systems and settings come to, every key with its value; or the value of one key.

    Example: `serdesc config training --config egs/mini/conf/mini.yaml --config two_stage`
    """
    import yaml

    from serdesc import config as configs

    value = asdict(configs.load(config_files, settings))
    place = "the configuration"
    for name in key.split(".") if key else ():
        if not isinstance(value, dict) or name not in value:
            raise UserError(
                f"{key}: {place} has no '{name}'; "
                + (f"it has {', '.join(value)}" if isinstance(value, dict) else "it is a value")
            )
        value, place = value[name], name
    typer.echo(
        yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")
        if isinstance(value, (dict, list))
        else value
    )


@verb
def prepare(
    corpus: Annotated[str, typer.Argument(help="A module of serdesc/data/corpora: mini, ravdess, speechcraft ...", show_default=False)],
    src: Annotated[Path, typer.Argument(help="The corpus as it was downloaded (mini: where to put it).", show_default=False)],
    data: Data,
    config_files: ConfigFile = None, settings: Set = None, nj: Jobs = 1,
) -> None:  # fmt: skip
    """Turn a downloaded corpus into a Kaldi-style data directory.

    Example: `serdesc prepare ravdess ~/corpora/ravdess data/ravdess`
    """
    from serdesc import config as configs
    from serdesc.data import prepare as preparation

    accepted, rejected = preparation.prepare(
        corpus, src, data, configs.load(config_files, settings).prepare, nj
    )
    hours = sum(utt.seconds or 0.0 for utt in accepted) / 3600
    typer.echo(
        f"{data}: {len(accepted)} utterances, {len({u.spk for u in accepted})} speakers, {hours:.2f} h; {len(rejected)} rejected"
    )
    for item in rejected[:10]:
        typer.echo(f"  rejected {item.utt_id}: {item.reason} ({item.path})", err=True)
    if rejected:
        typer.echo(f"  all of them, with reasons: {data / 'rejected.tsv'}", err=True)


@verb
def annotate(
    data: Data,
    out: Annotated[Optional[Path], typer.Option("--out", help="Folder for the folds, for one of several label sets; DATA by default.")] = None,
    config_files: ConfigFile = None, settings: Set = None, nj: Jobs = 1,
) -> None:  # fmt: skip
    """Measure pitch, energy and speed; label every fold by the thresholds of its training part; write reference captions.

    Example: `serdesc annotate data/ravdess --config conf/ravdess.yaml --nj 4`
    """
    from serdesc import config as configs
    from serdesc.data.annotate import annotate as run

    for fold in run(data, configs.load(config_files, settings), nj, out):
        counts = ", ".join(f"{len(part)} {name}" for name, part in fold.parts().items())
        typer.echo(f"{out or data}/fold{fold.number}: {counts}")


@verb
def check(
    path: Annotated[
        Path,
        typer.Argument(
            help="Data directory, folder of folds, feature store or experiment.", show_default=False
        ),
    ],
    corpus: Annotated[
        str,
        typer.Option(
            "--corpus",
            help="Compare a data directory with what is published of this corpus, and hear its audio.",
        ),
    ] = "",
    listed: Annotated[
        Optional[Path],
        typer.Option(
            "--list",
            help="TSV with utt_id (or key), seconds, and where it has them label and fold.",
        ),
    ] = None,
    nj: Jobs = 1,
) -> None:
    """Say whether a data directory, its folds, a feature store or an experiment is sound, and if not, what is wrong where.

    Example: `serdesc check data/iemocap --corpus iemocap --nj 4`
    """
    if (path / "feats.scp").exists() or (path / "header.json").exists():
        from serdesc.features.store import Store

        store = Store(path)
        typer.echo(
            f"{path}: features of {store.verify()} utterances by {store.header['encoder']}, {store.layers} layers of {store.width}"
        )
    elif (path / "config.yaml").exists():
        from serdesc.models import checkpoint

        found = checkpoint.find(path)
        if found is None:
            raise UserError(f"{path}: no checkpoint yet. Run: serdesc train DATA STORE {path}")
        state = checkpoint.verify(found)
        typer.echo(
            f"{path}: {state.done} of {state.blocks} blocks trained{'' if state.finished else '; `serdesc train` goes on from there'}"
        )
    elif not (path / "wav.scp").exists() and any(path.glob("fold[0-9]*")):
        from serdesc.data import check

        _tell(path, list(check.check_folds(path, corpus)))
    else:
        from serdesc.data import check, datadir

        utterances = datadir.read(path)
        hours = sum(utt.seconds or 0.0 for utt in utterances) / 3600
        typer.echo(
            f"{path}: {len(utterances)} utterances, {len({u.spk for u in utterances})} speakers, {hours:.2f} h"
        )
        if corpus or listed:
            _tell(path, check.check(path, corpus, listed, nj))


def _tell(path: Path, findings: list[Finding]) -> None:
    """Print what was found. Raises FailedError where there are faults."""
    from serdesc.data import check

    for line in check.summary(findings):
        typer.echo(line)
    if faults := sum(finding.is_fault for finding in findings):
        raise FailedError(f"{path}: {faults} faults, as listed above")
    typer.echo(f"{path}: sound")
