"""95 % intervals of values and of differences, over speakers (or utterances, or folds).

Below MIN_BOOTSTRAP units a t-interval over the units' jackknife pseudo-values, from there on the
percentile bootstrap, which covers too little of fewer units (tools/bench/RESULTS.md). With U
units, value v and value v(-i) without unit i, the pseudo-values are U v - (U - 1) v(-i); for a mean
over units of one size they are the units' shares of it (Tukey 1958; Efron and Tibshirani 1993,
chapter 11). The degrees of freedom are those of the effective number of units, which is U if all
have the same size (Carter, Schnepel and Steigerwald 2017). With two units the quantile is 12.7, so
an interval often ends where the range of the metric does (Metric.bounds).
"""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Callable, Iterable, Sequence

import numpy as np

from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.scoring.bootstrap import Rows, UnitSums, check_same_utterances
from serdesc.scoring.metric import Metric

MIN_BOOTSTRAP = 100
MAX_MISSING = 0.05  # share of the resamples without a value
MIN_DEGREES = 0.5  # of freedom, where one unit has nearly all utterances
Interval = tuple[float, float]


def interval(metric: Metric, counted: Rows, config: ScoringConfig) -> Interval | None:
    """The 95 % interval of the value; None for fewer than two units, or without a value of each."""
    sides = [UnitSums.of(counted, unit_of(config))]
    return span(metric, sides, _estimates(metric, sides, config))


def difference(
    metric: Metric, counted: Rows, reference: Rows, config: ScoringConfig
) -> tuple[float, Interval | None]:
    """The value minus that of `reference` on the same utterances, and its paired 95 % interval."""
    counted = sorted(counted, key=lambda row: row[0].utt_id)
    reference = sorted(reference, key=lambda row: row[0].utt_id)
    check_same_utterances(metric, counted, reference)
    sides = [UnitSums.of(rows, unit_of(config)) for rows in (counted, reference)]
    value = sides[0].value(metric) - sides[1].value(metric)
    return value, span(metric, sides, _estimates(metric, sides, config))


def method(units: int) -> str:
    """How the interval of this many units is computed: t, bootstrap, or none of a single unit."""
    if units < 2:
        return "none"
    return "t" if units < MIN_BOOTSTRAP else "bootstrap"


def described(units: Iterable[int], unit: str) -> str:
    """How intervals over these numbers of units are computed, in words: t over 10 speakers."""
    counts = sorted(set(units))
    methods = dict.fromkeys(map(method, counts))
    if not counts or counts[-1] < 2:
        return f"none: a single {unit}"
    methods.pop("none", None)
    shown = "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return f"{' or '.join(methods)} over {shown} {unit}s"


def unit_of(config: ScoringConfig) -> Callable[[Utterance], str]:
    return attrgetter("spk" if config.unit == "speaker" else "utt_id")


def units(counted: Rows, config: ScoringConfig) -> int:
    """The number of units that the utterances are of."""
    return len({unit_of(config)(utt) for utt, _ in counted})


def _estimates(metric: Metric, sides: Sequence[UnitSums], config: ScoringConfig) -> np.ndarray:
    """With resamples that are the same for all systems of that number of units."""
    units = max(1, len(sides[0].sums))
    picked = np.random.default_rng(0).integers(units, size=(config.resamples, units))
    return estimates(metric, sides, picked)


def estimates(metric: Metric, sides: Sequence[UnitSums], picked: np.ndarray) -> np.ndarray:
    """What the interval is computed from, for the value of one side or the difference of two.

    The pseudo-value of each unit (units,), or the value on each resample (resamples,); picked: unit
    indices of the resamples (resamples, units).
    """
    units = len(sides[0].sums)
    if method(units) == "bootstrap":
        each = [side.resampled(metric, picked) for side in sides]
    elif method(units) == "t":
        each = [pseudo_values(metric, side) for side in sides]
    else:
        return np.zeros(0)
    return each[0] - sum(each[1:])


def span(metric: Metric, sides: Sequence[UnitSums], drawn: np.ndarray) -> Interval | None:
    """The 95 % interval of the value of one side, or of the difference of two.

    drawn: their `estimates`. None where there is no value, or for a single unit.
    """
    values = [side.value(metric) for side in sides]
    value = values[0] - sum(values[1:])
    if not len(drawn) or not math.isfinite(value):
        return None
    if method(len(sides[0].sums)) == "t":
        ends = _t_interval(value, drawn, sides[0].sizes)
    else:
        ends = _percentiles(value, drawn)
    return _clipped(ends, _bounds(metric, len(sides))) if ends else None


def pseudo_values(metric: Metric, side: UnitSums) -> np.ndarray:
    """The jackknife pseudo-value of each unit (units,); NaN if the others have no value."""
    units, whole = len(side.sums), side.value(metric)
    total = side.sums.sum(axis=0)
    without = [metric.value(dict(zip(side.keys, total - row))) for row in side.sums]
    return units * whole - (units - 1) * np.array(without)


def _t_interval(value: float, each: np.ndarray, sizes: np.ndarray) -> Interval | None:
    """each: the pseudo-value of each unit; sizes: its utterances (units,)."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    if not np.isfinite(each).all():
        return None
    effective = sizes.sum() ** 2 / (sizes**2).sum()
    quantile = stdtrit(max(MIN_DEGREES, effective - 1), 0.975)
    half = quantile * each.std(ddof=1) / math.sqrt(len(each))
    return float(value - half), float(value + half)


def _percentiles(value: float, drawn: np.ndarray) -> Interval | None:
    """The 2.5th and 97.5th percentiles, moved by as much as resampling alone moves the value.

    Resampling raises an ECE, for example, so that its percentiles may lie above the value.
    Resamples without a value (NaN) are left out; None if they are more than MAX_MISSING.
    """
    if np.isnan(drawn).mean() > MAX_MISSING:
        return None
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) - (np.nanmean(drawn) - value)
    return float(low), float(high)


def _bounds(metric: Metric, sides: int) -> Interval:
    """The range of the metric, or of a difference of two values."""
    low, high = metric.bounds
    return (low, high) if sides == 1 else (low - high, high - low)


def _clipped(ends: Interval, bounds: Interval) -> Interval:
    low, high = (round(min(max(end, bounds[0]), bounds[1]), 4) for end in ends)
    return low, high
