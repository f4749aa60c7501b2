"""Reports: the scores of one fold on the terminal; the pooled folds as a table and RESULTS.md."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from serdesc.config import Config
from serdesc.files import read_json, write_json, write_text
from serdesc.scoring import faithfulness, terminal, typeset
from serdesc.scoring import metrics as all_metrics
from serdesc.scoring.baselines import LOGMEL
from serdesc.scoring.baselines import read_rows as read_baseline
from serdesc.scoring.bootstrap import Rows, difference
from serdesc.scoring.classes import confusion
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.metric import Metric
from serdesc.scoring.score import Score, score
from serdesc.scoring.significance import Comparison, holm

BASELINES = "baselines.json"


def show(
    scores: Sequence[Score], metrics: Sequence[Metric], title: str, table: Mapping[str, Rows]
) -> None:
    """Print the scores of a set: a table, word errors by kind, and the emotions' confusion."""
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
    terminal.print_table(rows, title)
    for s in scores:
        if "substitutions" in s.counts and s.value is not None:
            terminal.print_lines([_errors(by_name[s.metric].unit, s.counts)], "  ")
    if emotions := confusion(counts for _, counts in table.get("ua", [])):
        terminal.print_table(
            _confusion_rows(emotions), "emotions: reference in rows, prediction in columns"
        )
    for note in dict.fromkeys(s.note for s in scores if s.note):
        units = [by_name[s.metric].unit for s in scores if s.note == note]
        terminal.print_lines([f"not computed: {', '.join(units)}: {note}"], "  ")


def _errors(unit: str, counts: Mapping[str, float]) -> str:
    tokens = "words" if "words" in counts else "characters"
    kinds = [f"{counts[kind]:.0f} {kind}" for kind in ("substitutions", "deletions", "insertions")]
    return (
        f"{unit.removesuffix(' %')}: {', '.join(kinds)} over {counts[tokens]:.0f} {tokens}; "
        f"{counts['unread']:.0f} of {counts['n']:.0f} transcripts unread"
    )


TESTS = ("t", "randomisation", "mcnemar", "bootstrap")


def corrected(comparisons: Sequence[Comparison]) -> dict[str, dict[str, float]]:
    """test -> metric -> p corrected by Holm's method over the metrics that the test applies to."""
    table: dict[str, dict[str, float]] = {}
    for test in TESTS:
        p = {c.metric: c.p[test] or 0.0 for c in comparisons if c.p[test] is not None}
        table[test] = dict(zip(p, holm(list(p.values()))))
    return table


