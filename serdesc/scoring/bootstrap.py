"""Summed counts of utterances and of units, and values of resampled units (bootstrap)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Sequence

import numpy as np

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
    sizes: np.ndarray  # utterances of each unit (units,)

    @classmethod
    def of(cls, counted: Rows, unit: Callable[[Utterance], str]) -> UnitSums:
        names = sorted({unit(utt) for utt, _ in counted})
        index = {name: i for i, name in enumerate(names)}
        keys = sorted(set().union(*(counts for _, counts in counted)))
        sums, sizes = np.zeros((len(names), len(keys))), np.zeros(len(names))
        for utt, counts in counted:
            sums[index[unit(utt)]] += [counts.get(key, 0) for key in keys]
            sizes[index[unit(utt)]] += 1
        return cls(keys, sums, sizes)

    def rows(self) -> list[dict[str, float]]:
        return [dict(zip(self.keys, row)) for row in self.sums.tolist()]

    def value(self, metric: Metric) -> float:
        return metric.value(dict(zip(self.keys, self.sums.sum(axis=0))))

    def resampled(self, metric: Metric, picks: np.ndarray) -> np.ndarray:
        """The value on each resample (resamples,); picks: unit indices (resamples, units)."""
        return np.array(
            [metric.value(dict(zip(self.keys, self.sums[pick].sum(axis=0)))) for pick in picks]
        )
