"""Significance of the difference between systems A and B on the same utterances.

    t               paired one-tailed t-test over the units' values (the paper's test); over
                    utterances only if the metric is a mean over utterances, or for captions
    randomisation   approximate randomisation: outputs of A and B are swapped at random, unit by
                    unit (Noreen 1989); any metric
    mcnemar         exact, one-tailed, over utterances that one system has correct and the other
                    incorrect; for accuracy only
    bootstrap       for 50 units or more, because its error rate is too high below

The 95 % interval of the difference: t below 100 units, bootstrap from there on (intervals.py).

A unit is an utterance, a speaker or a fold, and the unit is part of the result. Over utterances, UA
is compared on correct_i N / (C n_class(i)), whose mean is UA; a t-test on correct / incorrect would
test weighted accuracy. Over speakers these values are summed: the UA of a single speaker, over the
classes that he has, has another mean. Folds are compared on their values, whose mean is the paper's
headline. If a system has no value, there is no p-value.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from serdesc.config import Config
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.scoring.bootstrap import (
    Rows,
    UnitSums,
    check_same_utterances,
    total,
)
from serdesc.scoring.hypotheses import Hypothesis, answered
from serdesc.scoring.intervals import Interval, estimates, span
from serdesc.scoring.metric import Metric
from serdesc.scoring.score import rows

UNITS = ("utterance", "speaker", "fold")
ROUNDS = 10_000
BOOTSTRAP_UNITS = 50
NOTHING = "nothing of it in these labels, captions or answers"


@dataclass(frozen=True)
class Comparison:
    """A against B; one-tailed p-values for A better than B, None if a test does not apply."""

    metric: str
    a: float
    b: float
    unit: str
    units: int
    interval: Interval | None  # 95 % of A - B
    p: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    metric: Metric,
    a: Rows,
    b: Rows,
    unit: str,
    fold_of: Mapping[str, str] | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Comparison:
    """A against B in one metric.

    `fold_of`: fold of each utterance, for the unit fold. `rounds` of randomisation; rounds / 5
    bootstrap resamples. Raises UserError if the systems were scored on different utterances.
    """
    check_same_utterances(metric, a, b)
    unit_of = _unit_function(unit, fold_of or {})
    sides = [UnitSums.of(rows, unit_of) for rows in (a, b)]
    sign = 1.0 if metric.higher_is_better else -1.0
    units = len(sides[0].sums)
    rng = np.random.default_rng(seed)
    picks = rng.integers(units, size=(rounds // 5, units))
    observed = sign * (sides[0].value(metric) - sides[1].value(metric))
    p: dict[str, float | None] = dict.fromkeys(("t", "randomisation", "mcnemar", "bootstrap"))
    if math.isfinite(observed):
        p["t"] = _t_test(metric, sides, sign, unit)
        p["randomisation"] = _randomised(metric, sides, sign, observed, rounds, rng)
        if units >= BOOTSTRAP_UNITS:
            resampled = sides[0].resampled(metric, picks) - sides[1].resampled(metric, picks)
            p["bootstrap"] = _bootstrapped(sign * resampled, observed)
    if unit == "utterance" and metric.accuracy and units == len(a):  # not for several seeds
        p["mcnemar"] = _mcnemar(a, b)
    return Comparison(
        metric=metric.name,
        a=round(sides[0].value(metric), 4),
        b=round(sides[1].value(metric), 4),
        unit=unit,
        units=units,
        interval=span(metric, sides, estimates(metric, sides, picks)),
        p=p,
    )


def _unit_function(unit: str, fold_of: Mapping[str, str]) -> Callable[[Utterance], str]:
    if unit == "fold":
        return lambda utt: fold_of[utt.utt_id]
    if unit == "speaker":
        return lambda utt: utt.spk
    return lambda utt: utt.utt_id


def _values(metric: Metric, sums: UnitSums, unit: str) -> np.ndarray:
    """Each unit's part of the pooled value, with that value as mean (units,).

    The value of the unit itself for folds, and for metrics without `share`.
    """
    rows = sums.rows()
    if unit != "fold" and metric.share:
        whole = total(rows)
        return np.array([metric.share(row, whole) for row in rows]) * len(rows) / whole["n"]
    return np.array([metric.value(row) for row in rows])


def _t_test(metric: Metric, sides: Sequence[UnitSums], sign: float, unit: str) -> float | None:
    """None over utterances for F1, kappa and calibration: they need several utterances."""
    from scipy.stats import ttest_1samp

    if unit == "utterance" and not (metric.share or metric.captions):
        return None
    differences = sign * (_values(metric, sides[0], unit) - _values(metric, sides[1], unit))
    finite = differences[np.isfinite(differences)]
    if len(finite) < 2 or not finite.std():
        return None
    return float(ttest_1samp(finite, 0.0, alternative="greater").pvalue)


def _randomised(
    metric: Metric,
    sides: Sequence[UnitSums],
    sign: float,
    observed: float,
    rounds: int,
    rng: np.random.Generator,
) -> float | None:
    """Share of random swaps that favour A as much as the observation, which is counted too."""
    keys = sorted({*sides[0].keys, *sides[1].keys})
    a, b = (_columns(side, keys) for side in sides)
    units = len(a)
    if units < 2:
        return None
    hits = 0
    swaps = rng.random((rounds, units)) < 0.5
    changes = swaps @ (b - a)  # (rounds, keys): added to A, subtracted from B
    for change in changes:
        value_a = metric.value(dict(zip(keys, a.sum(axis=0) + change)))
        value_b = metric.value(dict(zip(keys, b.sum(axis=0) - change)))
        # NaN, if a swap leaves a system without a value, is counted as a hit
        hits += not sign * (value_a - value_b) < observed - 1e-12
    return (hits + 1) / (rounds + 1)


def _columns(side: UnitSums, keys: Sequence[str]) -> np.ndarray:
    """The sums of these keys (units, keys); zero for a key that the system does not have."""
    columns = np.zeros((len(side.sums), len(keys)))
    for i, key in enumerate(keys):
        if key in side.keys:
            columns[:, i] = side.sums[:, side.keys.index(key)]
    return columns


def _bootstrapped(drawn: np.ndarray, observed: float) -> float | None:
    """Share of centred resampled differences that reach the observed one, counted too."""
    if not np.isfinite(drawn).all():
        return None
    return float((np.sum(drawn - drawn.mean() >= observed) + 1) / (len(drawn) + 1))


def _mcnemar(a: Rows, b: Rows) -> float | None:
    """None if the systems are correct on the same utterances."""
    from scipy.stats import binomtest

    only_a = sum(x["right"] > y["right"] for (_, x), (_, y) in zip(a, b))
    only_b = sum(x["right"] < y["right"] for (_, x), (_, y) in zip(a, b))
    if not only_a + only_b:
        return None
    return float(binomtest(only_a, only_a + only_b, 0.5, alternative="greater").pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values of a family of tests, in the order of the input (Holm 1979)."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(np.argsort(p, kind="stable")):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


# ---- hypotheses of two systems -------------------------------------------------------------------


def answers(
    data: Path, hyp: Path, metrics: Sequence[Metric], config: Config
) -> tuple[dict[str, Rows], dict[str, str], dict[str, str]]:
    """Counts of each metric, why a metric has none, and the fold of each utterance.

    `hyp` is a hypothesis file of the data directory `data`, or an experiment whose folds were
    decoded from the folds of `data`.
    """
    pairs = _decoded_folds(data, hyp) if hyp.is_dir() else [(data, hyp)]
    utterances: list[Utterance] = []
    hyps: dict[str, Hypothesis] = {}
    fold_of: dict[str, str] = {}
    for part, path in pairs:
        of_part = datadir.read(part)
        utterances += of_part
        hyps |= answered(path, of_part)[0]
        fold_of |= {utt.utt_id: part.parent.name for utt in of_part}
    counted = rows(utterances, hyps, config.target, metrics, config.scoring)
    return counted.table, counted.notes, fold_of


def _decoded_folds(data: Path, exp: Path) -> list[tuple[Path, Path]]:
    """(test part, hypotheses) of each decoded fold. Raises UserError if there is none."""
    pairs: list[tuple[Path, Path]] = []
    for fold in sorted(exp.glob("fold*")):
        path = fold / "decode_test" / "hyp.jsonl"
        if path.exists():
            pairs.append((data / fold.name / "test", path))
    if not pairs:
        raise UserError(
            f"{exp}: no fold*/decode_test/hyp.jsonl in it. Train and decode first, "
            "or give a hyp.jsonl"
        )
    return pairs


def compare_all(
    data: Path, a: Path, b: Path, metrics: Sequence[Metric], config: Config, unit: str
) -> tuple[list[Comparison], dict[str, str]]:
    """A against B in each metric; and why a metric could not be compared."""
    rows_a, notes_a, fold_of = answers(data, a, metrics, config)
    rows_b, notes_b, _ = answers(data, b, metrics, config)
    comparisons: list[Comparison] = []
    notes = {**notes_b, **notes_a}
    for metric in metrics:
        if not (rows_a[metric.name] and rows_b[metric.name]):
            notes.setdefault(metric.name, metric.missing(config.scoring) or NOTHING)
            continue
        comparison = compare(metric, rows_a[metric.name], rows_b[metric.name], unit, fold_of)
        if math.isfinite(comparison.a) and math.isfinite(comparison.b):
            comparisons.append(comparison)
        else:
            side = "B" if math.isfinite(comparison.a) else "A"
            notes[metric.name] = f"{side} has no value of it: none of its answers could be read"
    return comparisons, notes
