"""Commands of scoring: scores, comparisons, reports and the paper's tables."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer

from serdesc.cli.command import ConfigFile, Data, Jobs, Set, command
from serdesc.errors import FailedError, UserError

ABSENT = (
    "nothing of it in these labels, captions or answers (or the target has none: --set target...)"
)


@command
def score(
    data: Data,
    hyp: Annotated[Path, typer.Option("--hyp", help="Captions: hyp.jsonl, Kaldi text, TSV, JSON or SECap's result.txt.", show_default=False)],
    metric: Annotated[str, typer.Option("--metric", help="Names separated by commas; all by default.")] = "",
    out: Annotated[Optional[Path], typer.Option("--out", help="By default score.json beside hyp.jsonl, X.score.json beside X.tsv.")] = None,
    refs: Annotated[Optional[Path], typer.Option("--refs", help="Other reference captions, `<utt_id> <caption>` a line.")] = None,
    missing: Annotated[str, typer.Option("--missing", help="An utterance without an answer is an `error`, or counts as `wrong`.")] = "error",
    faithful: Annotated[bool, typer.Option("--faithful", help="Also measure the sound, and compare what the captions claim with it.")] = False,
    train: Annotated[Optional[Path], typer.Option("--train", help="Where --faithful takes percentiles from; by default DATA/../train.")] = None,
    counterfactual: Annotated[Optional[Path], typer.Option("--counterfactual", help="A trained fold: decode changed recordings with it.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="So many utterances are changed.")] = 100,
    keep: Annotated[bool, typer.Option("--keep", help="Keep scores of the same answers, labels and settings that are there already.")] = False,
    nj: Jobs = 1,
    config_files: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """Score hypotheses against a fold's labels: every figure with its count, interval and
    signature.

    Example: `serdesc score data/mini/fold1/test --hyp exp/mini/fold1/decode_test/hyp.jsonl`
    """
    from serdesc import config as configs
    from serdesc.data import datadir
    from serdesc.scoring import hypotheses, metrics, report, terminal
    from serdesc.scoring import score as scoring

    decoded = hyp.absolute().parent  # of an experiment: its fold's configuration lies beside
    own = (
        [fold]
        if decoded.name.startswith("decode_")
        and (fold := decoded.with_name("config.yaml")).exists()
        else []
    )
    config = configs.load([*own, *(config_files or [])], settings)
    if missing not in ("error", "wrong"):
        raise UserError(f"--missing {missing}: not one of error, wrong")
    utterances = datadir.read(data)
    wanted = metrics.chosen(metric)
    made, signed = scoring.Provenance.of(data, config), {}
    if refs:
        utterances = scoring.read_references(refs, utterances)
        signed["refs"] = f"{refs.name} {hashlib.sha256(refs.read_bytes()).hexdigest()[:8]}"
    hyps, faults = hypotheses.answered(hyp, utterances, wrong=missing == "wrong")
    if missing == "wrong":
        signed["missing"] = "wrong"
        for what, ids in faults.items():
            typer.echo(
                f"{len(ids)} {what},"
                f" {'left out' if what == hypotheses.ERRORS[-1] else 'counted as wrong'}:"
                f" {' '.join(ids)}",
                err=True,
            )
    settings_of = [
        asdict(config.scoring),
        asdict(config.target),
        asdict(made),
        signed,
        [m.name for m in wanted],
    ]
    target, source = out or scoring.scores_of(hyp), scoring.ScoreInputs.of(
        hyp, utterances, settings_of
    )
    if keep and source.are_scored(target):
        typer.echo(f"{target}: kept, of the same answers, labels and settings")
    else:
        counted = scoring.rows(utterances, hyps, config.target, wanted, config.scoring)
        asked = {
            m.name: counted.notes.get(m.name, ABSENT if metric else "")
            for m in wanted
            if not counted.table[m.name]
        }
        scores = [
            scoring.score(
                m,
                counted.table[m.name],
                config.scoring,
                {
                    **made.signature_fields(m),
                    **signed,
                    **scoring.target_signature(m, config.target, config.scoring),
                },
                note,
            )
            for m in wanted
            if (note := asked.get(m.name, "")) or counted.table[m.name]
        ]
        scoring.write(target, scores, counted.table, counted.tokens, faults, source)
        report.show(scores, wanted, f"{target}", counted.table)
        if counted.failed:
            raise FailedError(
                f"{', '.join(counted.failed)}: not computed, as said above; all other scores are in"
                f" {target}"
            )
    if faithful:
        from serdesc.scoring import faithfulness

        found = faithfulness.rows(data, train or data.parent / "train", hyps, config.measure, nj)
        terminal.print_table(
            faithfulness.cells(faithfulness.write(target, found, config.scoring)),
            "claimed and measured",
            labels=2,
        )
    if counterfactual:
        from serdesc.inference import counterfactual as changes

        terminal.print_table(
            changes.cells(
                changes.run(utterances, counterfactual, target.parent, settings or [], limit)
            ),
            "changed and heard",
        )


@command
def compare(
    data: Data,
    hyp_a: Annotated[Path, typer.Argument(help="hyp.jsonl of DATA, or an experiment of its folds.", show_default=False)],
    hyp_b: Annotated[Path, typer.Argument(help="The reference system, likewise.", show_default=False)],
    metric: Annotated[str, typer.Option("--metric", help="Names separated by commas.")] = "ua,wer",
    unit: Annotated[str, typer.Option("--unit", help="What varies: utterance, speaker or fold.")] = "speaker",
    out: Annotated[Optional[Path], typer.Option("--out", help="JSON to write.")] = None,
    config_files: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """Say whether system A is better than system B: differences, intervals and one-tailed p-values,
    corrected for their number.

    Example: `serdesc compare data/mini exp/mini exp/beta1 --metric ua,wer,cider --unit utterance`
    """
    from serdesc import config as configs
    from serdesc.files import write_json
    from serdesc.scoring import metrics, report, significance

    if unit not in significance.UNITS:
        raise UserError(f"--unit {unit}: not one of {', '.join(significance.UNITS)}")
    wanted = metrics.chosen(metric)
    found, notes = significance.compare_all(
        data, hyp_a, hyp_b, wanted, configs.load(config_files, settings), unit
    )
    report.show_comparisons(found, notes, wanted, f"{hyp_a} over {hyp_b}")
    if out:
        adjusted = report.corrected(found)
        rows = [
            {**c.to_dict(), "holm": {test: adjusted[test].get(c.metric) for test in report.TESTS}}
            for c in found
        ]
        write_json(out, {"a": str(hyp_a), "b": str(hyp_b), "comparisons": rows})


@command
def baselines(
    data: Data, out: Annotated[Path, typer.Option("--out", help="JSON to write.", show_default=False)],
    nj: Jobs = 1, config_files: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """What little can be had without the model, on the same folds: a constant, words alone,
    reference descriptors, log-mel statistics.

    Example: `serdesc baselines data/mini --out exp/mini/baselines.json`
    """
    from serdesc import config as configs
    from serdesc.scoring import baselines as run

    run.write(out, run.baselines(data, nj, configs.load(config_files, settings).scoring))
    typer.echo(str(out))


@command
def report(
    exp: Annotated[Path, typer.Argument(help="Experiment with folds in it, for example exp/mini.", show_default=False)],
    part: Annotated[str, typer.Option("--part", help="Which decoded set.")] = "test",
    config_files: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """Pool the folds of an experiment: a table on the terminal, `score_<part>.json`, and a
    RESULTS.md block with what made it.

    Example: `serdesc report exp/mini`
    """
    from serdesc import config as configs
    from serdesc.scoring import report as run

    run.report(exp, part, configs.load(config_files, settings))


@command
def table(
    number: Annotated[int, typer.Argument(metavar="1|2|3", help="Which of the paper's tables.", show_default=False)],
    exp: Annotated[list[str], typer.Argument(metavar="EXP...", help="Folders of experiments, one a corpus; or NAME=FOLDER.", show_default=False)],
    form: Annotated[str, typer.Option("--format", help="terminal, markdown, csv or latex; by default what --out ends in, or terminal.")] = "",
    out: Annotated[Optional[Path], typer.Option("--out", help="File to write (.md, .csv, .tex); by default the table is printed.")] = None,
    unit: Annotated[str, typer.Option("--unit", help="What the tests go over: utterance, speaker or fold.")] = "utterance",
    descriptors: Annotated[bool, typer.Option("--descriptors", help="Also a column for each descriptor.")] = False,
    part: Annotated[str, typer.Option("--part", help="Which decoded set.")] = "test",
    config_files: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """The paper's Table 1, 2 or 3: published rows beside the measured ones, with significance
    marks.

    Example: `serdesc table 2 egs/mini/exp egs/ravdess/exp --format markdown`
    """
    from serdesc import config as configs
    from serdesc.files import write_text
    from serdesc.scoring import significance, tables, terminal, typeset

    if out and not form and out.suffix not in typeset.SUFFIXES:
        raise UserError(
            f"--out {out}: ends in none of {', '.join(typeset.SUFFIXES)}: name it so, or say the"
            " form with --format"
        )
    form = form or (typeset.SUFFIXES[out.suffix] if out else "terminal")
    if form not in ("terminal", *typeset.FORMS):
        raise UserError(f"--format {form}: not one of terminal, {', '.join(typeset.FORMS)}")
    if unit not in significance.UNITS:
        raise UserError(f"--unit {unit}: not one of {', '.join(significance.UNITS)}")
    made = tables.table(number, exp, part, unit, configs.load(config_files, settings), descriptors)
    if form == "terminal" and not out:
        terminal.print_table(made.terminal, made.title, tables.LABELS)
        terminal.print_lines(made.notes, "  ")
        return
    text = typeset.set_table(made.rows, made.title, made.notes, form)
    if out:
        write_text(out, text + "\n")
    typer.echo(str(out) if out else text)
