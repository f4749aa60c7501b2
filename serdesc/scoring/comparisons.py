"""Comparisons of two systems as JSON and as a table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Sequence

from serdesc.scoring import intervals, terminal, typeset
from serdesc.scoring.metric import Metric
from serdesc.scoring.significance import Comparison, holm

if TYPE_CHECKING:
    import pandas as pd

TESTS = ("t", "randomisation", "mcnemar", "bootstrap")


def corrected(comparisons: Sequence[Comparison]) -> dict[str, dict[str, float]]:
    """test -> metric -> p corrected by Holm's method over the metrics that the test applies to."""
    table: dict[str, dict[str, float]] = {}
    for test in TESTS:
        p: dict[str, float] = {}
        for comparison in comparisons:
            value = comparison.p[test]
            if value is not None:
                p[comparison.metric] = value
        table[test] = dict(zip(p, holm(list(p.values()))))
    return table


def comparison_rows(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Comparisons as JSON, with the corrected p-values of each test."""
    adjusted = corrected(comparisons)
    rows = []
    for comparison in comparisons:
        holm_values = {test: adjusted[test].get(comparison.metric) for test in TESTS}
        ci = intervals.method(comparison.units)
        rows.append({**comparison.to_dict(), "ci": ci, "holm": holm_values})
    return rows


def show_comparisons(
    comparisons: Sequence[Comparison],
    notes: Mapping[str, str],
    metrics: Sequence[Metric],
    title: str,
) -> None:
    """Print a table of differences with corrected p-values."""
    by_name = {metric.name: metric for metric in metrics}
    terminal.print_table(_comparison_table(comparisons, by_name), title)
    lines = [
        "p: one-tailed, for A better than B; Holm's correction over the rows of a column.",
        "Empty: the test does not apply.",
    ]
    for unit in dict.fromkeys(c.unit for c in comparisons):
        lines.append(f"95 %: {intervals.described([c.units for c in comparisons], unit)}")
    terminal.print_lines(lines)
    for name, note in notes.items():
        terminal.print_lines([f"not compared: {by_name[name].unit}: {note}"], "  ")


def _comparison_table(
    comparisons: Sequence[Comparison], by_name: Mapping[str, Metric]
) -> pd.DataFrame:
    """Text cells, one row per comparison."""
    import pandas as pd

    adjusted = corrected(comparisons)
    rows = []
    for c in comparisons:
        row = {
            "metric": by_name[c.metric].unit,
            "A": f"{c.a:.1f}",
            "B": f"{c.b:.1f}",
            "A - B": f"{c.a - c.b:+.1f}",
            "95 %": typeset.signed_span(c.interval),
            "units": f"{c.units} {c.unit}s",
        }
        for test in TESTS:
            p = adjusted[test].get(c.metric)
            row[f"p {test}"] = "" if p is None else f"{p:.4f}"
        rows.append(row)
    head = ["metric", "A", "B", "A - B", "95 %", "units", *map("p {}".format, TESTS)]
    return pd.DataFrame(rows, columns=head, dtype=object)