def comparison_rows(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Comparisons as JSON, with the corrected p-values of each test."""
    adjusted = corrected(comparisons)
    rows = []
    for comparison in comparisons:
        holm_values = {test: adjusted[test].get(comparison.metric) for test in TESTS}
        rows.append({**comparison.to_dict(), "holm": holm_values})
    return rows


def show_comparisons(
    comparisons: Sequence[Comparison],
    notes: Mapping[str, str],
    metrics: Sequence[Metric],
    title: str,
) -> None:
    """Print a table of differences with corrected p-values."""
    by_name = {metric.name: metric for metric in metrics}
    adjusted = corrected(comparisons)
    rows = [["metric", "A", "B", "A - B", "95 %", "units", *(f"p {test}" for test in TESTS)]]
    for c in comparisons:
        cells = []
        for test in TESTS:
            p = adjusted[test].get(c.metric)
            cells.append("" if p is None else f"{p:.4f}")
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
    terminal.print_table(rows, title)
    terminal.print_lines(
        [
            "p: one-tailed, for A better than B; Holm's correction over the rows of a column.",
            "Empty: the test does not apply.",
        ]
    )
    for name, note in notes.items():
        terminal.print_lines([f"not compared: {by_name[name].unit}: {note}"], "  ")


def report(exp: Path, part: str, config: Config) -> None:
    """Pool the decoded folds: write score_<part>.json and RESULTS.md, and print the table."""
    experiment = Experiment.open(exp, part, config)
    experiment.check_signed(f"unit:{config.scoring.unit}")
    metrics = [metric for metric in all_metrics.every() if metric.name in experiment.signatures]
    log_mel = read_baseline(exp / BASELINES, LOGMEL)
    pooled = [_pool(experiment, metric, log_mel.get(metric.name, []), config) for metric in metrics]
    emotions = confusion(
        line["ua"] for lines in experiment.lines.values() for line in lines if "ua" in line
    )
    tree = {
        "folds": [fold.name for fold in experiment.folds],
        "confusion": emotions,
        "scores": [row.to_dict(experiment) for row in pooled],
    }
    write_json(exp / f"score_{part}.json", tree)
    table = _table(exp, pooled)
    errors = [
        _errors(row.metric.unit, row.score.counts)
        for row in pooled
        if "substitutions" in row.score.counts
    ]
    partial = _partially_scored(experiment, metrics)
    agreement: list[list[str]] = []
    if experiment.faithfulness:
        rows = faithfulness.table(experiment.faithfulness, config.scoring)
        agreement = faithfulness.cells(rows)
    block = _block(experiment, table, [*errors, *partial]) + _confusion(emotions)
    if agreement:
        block += f"\n{typeset.markdown(agreement)}\n"
    write_text(exp / "RESULTS.md", block)
    terminal.print_table(table, f"{exp}: {part}, {len(experiment.folds)} fold(s) pooled")
    for line in partial:
        rest = (
            "pooled over fewer folds than the other rows; score those folds again without --metric"
        )
        terminal.print_lines([f"{line}: {rest}"], "  ")
    if agreement:
        terminal.print_table(agreement, "claimed and measured", labels=2)


@dataclass(frozen=True)
class Pooled:
    """The pooled score of a metric, its value in each fold, and the difference to log-mel."""

    metric: Metric
    score: Score
    by_fold: list[float]
    above_log_mel: tuple[float, tuple[float, float] | None] | None

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.by_fold) if self.by_fold else None

    @property
    def deviation(self) -> float | None:
        return statistics.stdev(self.by_fold) if len(self.by_fold) > 1 else None

    def to_dict(self, experiment: Experiment) -> dict[str, Any]:
        signature = experiment.signatures[self.metric.name]
        return {
            **asdict(self.score),
            "signature": f"{signature}|pooled:{len(experiment.folds)} folds",
            "by_fold": self.by_fold,
            "mean": _rounded(self.mean),
            "above_log_mel": self.above_log_mel,
            "deviation": _rounded(self.deviation),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _pool(experiment: Experiment, metric: Metric, log_mel: Rows, config: Config) -> Pooled:
    counted = experiment.rows(metric)
    note = experiment.notes.get(metric.name, "")
    pooled = score(metric, counted, config.scoring, {}, note)
    above = _above(metric, counted, log_mel, config)
    return Pooled(metric, pooled, experiment.by_fold(metric), above)


def _above(
    metric: Metric, counted: Rows, baseline: Rows, config: Config
) -> tuple[float, tuple[float, float] | None] | None:
    """Difference to a baseline with its interval; None if the baseline lacks an utterance."""
    tested = {utt.utt_id for utt, _ in counted}
    same = [(utt, counts) for utt, counts in baseline if utt.utt_id in tested]
    if not tested or len(same) != len(tested):
        return None
    return difference(metric, counted, same, config.scoring)


def _partially_scored(experiment: Experiment, metrics: Sequence[Metric]) -> list[str]:
    """The metrics that some folds do not have."""
    lines: list[str] = []
    for metric in metrics:
        folds = experiment.folds_without(metric)
        if folds:
            lines.append(f"{metric.unit}: not in {' '.join(folds)}")
    folds = experiment.folds_without_faithfulness
    if experiment.faithfulness and folds:
        lines.append(f"claimed and measured: not in {' '.join(folds)}")
    return lines


def _table(exp: Path, pooled: Sequence[Pooled]) -> list[list[str]]:
    """One row per metric; columns without a value are omitted."""
    columns = [["metric", *(row.metric.unit for row in pooled)]]
    columns.append(["chance", *(_cell(row.score.chance) for row in pooled)])
    baselines = read_json(exp / BASELINES) if (exp / BASELINES).exists() else {}
    for name, values in baselines.items():
        columns.append([name, *(_cell(values.get(row.metric.name)) for row in pooled)])
    columns.append([f"**{exp.name}**, pooled", *(_cell(row.score.value) for row in pooled)])
    columns.append(["95 % interval", *(_range(row.score.interval) for row in pooled)])
    columns.append(["mean of folds ± deviation", *(_mean(row) for row in pooled)])
    columns.append(["above log-mel, 95 %", *(_signed(row.above_log_mel) for row in pooled)])
    columns.append(["utterances", *(str(row.score.n) for row in pooled)])
    filled = [column for column in columns if any(column[1:])]
    return [list(row) for row in zip(*filled)]


def _mean(row: Pooled) -> str:
    if row.deviation is None:
        return _cell(row.mean)
    return f"{row.mean:.1f} ± {row.deviation:.1f}"


def _confusion(table: Mapping[str, Mapping[str, int]]) -> str:
    """Markdown: the predictions of each emotion, and its recall."""
    return "\n" + typeset.markdown(_confusion_rows(table)) + "\n" if table else ""


def _confusion_rows(table: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    names = {name for row in table.values() for name in row}
    predicted = sorted(names, key=lambda name: (name == "unread", name))
    rows = [["emotion, predicted as", *predicted, "recall %"]]
    for label, row in table.items():
        recall = 100 * row.get(label, 0) / sum(row.values())
        rows.append([label, *(str(row.get(name, 0)) for name in predicted), f"{recall:.1f}"])
    return rows


def _block(experiment: Experiment, table: list[list[str]], notes: Sequence[str]) -> str:
    """Markdown: the table, and how it was created."""
    fold = experiment.folds[0]
    path = fold / "env.json"
    environment: dict[str, Any] = read_json(path) if path.exists() else {}
    config = experiment.config
    training = config.get("training", {})
    versions = environment.get("versions", {}).items()
    lines = [f"- {note}" for note in notes]
    lines += [
        f"- encoder {config.get('encoder', {}).get('model')}, "
        f"LLM {config.get('llm', {}).get('model')}, seed {config.get('seed')}, "
        f"strategy {training.get('strategy')}, beta {training.get('beta')}",
        f"- commit {environment.get('commit')}, Python {environment.get('python')}, "
        + ", ".join(f"{k} {v}" for k, v in versions if k != "serdesc"),
        f"- {environment.get('processor')}, {environment.get('cores')} cores, "
        f"{environment.get('threads')} thread(s) a process",
        f"- command of fold {fold.name[4:]}: `{_short(environment.get('command', ''))}`",
    ]
    folds = " ".join(fold.name[4:] for fold in experiment.folds)
    title = f"### {experiment.path.name}: folds {folds}"
    return f"{title}\n\n{typeset.markdown(table)}\n\n" + "\n".join(lines) + "\n"


def _short(command: str) -> str:
    """The command without the directory of the program."""
    program, _, rest = command.partition(" ")
    return f"{Path(program).name} {rest}".strip()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _range(interval: tuple[float, float] | list[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.1f}-{interval[1]:.1f}"


def _signed(above: tuple[float, tuple[float, float] | None] | None) -> str:
    if above is None:
        return ""
    value, interval = above
    return f"{value:+.1f}" + (f" ({interval[0]:+.1f} to {interval[1]:+.1f})" if interval else "")
