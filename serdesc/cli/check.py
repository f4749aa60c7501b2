"""serdesc check"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from serdesc.cli.command import Jobs, command
from serdesc.errors import FailedError, UserError

if TYPE_CHECKING:
    from serdesc.data.check import Finding


@command
def check(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="DATA|STORE|EXP",
            help="Data directory, folder of folds, feature store or experiment.",
            show_default=False,
        ),
    ],
    corpus: Annotated[
        str,
        typer.Option(
            "--corpus", help="Compare a data directory with the published counts, and its audio."
        ),
    ] = "",
    listed: Annotated[
        Optional[Path],
        typer.Option(
            "--list",
            metavar="FILE",
            help="TSV with utt_id (or key), seconds and, if it has them, label and fold.",
        ),
    ] = None,
    nj: Jobs = 1,
) -> None:
    """Check a data directory, its folds, a feature store or an experiment, and list all errors.

    Example:

        serdesc check data/iemocap --corpus iemocap --nj 4
    """
    if (path / "header.json").exists():
        _check_store(path)
    elif (path / "config.yaml").exists():
        _check_experiment(path)
    elif not (path / "wav.scp").exists() and any(path.glob("fold[0-9]*")):
        from serdesc.data.check import check_folds

        _print_findings(path, list(check_folds(path, corpus)))
    else:
        _check_data(path, corpus, listed, nj)


def _check_store(path: Path) -> None:
    from serdesc.features.store import Store

    store = Store(path)
    shape = f"{store.layers} layers of {store.width}"
    encoder = store.header["encoder"]
    typer.echo(f"{path}: features of {store.verify()} utterances by {encoder}, {shape}")


def _check_experiment(path: Path) -> None:
    from serdesc.models import checkpoint

    found = checkpoint.find(path)
    if found is None:
        raise UserError(f"{path}: no checkpoint yet. Run: serdesc train DATA STORE {path}")
    state = checkpoint.verify(found)
    remark = "" if state.finished else "; `serdesc train` resumes from there"
    typer.echo(f"{path}: {state.done} of {state.blocks} blocks trained{remark}")


def _check_data(path: Path, corpus: str, listed: Path | None, nj: int) -> None:
    from serdesc.data import check as data_check
    from serdesc.data import datadir

    utterances = datadir.read(path)
    hours = sum(utt.seconds or 0.0 for utt in utterances) / 3600
    speakers = len({utt.spk for utt in utterances})
    typer.echo(f"{path}: {len(utterances)} utterances, {speakers} speakers, {hours:.2f} h")
    findings = list(data_check.missing_files(path, utterances))
    if corpus or listed:
        findings += data_check.check(path, corpus, listed, nj)
    _print_findings(path, findings)


def _print_findings(path: Path, findings: list[Finding]) -> None:
    """Raises FailedError if the findings contain errors."""
    from serdesc.data.check import summary

    for line in summary(findings):
        typer.echo(line)
    if errors := sum(finding.is_error for finding in findings):
        raise FailedError(f"{path}: {errors} errors, as listed above")
    typer.echo(f"{path}: no errors")
