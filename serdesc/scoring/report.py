"""Tables: one fold's scores on the terminal, and an experiment's folds pooled into a table and a RESULTS.md block."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any, Mapping, Sequence

from serdesc.config import Config
from serdesc.files import read_json, write_json, write_text
from serdesc.scoring import faithfulness, typeset
from serdesc.scoring import metrics as all_metrics
from serdesc.scoring.baselines import LOGMEL
from serdesc.scoring.baselines import read_rows as read_baseline
from serdesc.scoring.classes import confusion
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.metric import Metric
from serdesc.scoring.score import Rows, Score, difference, score
from serdesc.scoring.significance import Comparison, holm

BASELINES = "baselines.json"


def show(
    scores: Sequence[Score], metrics: Sequence[Metric], title: str, table: Mapping[str, Rows]
) -> None:
    """One set of scores on the terminal: a table, errors of words by kind, and what each emotion was heard as."""
    by_name = {metric.name: metric for metric in metrics}
    rows = [["metric", "score", "95 %", "chance", "utterances", "unread"]]
    for s in scores:
        rows.append(
            [
                by_name[s.metric].unit,
                _cell(s.value),
                _range(s.interval),
                _cell(s.chance),
                str(s.n),
                str(s.counts.get("unread", "")),
            ]
        )
    typeset.terminal(rows, title)
    for s in scores:
        if "substitutions" in s.counts and s.value is not None:
            print(_errors(by_name[s.metric].unit, s.counts))
    if emotions := confusion(counts for _, counts in table.get("ua", [])):
        typeset.terminal(_heard_as(emotions), "emotion, heard as")
    for note in dict.fromkeys(s.note for s in scores if s.note):
        print(
            f"not computed: {', '.join(by_name[s.metric].unit for s in scores if s.note == note)}: {note}"
        )


def _errors(unit: str, counts: Mapping[str, float]) -> str:
    what = "words" if "words" in counts else "characters"
    kinds = ", ".join(
        f"{counts[kind]:.0f} {kind}" for kind in ("substitutions", "deletions", "insertions")
    )
    return f"{unit.removesuffix(' %')}: {kinds} over {counts[what]:.0f} {what}; {counts['unread']:.0f} of {counts['n']:.0f} transcripts unread"


TESTS = ("t", "randomisation", "mcnemar", "bootstrap")


def corrected(found: Sequence[Comparison]) -> dict[str, dict[str, float]]:
    """test -> metric -> p by Holm's method over the metrics that the test applies to."""
    table = {}
    for test in TESTS:
        asked = [c for c in found if c.p[test] is not None]
        table[test] = dict(zip((c.metric for c in asked), holm([c.p[test] or 0.0 for c in asked])))
    return table


def show_comparisons(
    found: Sequence[Comparison], notes: Mapping[str, str], metrics: Sequence[Metric], title: str
) -> None:
    """A table of differences; p-values are corrected."""
    by_name, tests, adjusted = {metric.name: metric for metric in metrics}, TESTS, corrected(found)
    rows = [["metric", "A", "B", "A - B", "95 %", "units", *(f"p {test}" for test in tests)]]
    for c in found:
        cells = [
            "" if c.metric not in adjusted[test] else f"{adjusted[test][c.metric]:.4f}"
            for test in tests
        ]
        between = "" if c.interval is None else f"{c.interval[0]:+.1f} to {c.interval[1]:+.1f}"
        rows.append(
            [
                by_name[c.metric].unit,
                _cell(c.a),
                _cell(c.b),
                f"{c.a - c.b:+.1f}",
                between,
                f"{c.units} {c.unit}s",
                *cells,
            ]
        )
    typeset.terminal(rows, title)
    print(
        "p: one-tailed, for A better than B; Holm's correction over the rows of a column. Empty: the test does not apply."
    )
    for name, note in notes.items():
        print(f"not compared: {by_name[name].unit}: {note}")


