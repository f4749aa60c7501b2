"""Summed counts, and bootstrap intervals of the values computed from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter
from typing import Callable, Sequence

import numpy as np

from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.scoring.metric import Counts, Metric

Rows = list[tuple[Utterance, Counts]]


def total(counts: Sequence[Counts]) -> dict[str, float]:
    """The sum of each count, keys sorted; floats are summed exactly (fsum)."""
    summed: dict[str, float] = {}
    for key in sorted(set().union(*counts)):
        values = [row[key] for row in counts if key in row]
        has_floats = any(isinstance(value, float) for value in values)
        summed[key] = math.fsum(values) if has_floats else sum(values)
    return summed


def interval(metric: Metric, counted: Rows, config: ScoringConfig) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval over speakers (or utterances); None for fewer than two."""
    return percentiles(_resampled(metric, counted, config))


def difference(
    metric: Metric, counted: Rows, reference: Rows, config: ScoringConfig
) -> tuple[float, tuple[float, float] | None]:
    """The value minus that of `reference` on the same utterances, and its paired 95 % interval."""
    counted = sorted(counted, key=lambda row: row[0].utt_id)
    reference = sorted(reference, key=lambda row: row[0].utt_id)
    check_same_utterances(metric, counted, reference)
    value = metric.value(total([counts for _, counts in counted]))
    of_reference = metric.value(total([counts for _, counts in reference]))
    resampled = _resampled(metric, counted, config) - _resampled(metric, reference, config)
    return value - of_reference, percentiles(resampled)


def check_same_utterances(metric: Metric, a: Rows, b: Rows) -> None:
    """Raises UserError if the rows of two systems differ in utterances or in their order."""
    ids = [utt.utt_id for utt, _ in a]
    if ids != [utt.utt_id for utt, _ in b]:
        raise UserError(
            f"{metric.name}: the two systems were not scored on the same utterances. "
            "Score both on the same data directory."
        )


@dataclass(frozen=True)
class UnitSums:
    """Counts summed per unit (speaker, utterance or fold), units sorted by name: (units, keys)."""

    keys: list[str]
    sums: np.ndarray

    @classmethod
    def of(cls, counted: Rows, unit: Callable[[Utterance], str]) -> UnitSums:
        names = sorted({unit(utt) for utt, _ in counted})
        index = {name: i for i, name in enumerate(names)}
        keys = sorted(set().union(*(counts for _, counts in counted)))
        sums = np.zeros((len(names), len(keys)))
        for utt, counts in counted:
            sums[index[unit(utt)]] += [counts.get(key, 0) for key in keys]
        return cls(keys, sums)

    def rows(self) -> list[dict[str, float]]:
        return [dict(zip(self.keys, row)) for row in self.sums.tolist()]

    def value(self, metric: Metric) -> float:
        return metric.value(dict(zip(self.keys, self.sums.sum(axis=0))))

    def resampled(self, metric: Metric, picks: np.ndarray) -> np.ndarray:
        """The value on each resample (resamples,); picks: unit indices (resamples, units)."""
        return np.array(
            [metric.value(dict(zip(self.keys, self.sums[pick].sum(axis=0)))) for pick in picks]
        )


def _resampled(metric: Metric, counted: Rows, config: ScoringConfig) -> np.ndarray:
    """The value on each resample (resamples,); empty for fewer than two units.

    The random draws depend on the number of units only, so two systems are resampled together.
    """
    unit = attrgetter("spk" if config.unit == "speaker" else "utt_id")
    units = UnitSums.of(counted, unit)
    n = len(units.sums)
    if n < 2:
        return np.zeros(0)
    picks = np.random.default_rng(0).integers(n, size=(config.resamples, n))
    return units.resampled(metric, picks)


def percentiles(values: np.ndarray) -> tuple[float, float] | None:
    """The 2.5th and 97.5th percentiles without NaN; None if there are no values."""
    if np.isnan(values).all():  # true for an empty array too
        return None
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return round(float(low), 2), round(float(high), 2)
