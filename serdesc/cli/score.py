"""serdesc score"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from serdesc import manifest
from serdesc.cli.command import ConfigFile, Data, Jobs, Set, command
from serdesc.errors import FailedError, UserError
from serdesc.printable import printable

if TYPE_CHECKING:
    from serdesc.scoring.evaluate import Request


@command
def score(
    data: Data,
    hyp: Annotated[
        Path,
        typer.Option(
            "--hyp",
            metavar="FILE",
            help="hyp.jsonl, Kaldi text, TSV, CSV, JSON, Parquet, or /dev/stdin.",
            show_default=False,
        ),
    ],
    metric: Annotated[
        str, typer.Option("--metric", metavar="A,B", help="Names of metrics; all by default.")
    ] = "",
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out", metavar="FILE", help="By default score.json, or X.score.json for X.tsv."
        ),
    ] = None,
    refs: Annotated[
        Optional[Path],
        typer.Option(
            "--refs",
            metavar="FILE",
            help="Other reference captions; several of an id, or COCO's annotations.",
        ),
    ] = None,
    answers: Annotated[
        str, typer.Option("--as", help="What the answers are: caption, or transcript (of ASR).")
    ] = "caption",
    missing: Annotated[
        str, typer.Option("--missing", help="An utterance without an answer: error, or wrong.")
    ] = "error",
    faithful: Annotated[
        bool, typer.Option("--faithful", help="Also compare the captions with measurements.")
    ] = False,
    train: Annotated[
        Optional[Path],
        typer.Option("--train", metavar="DATA", help="Percentiles of --faithful; DATA/../train."),
    ] = None,
    counterfactual: Annotated[
        Optional[Path],
        typer.Option(
            "--counterfactual", metavar="EXP", help="Decode changed recordings with this fold."
        ),
    ] = None,
    depends: Annotated[
        Optional[Path],
        typer.Option(
            "--depends",
            metavar="EXP",
            help="Replace descriptors before the emotion with this fold, which decoded them.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", help="Utterances of --counterfactual and of --depends.")
    ] = 100,
    keep: Annotated[
        bool, typer.Option("--keep", help="Do not compute scores of the same inputs again.")
    ] = False,
    nj: Jobs = 1,
    config_files: ConfigFile = None,
    settings: Set = None,
) -> None:
    """Score hypotheses against the labels of a fold's part.

    Every score has its count, a 95 % interval and a signature.

    Accuracy by right descriptors is a correlation; --depends tests the cause.

    Example:

        serdesc score data/fold1/test --hyp exp/fold1/decode_test/hyp.jsonl
    """
    from serdesc.scoring import evaluate
    from serdesc.scoring.score import scores_of

    config = evaluate.load_config(hyp, config_files, settings)
    request = evaluate.Request.of(data, hyp, config, metric, refs, missing, answers)
    if out is None and hyp.exists() and not (hyp.is_file() or hyp.is_dir()):
        raise UserError(f"--hyp {hyp}: is no file beside which scores can be: add --out FILE")
    path = out or scores_of(hyp)
    _score(request, path, keep)
    if faithful:
        _compare_with_measures(request, train or data.parent / "train", path, nj)
    if counterfactual:
        _test_changes(request, counterfactual, path, settings or [], limit)
    if depends:
        _test_dependence(request, depends, path, settings or [], limit)
    if manifest.is_decoded(path.parent):
        names = {file.name for file in path.parent.glob("*.json*") if not file.name.startswith(".")}
        manifest.record(path.parent, *sorted(names - {manifest.NAME, *manifest.OF_DECODING}))


def _compare_with_measures(request: Request, train: Path, path: Path, nj: int) -> None:
    from serdesc.scoring import faithfulness, terminal

    config, answers = request.config, request.answers[1]
    rows = faithfulness.rows(request.data, train, answers, config, nj)
    agreements = faithfulness.write(path, rows, config.scoring)
    terminal.print_table(faithfulness.cells(agreements), faithfulness.TITLE, labels=2)


def _test_changes(request: Request, exp: Path, path: Path, settings: list[str], limit: int) -> None:
    from serdesc.inference import counterfactual as test
    from serdesc.scoring import terminal

    changes = test.run(request.answers[0], exp, path.parent, settings, limit)
    terminal.print_table(test.cells(changes), "counterfactual test: changed recordings")


def _test_dependence(
    request: Request, exp: Path, path: Path, settings: list[str], limit: int
) -> None:
    """Run the test of --depends; write and print it."""
    from serdesc.inference import dependence as test
    from serdesc.scoring import dependence, terminal

    utterances, answers, _ = request.answers
    rows, used = test.run(utterances, answers, request.hyp, exp, settings, limit)
    moved = dependence.write(path, rows, used, request.config.scoring)
    terminal.print_table(dependence.cells(moved), dependence.TITLE, labels=2)
    lines = [f"{used['utterances']} of {used['of']} utterances used"]
    lines += [f"not used: {len(ids)}: {reason}" for reason, ids in used["not used"].items()]
    terminal.print_lines(lines, "  ")


def _score(request: Request, path: Path, keep: bool) -> None:
    """Compute, write and print the scores, unless those of the same inputs exist."""
    from serdesc.scoring import by_descriptors, evaluate, report, terminal
    from serdesc.scoring.hypotheses import ERRORS

    if keep and request.inputs.are_scored(path):
        typer.echo(f"{path}: kept, of the same answers, labels and settings")
        return
    evaluation = evaluate.evaluate(request)
    if request.learnt:
        learnt = ", ".join(f"{key} {value}" for key, value in request.learnt.items())
        typer.echo(f"the model learnt labels by other measures than these: {learnt}", err=True)
    for kind, ids in evaluation.errors.items():
        treatment = "left out" if kind == ERRORS[-1] else "counted as wrong"
        typer.echo(printable(f"{len(ids)} {kind}, {treatment}: {' '.join(ids)}"), err=True)
    evaluation.write(path)
    counted = evaluation.counted
    report.show(evaluation.scores, evaluation.metrics, str(path), counted.table)
    for title, table in by_descriptors.cells(evaluation.by_descriptors):
        terminal.print_table(table, title)
    if counted.failed:
        names = ", ".join(counted.failed)
        raise FailedError(
            f"{names}: not computed, for the reason above; all other scores are in {path}"
        )