def report(exp: Path, part: str, config: Config) -> None:
    """Pool the decoded folds of an experiment; write score_<part>.json and RESULTS.md beside them, and print the table."""
    found = Experiment.open(exp, part, config)
    metrics = [metric for metric in all_metrics.every() if metric.name in found.signatures]
    found.must_be_signed(f"unit:{config.scoring.unit}")
    linear = read_baseline(exp / BASELINES, LOGMEL)
    pooled, by_fold, above = {}, {}, {}
    for metric in metrics:
        counted = found.rows(metric)
        pooled[metric.name] = score(
            metric, counted, config.scoring, {}, found.notes.get(metric.name, "")
        )
        by_fold[metric.name] = found.by_fold(metric)
        tested = {utt.utt_id for utt, _ in counted}
        same = [
            (utt, counts) for utt, counts in linear.get(metric.name, []) if utt.utt_id in tested
        ]
        if tested and len(same) == len(tested):
            above[metric.name] = difference(metric, counted, same, config.scoring)
    emotions = confusion(
        line["ua"] for lines in found.lines.values() for line in lines if "ua" in line
    )
    write_json(
        exp / f"score_{part}.json",
        {
            "folds": [fold.name for fold in found.folds],
            "confusion": emotions,
            "scores": [
                {
                    **asdict(pooled[metric.name]),
                    "signature": found.signatures[metric.name]
                    + f"|pooled:{len(found.folds)} folds",
                    "by_fold": by_fold[metric.name],
                    "mean": (
                        round(statistics.fmean(by_fold[metric.name]), 4)
                        if by_fold[metric.name]
                        else None
                    ),
                    "above_log_mel": above.get(metric.name),
                    "deviation": (
                        round(statistics.stdev(by_fold[metric.name]), 4)
                        if len(by_fold[metric.name]) > 1
                        else None
                    ),
                }
                for metric in metrics
            ],
        },
    )
    table = _table(exp, metrics, pooled, by_fold, above)
    errors = [
        _errors(metric.unit, pooled[metric.name].counts)
        for metric in metrics
        if "substitutions" in pooled[metric.name].counts
    ]
    partial = [
        f"{metric.unit}: not in {' '.join(folds)}"
        for metric in metrics
        if (folds := found.lacking(metric))
    ]
    if found.heard and found.unheard:
        partial.append(f"claimed and heard: not in {' '.join(found.unheard)}")
    truth = (
        faithfulness.cells(faithfulness.table(found.heard, config.scoring)) if found.heard else []
    )
    block = (
        _block(found, table, [*errors, *partial])
        + _confusion(emotions)
        + (f"\n{typeset.markdown(truth)}\n" if truth else "")
    )
    write_text(exp / "RESULTS.md", block)
    typeset.terminal(table, f"{exp}: {part}, {len(found.folds)} fold(s) pooled")
    for line in partial:
        print(
            f"{line}: what is pooled is less than the table's other rows; score those folds again without --metric"
        )
    if truth:
        typeset.terminal(truth, "claimed and heard")


def _table(
    exp: Path,
    metrics: Sequence[Metric],
    pooled: dict[str, Score],
    by_fold: dict[str, list[float]],
    above: dict[str, tuple[float, tuple[float, float] | None]],
) -> list[list[str]]:
    rows = [["metric", *(metric.unit for metric in metrics)]]
    rows.append(["chance", *(_cell(pooled[m.name].chance) for m in metrics)])
    for name, values in (read_json(exp / BASELINES) if (exp / BASELINES).exists() else {}).items():
        rows.append([name, *(_cell(values.get(m.name)) for m in metrics)])
    rows.append([f"**{exp.name}**, pooled", *(_cell(pooled[m.name].value) for m in metrics)])
    rows.append(["95 % interval", *(_range(pooled[m.name].interval) for m in metrics)])
    means = [
        (
            f"{statistics.fmean(v):.1f} ± {statistics.stdev(v):.1f}"
            if len(v := by_fold[m.name]) > 1
            else _cell(v[0] if v else None)
        )
        for m in metrics
    ]
    rows.append(["mean of folds ± deviation", *means])
    if above:
        rows.append(
            [
                "above log-mel, 95 %",
                *(_signed(*above[m.name]) if m.name in above else "" for m in metrics),
            ]
        )
    rows.append(["utterances", *(str(pooled[m.name].n) for m in metrics)])
    return [list(row) for row in zip(*(row for row in rows if any(row[1:])))]  # a metric a row


def _confusion(table: Mapping[str, Mapping[str, int]]) -> str:
    """Markdown: what each emotion was heard as, and the share that was found."""
    return "\n" + typeset.markdown(_heard_as(table)) + "\n" if table else ""


def _heard_as(table: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    said = sorted(
        {name for row in table.values() for name in row}, key=lambda name: (name == "unread", name)
    )
    rows = [["emotion, heard as", *said, "recall %"]]
    for wanted, row in table.items():
        rows.append(
            [
                wanted,
                *(str(row.get(name, 0)) for name in said),
                f"{100 * row.get(wanted, 0) / sum(row.values()):.1f}",
            ]
        )
    return rows


def _block(found: Experiment, table: list[list[str]], notes: Sequence[str]) -> str:
    """Markdown with the table and what made it."""
    first = found.folds[0]
    environment: dict[str, Any] = (
        read_json(first / "env.json") if (first / "env.json").exists() else {}
    )
    config = found.config
    made = [f"- {note}" for note in notes] + [
        f"- encoder {config.get('encoder', {}).get('model')}, LLM {config.get('llm', {}).get('model')}, seed {config.get('seed')}, "
        f"strategy {config.get('training', {}).get('strategy')}, beta {config.get('training', {}).get('beta')}",
        f"- commit {environment.get('commit')}, Python {environment.get('python')}, "
        + ", ".join(
            f"{k} {v}" for k, v in environment.get("versions", {}).items() if k != "serdesc"
        ),
        f"- {environment.get('processor')}, {environment.get('cores')} cores, {environment.get('threads')} thread(s) a process",
        f"- command of fold {first.name[4:]}: `{_short(environment.get('command', ''))}`",
    ]
    folds = " ".join(fold.name[4:] for fold in found.folds)
    return (
        f"### {found.path.name}: folds {folds}\n\n"
        + typeset.markdown(table)
        + "\n\n"
        + "\n".join(made)
        + "\n"
    )


def _short(command: str) -> str:
    """The command without the folder that the program lies in."""
    program, _, rest = command.partition(" ")
    return f"{Path(program).name} {rest}".strip()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _range(interval: tuple[float, float] | list[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.1f}-{interval[1]:.1f}"


def _signed(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:+.1f}" + (f" ({interval[0]:+.1f} to {interval[1]:+.1f})" if interval else "")
