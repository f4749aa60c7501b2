"""serdesc check"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from serdesc.cli.command import Jobs, command
from serdesc.errors import FailedError, UserError
from serdesc.printable import printable

if TYPE_CHECKING:
    from serdesc.data.check import Finding


@command
def check(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="DATA|STORE|EXP",
            help="Data directory, folder of folds, feature store, experiment or its fold.",
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

    Of an experiment every file is compared with the hash that was recorded
    when it was written, and the commands that made it are printed.

    Example:

        serdesc check data/iemocap --corpus iemocap --nj 4
    """
    if (path / "header.json").exists():
        _check_store(path)
    elif _is_experiment(path):
        _check_experiment(path)
    elif not (path / "wav.scp").exists() and any(path.glob("fold[0-9]*")):
        from serdesc.data.check import check_folds

        _print_findings(path, list(check_folds(path, corpus)))
    else:
        _check_data(path, corpus, listed, nj)


def _is_experiment(path: Path) -> bool:
    """A fold of an experiment, or a folder of folds, EXP/fold1 or EXP/seed1/fold1."""
    patterns = ("config.yaml", "fold*/config.yaml", "seed*/fold*/config.yaml")
    return any(any(path.glob(pattern)) for pattern in patterns)


def _check_store(path: Path) -> None:
    from serdesc.features.store import Store

    store = Store(path)
    shape = f"{store.layers} layers of {store.width}"
    encoder = store.header["encoder"]
    typer.echo(f"{path}: features of {store.verify()} utterances by {encoder}, {shape}")


def _check_experiment(path: Path) -> None:
    """The folds of an experiment, or one: raises FailedError for files that have changed."""
    from serdesc.models import checkpoint

    folds = [path]
    if not (path / "config.yaml").exists():
        configs = [*path.glob("fold*/config.yaml"), *path.glob("seed*/fold*/config.yaml")]
        folds = sorted(config.parent for config in configs)
    found, errors = 0, []
    for fold in folds:
        folder = checkpoint.find(fold)
        if folder is None:
            typer.echo(f"{fold}: no checkpoint yet. Run: serdesc train DATA STORE {fold}")
            continue
        found += 1
        try:
            state = checkpoint.verify(folder)
            remark = "" if state.finished else "; `serdesc train` resumes from there"
            typer.echo(f"{fold}: {state.done} of {state.blocks} blocks trained{remark}")
        except UserError as error:
            errors.append(str(error))
        errors += _check_files(fold)
    if not found:
        raise UserError(f"{path}: no checkpoint yet. Run: serdesc train DATA STORE {path}")
    if errors:
        listed = "\n  ".join(errors)
        raise FailedError(f"{path}: {len(errors)} files are not as they were written:\n  {listed}")


def _check_files(fold: Path) -> list[str]:
    """Errors in the recorded files of a fold; prints their number, and the commands to repeat."""
    from serdesc import manifest
    from serdesc.scoring.score import check_not_stale

    folders = [fold, *sorted(fold.glob("decode_*"))]
    files = sum(len(manifest.read(folder)) for folder in folders)
    errors = [error for folder in folders for error in manifest.changed(folder)]
    for folder in folders[1:]:
        if (folder / "score.json").exists():
            try:
                check_not_stale(folder / "score.json")
            except UserError as error:
                errors.append(str(error))
    if not files:
        typer.echo(
            f"{fold}: no {manifest.NAME}, as before version 0.5.0: only the checkpoint is checked"
        )
        return errors
    typer.echo(f"{fold}: {files} files checked by {manifest.NAME}; made by")
    for folder in folders:
        for line in manifest.commands(folder):
            typer.echo(f"    {line}")
    return errors


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
        typer.echo(printable(line))
    if errors := sum(finding.is_error for finding in findings):
        raise FailedError(f"{path}: {errors} errors, as listed above")
    typer.echo(f"{path}: no errors")
