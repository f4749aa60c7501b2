"""What a metric is: counts of one utterance, and a value of summed counts.

Counts add up, so one pass over the utterances serves the score, its folds, and every bootstrap resample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Mapping

from serdesc.config import ScoringConfig
from serdesc.fields import Fields

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
    chance: Callable[[Mapping[str, float]], float] | None = None  # what guessing gets, from the same counts
    settings: dict[str, Any] = field(default_factory=dict)  # enters the signature
    signs: Callable[[ScoringConfig], dict[str, Any]] = lambda config: {}  # so do these keys of the configuration
    higher_is_better: bool = True
    column: int = 50  # tables show metrics in this order


def mean(scale: float) -> Callable[[Mapping[str, float]], float]:
    """Mean of each utterance's `sum`, times `scale`."""
    return lambda total: scale * total.get("sum", 0.0) / total["n"] if total.get("n") else math.nan


def mean_recall(name: str, attribute: str, unit: str, column: int = 50) -> Metric:
    """Mean over the classes of the reference of the share that was found (unweighted accuracy). Unread answers are wrong."""

    def count(ref: Fields, hyp: Fields) -> Counts | None:
        wanted = getattr(ref, attribute)
        if wanted is None:
            return None
        said = getattr(hyp, attribute)
        return {f"n.{wanted}": 1, f"right.{wanted}": int(said == wanted), "n": 1, "right": int(said == wanted), "unread": int(said is None)}

    def classes(total: Mapping[str, float]) -> list[str]:
        return [key[2:] for key in sorted(total) if key.startswith("n.") and total[key] > 0]

    def value(total: Mapping[str, float]) -> float:
        recalls = [total.get(f"right.{c}", 0) / total[f"n.{c}"] for c in classes(total)]
        return 100 * math.fsum(recalls) / len(recalls) if recalls else math.nan

    return Metric(name, unit, count, value, chance=lambda total: 100 / max(1, len(classes(total))), settings={"field": attribute}, column=column)
