"""What a metric is: counts of one utterance, and a value of summed counts.

Counts add up, so one pass over the utterances serves the score, its folds, and every bootstrap resample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Mapping

from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig

if TYPE_CHECKING:
    from serdesc.scoring.captions import Captions

Counts = dict[str, float]


@dataclass(frozen=True)
class Metric:
    """`count(reference, hypothesis)` is None for an utterance that the metric does not apply to. Values are percentages.

    A metric of captions has `captions` in its place: the counts of each of a set of them, in their order. Where `of_set` is true these
    depend on the other captions of the set.
    """

    name: str
    unit: str  # as a table heads it
    count: Callable[[Fields, Fields], Counts | None] | None
    value: Callable[[Mapping[str, float]], float]
    captions: Callable[[Captions], list[Counts]] | None = None
    of_set: bool = False
    posterior: Callable[[str, Mapping[str, float] | None], Counts] | None = (
        None  # in place of `count`: of the true emotion and the posterior
    )
    # an utterance's share in the value, by its counts and those of the whole: the shares' mean is the value. Shares add up as counts do
    share: Callable[[Mapping[str, float], Mapping[str, float]], float] | None = None
    accuracy: bool = (
        False  # the value is the share of utterances that are right, which is what McNemar's test is about
    )
    chance: Callable[[Mapping[str, float]], float] | None = (
        None  # what guessing gets, from the same counts
    )
    settings: dict[str, Any] = field(default_factory=dict)  # enters the signature
    signs: Callable[[ScoringConfig], dict[str, Any]] = (
        lambda config: {}
    )  # so do these keys of the configuration
    higher_is_better: bool = True
    column: int = 50  # tables show metrics in this order


def mean_of(
    name: str,
    unit: str,
    captions: Callable[[Captions], list[Counts]],
    column: int,
    scale: float = 100.0,
    **options: Any,
) -> Metric:
    """A metric of captions that is the mean of each one's `sum`."""

    def value(total: Mapping[str, float]) -> float:
        return scale * total.get("sum", 0.0) / total["n"] if total.get("n") else math.nan

    return Metric(
        name,
        unit,
        None,
        value,
        captions=captions,
        share=lambda counts, _: scale * counts["sum"],
        column=column,
        **options,
    )
