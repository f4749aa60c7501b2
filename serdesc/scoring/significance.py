"""Is system A better than system B on the same utterances? The paper's paired one-tailed t-test, and what to put beside it.

    t               paired one-tailed t-test over the units' values; of utterances where the metric is a mean of theirs, and for captions
    randomisation   approximate randomisation: which system said what is drawn anew unit by unit (Noreen 1989); any metric
    mcnemar         exact, one-tailed, over utterances that one system has right and the other wrong: for accuracy alone
    bootstrap       95 % interval of the difference; its p-value only from 50 units on, below which it errs too often

A unit is an utterance, a speaker or a fold, and the unit is part of the result. Of utterances UA is compared on correct_i N / (C n_class(i)),
whose mean is UA; a t-test on right and wrong would test plain accuracy. Of speakers these are summed: a speaker's own UA over the classes that he
happens to have has another mean. Folds are compared on their values, whose mean is the paper's headline. Where a system has no value there is
no p-value.
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
from serdesc.scoring.hypotheses import Hypothesis, answered
from serdesc.scoring.metric import Metric
from serdesc.scoring.score import Rows, UnitSums, check_same_utterances, percentiles, rows, total

UNITS = ("utterance", "speaker", "fold")
ROUNDS = 10_000
BOOTSTRAP_UNITS = 50


@dataclass(frozen=True)
class Comparison:
    """A against B; p-values are one-tailed, for A better than B. None where a test does not apply."""

    metric: str
    a: float
    b: float
    unit: str
    units: int
    interval: tuple[float, float] | None  # 95 % of A - B
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
    """`fold_of` gives the fold of an utterance, for the unit fold; `rounds` of randomisation, a fifth as many bootstrap resamples."""
    check_same_utterances(metric, a, b)
    name: dict[str, Callable[[Utterance], str]] = {
        "utterance": lambda utt: utt.utt_id,
        "speaker": lambda utt: utt.spk,
        "fold": lambda utt: (fold_of or {})[utt.utt_id],
    }
    sides = [UnitSums.of(rows, name[unit]) for rows in (a, b)]
    sign = 1.0 if metric.higher_is_better else -1.0
    units = len(sides[0].sums)
    rng = np.random.default_rng(seed)
    drawn = sign * (
        sides[0].resampled(metric, picks := rng.integers(units, size=(rounds // 5, units)))
        - sides[1].resampled(metric, picks)
    )
    observed = sign * (sides[0].value(metric) - sides[1].value(metric))
    known = math.isfinite(observed)
    return Comparison(
        metric=metric.name,
        a=round(sides[0].value(metric), 4),
        b=round(sides[1].value(metric), 4),
        unit=unit,
        units=units,
        interval=percentiles(sign * drawn) if units > 1 else None,
        p={
            "t": _t_test(metric, sides, sign, unit) if known else None,
            "randomisation": (
                _randomised(metric, sides, sign, observed, rounds, rng) if known else None
            ),
            "mcnemar": _mcnemar(a, b) if unit == "utterance" and metric.accuracy else None,
            "bootstrap": (
                _bootstrapped(drawn, observed) if known and units >= BOOTSTRAP_UNITS else None
            ),
        },
    )


def _values(metric: Metric, sums: UnitSums, unit: str) -> np.ndarray:
    """Each unit's part of the pooled value, such that their mean is that value; of folds, and where there are no parts, its own value."""
    rows = sums.rows()
    if unit != "fold" and metric.share:
        whole = total(rows)
        return np.array([metric.share(row, whole) for row in rows]) * len(rows) / whole["n"]
    return np.array([metric.value(row) for row in rows])


def _t_test(metric: Metric, sides: Sequence[UnitSums], sign: float, unit: str) -> float | None:
    """One utterance has no F1, kappa or calibration: what could be put in its place would test another quantity."""
    from scipy.stats import ttest_1samp

    if unit == "utterance" and not (metric.share or metric.captions):
        return None
    differences = sign * (_values(metric, sides[0], unit) - _values(metric, sides[1], unit))
    known = differences[np.isfinite(differences)]
    if len(known) < 2 or not known.std():
        return None
    return float(ttest_1samp(known, 0.0, alternative="greater").pvalue)


