"""Significance marks of the paper's tables: paired one-tailed t-tests between systems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

from serdesc.errors import UserError
from serdesc.scoring.corpus_runs import CorpusRuns, excluded
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.intervals import method
from serdesc.scoring.metric import Metric
from serdesc.scoring.significance import Comparison, compare, holm
from serdesc.scoring.typeset import signed_span

ALPHA = 0.05
OVER_SPEAKERS = (
    "[...] the same marks by the same test over speakers, whose utterances are not independent; "
    "in round brackets: not after Holm's correction over these tests."
)
Marks = dict[tuple[str, str, str], str]  # (corpus, system, metric) -> marks


@dataclass(frozen=True)
class Rule:
    """One comparison of the paper: system a against b, the mark on the row `on`."""

    corpus: CorpusRuns
    mark: str
    on: str
    a: str
    b: str
    metric: Metric


def marks(
    layout: Mapping[str, Any], corpora: Sequence[CorpusRuns], metrics: Sequence[Metric], unit: str
) -> tuple[Marks, list[str]]:
    """The marks of each cell, and notes: the legend, and one line per test.

    Marks in round brackets are not significant after Holm's correction over all tests of the table.
    Beside the paper's test over utterances, the same test over speakers gives marks in square
    brackets, with a correction of its own.
    """
    rules = list(_rules(layout, corpora, metrics))
    cells, tests = _test(rules, unit)
    notes = [_legend(layout, unit), *tests]
    if unit == "utterance":
        of_speakers, tests = _test(rules, "speaker")
        for key, mark in of_speakers.items():
            cells[key] = f"{cells.get(key, '')} [{mark}]"
        notes += [OVER_SPEAKERS, *tests]
    return cells, notes


def _test(rules: Sequence[Rule], unit: str) -> tuple[Marks, list[str]]:
    """The marks of each cell by tests over one unit, and one line per test."""
    tests: list[tuple[Rule, Comparison, float]] = []
    for rule in rules:
        comparison = _compare(rule, unit)
        p = comparison.p["t"] if comparison else None
        if comparison and p is not None:
            tests.append((rule, comparison, p))
    corrected = holm([p for *_, p in tests])
    cells: Marks = {}
    notes: list[str] = []
    for (rule, comparison, p), adjusted in zip(tests, corrected):
        if p < ALPHA:
            key = (rule.corpus.name, rule.on, rule.metric.name)
            mark = rule.mark if adjusted < ALPHA else f"({rule.mark})"
            cells[key] = cells.get(key, "") + mark
        span = signed_span(comparison.interval) or "no interval"
        notes.append(
            f"{rule.corpus.name}, {rule.metric.unit}: {rule.a} over {rule.b} "
            f"{comparison.a - comparison.b:+.1f} (95 %, {method(comparison.units)}: {span}), "
            f"p {p:.4f}, "
            f"Holm {adjusted:.4f}; {comparison.units} {unit}s"
        )
    return cells, notes


def _legend(layout: Mapping[str, Any], unit: str) -> str:
    texts = []
    for mark, over in {rule["mark"]: rule["over"] for rule in layout["marks"]}.items():
        better = "full is better than this row" if over == "each" else f"better than {over}"
        texts.append(f"{mark} {better}")
    return (
        f"{'; '.join(texts)}: paired one-tailed t-test over {unit}s, p < {ALPHA}; "
        "in brackets: not after Holm's correction."
    )


def _rules(
    layout: Mapping[str, Any], corpora: Sequence[CorpusRuns], metrics: Sequence[Metric]
) -> Iterator[Rule]:
    """The comparisons of the table for which both systems have scores."""
    for corpus in corpora:
        for entry in layout["marks"]:
            for a, b, on in _pairs(layout, entry):
                for metric in metrics:
                    if metric.name in entry["metrics"] and _have(corpus, (a, b), metric):
                        yield Rule(corpus, entry["mark"], on, a, b, metric)


def _pairs(layout: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(a, b, system of the marked row)."""
    systems = [row["system"] for row in layout["rows"] if "system" in row]
    for a in entry["holds_for"]:
        if entry["over"] == "each":
            yield from ((a, b, b) for b in systems if a != b)
        elif a != entry["over"]:
            yield a, entry["over"], a


def _have(corpus: CorpusRuns, systems: Sequence[str], metric: Metric) -> bool:
    for system in systems:
        experiment = corpus.systems.get(system)
        if experiment is None or excluded(experiment, metric) or not experiment.by_fold(metric):
            return False
    return True


def _compare(rule: Rule, unit: str) -> Comparison | None:
    systems = rule.corpus.systems
    return compare_experiments(systems[rule.a], systems[rule.b], rule.metric, unit)


def compare_experiments(
    a: Experiment, b: Experiment, metric: Metric, unit: str
) -> Comparison | None:
    """On the folds and seeds in which both have the metric; None if there are none."""
    folds = [
        fold
        for fold in a.lines
        if fold in b.lines and a.counts(metric, fold) and b.counts(metric, fold)
    ]
    rows_a, rows_b = _sorted_rows(a, metric, folds), _sorted_rows(b, metric, folds)
    if not rows_a or not rows_b:
        return None
    fold_of: dict[str, str] = {}
    for fold in folds:
        for utt, _ in a.counts(metric, fold):
            fold_of[utt.utt_id] = fold.rpartition("/")[2]
    try:
        return compare(metric, rows_a, rows_b, unit, fold_of)
    except UserError as error:
        raise UserError(f"{a.path} and {b.path}: {error}") from error


def _sorted_rows(experiment: Experiment, metric: Metric, folds: Sequence[str]) -> Any:
    return sorted(experiment.rows(metric, folds), key=lambda row: row[0].utt_id)