def _randomised(
    metric: Metric,
    sides: Sequence[UnitSums],
    sign: float,
    observed: float,
    rounds: int,
    rng: np.random.Generator,
) -> float | None:
    """Share of random exchanges of the two systems' units that are as good for A as what was observed; that one counts too."""
    keys = sorted({*sides[0].keys, *sides[1].keys})
    a, b = (
        np.stack(
            [
                side.sums[:, side.keys.index(key)] if key in side.keys else np.zeros(len(side.sums))
                for key in keys
            ],
            1,
        )
        for side in sides
    )
    units = len(a)
    if units < 2:
        return None
    hits = 0
    swaps = rng.random((rounds, units)) < 0.5
    moved = swaps @ (b - a)  # (rounds, keys): what A gains and B loses
    for change in moved:
        one, other = (
            metric.value(dict(zip(keys, side)))
            for side in (a.sum(axis=0) + change, b.sum(axis=0) - change)
        )
        hits += (
            not sign * (one - other) < observed - 1e-12
        )  # an exchange that leaves a system without a value counts against A
    return (hits + 1) / (rounds + 1)


def _bootstrapped(drawn: np.ndarray, observed: float) -> float | None:
    """Share of the resampled differences, moved to a mean of zero, that are as large as what was observed; that one counts too."""
    if not np.isfinite(drawn).all():
        return None
    return float((np.sum(drawn - drawn.mean() >= observed) + 1) / (len(drawn) + 1))


def _mcnemar(a: Rows, b: Rows) -> float | None:
    from scipy.stats import binomtest

    only_a = sum(x["right"] > y["right"] for (_, x), (_, y) in zip(a, b))
    only_b = sum(x["right"] < y["right"] for (_, x), (_, y) in zip(a, b))
    return (
        float(binomtest(only_a, only_a + only_b, 0.5, alternative="greater").pvalue)
        if only_a + only_b
        else None
    )


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values of a family of tests, in the order given."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(np.argsort(p, kind="stable")):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


# ---- two systems' answers ------------------------------------------------------------------------------------------------


def answers(
    data: Path, hyp: Path, metrics: Sequence[Metric], config: Config
) -> tuple[dict[str, Rows], dict[str, str], dict[str, str]]:
    """Counts of each metric, why a metric has none, and the fold of each utterance.

    `hyp` is a hyp.jsonl of the data directory `data`, or an experiment whose folds were decoded from the folds of `data`.
    """
    if hyp.is_dir():
        pairs = [
            (data / path.name / "test", path / "decode_test" / "hyp.jsonl")
            for path in sorted(hyp.glob("fold*"))
        ]
        pairs = [(part, path) for part, path in pairs if path.exists()]
        if not pairs:
            raise UserError(
                f"{hyp}: no fold*/decode_test/hyp.jsonl in it. Run stages 4 and 5 first, or name a hyp.jsonl"
            )
    else:
        pairs = [(data, hyp)]
    utterances: list[Utterance] = []
    hyps: dict[str, Hypothesis] = {}
    fold_of: dict[str, str] = {}
    for part, path in pairs:
        utterances += (own := datadir.read(part))
        hyps |= answered(path, own)[0]
        fold_of |= {utt.utt_id: part.parent.name for utt in own}
    counted = rows(utterances, hyps, config.target, metrics, config.scoring)
    return counted.table, counted.notes, fold_of


def compare_all(
    data: Path, a: Path, b: Path, metrics: Sequence[Metric], config: Config, unit: str
) -> tuple[list[Comparison], dict[str, str]]:
    """A against B in each metric; and why a metric could not be compared."""
    (ours, notes, fold_of), (theirs, more, _) = (
        answers(data, hyp, metrics, config) for hyp in (a, b)
    )
    return (
        [
            compare(metric, ours[metric.name], theirs[metric.name], unit, fold_of)
            for metric in metrics
            if ours[metric.name] and theirs[metric.name]
        ],
        {**more, **notes},
    )
