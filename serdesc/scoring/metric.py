"""The interface of a metric: counts of one utterance, and a value computed from summed counts.

Counts are additive: one pass over the utterances serves the score, its folds and every bootstrap
resample.
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
    """A metric is defined by one of four functions that count, and by `value`.

    count(reference, hypothesis)   counts of one utterance from its fields; None: not applicable
    transcript(reference, hypothesis, config)
                                   counts of one utterance from its transcripts; that of the
                                   hypothesis is None if it could not be read
    posterior(emotion, posterior)  counts of one utterance from the reference emotion and the
                                   posterior over emotions
    captions(captions)             counts of each caption of a set, in order

    Values are percentages unless `unit` states otherwise.
    """

    name: str
    unit: str  # heading in tables
    count: Callable[[Fields, Fields], Counts | None] | None
    value: Callable[[Mapping[str, float]], float]
    captions: Callable[[Captions], list[Counts]] | None = None
    # True: the counts of a caption depend on the other captions of the set (CIDEr)
    of_set: bool = False
    # pool(captions, counts): the counts of a set that is pooled from folds, where `captions` alone
    # does not suffice; counts: those of the folds
    pool: Callable[[Captions, list[Counts]], list[Counts]] | None = None
    transcript: Callable[[str, str | None, ScoringConfig], Counts] | None = None
    # key of `scoring` that the metric is computed with; not computed if it is empty
    needs: str = ""
    # emotions that count as another one, where the labels have that one and not them
    nearest: Mapping[str, str] = field(default_factory=dict)
    posterior: Callable[[str, Mapping[str, float] | None], Counts] | None = None
    # True: the posterior is restricted to the emotions that the references have
    closed_set: bool = False
    # share(counts, total): the part of one utterance in the value, from its counts and the summed
    # counts. The mean of the shares is the value; shares are additive as counts are.
    share: Callable[[Mapping[str, float], Mapping[str, float]], float] | None = None
    # True: the value is the share of correct utterances, which McNemar's test applies to
    accuracy: bool = False
    # value of random guessing, from the same counts
    chance: Callable[[Mapping[str, float]], float] | None = None
    # why the value may be NaN for some counts
    undefined: str = "its formula has no value for these counts"
    settings: dict[str, Any] = field(default_factory=dict)  # enters the signature
    # configuration values that enter the signature
    signs: Callable[[ScoringConfig], dict[str, Any]] = lambda config: {}
    higher_is_better: bool = True
    # least and greatest possible value: intervals end there
    bounds: tuple[float, float] = (-math.inf, math.inf)
    column: int = 50  # tables list metrics in this order

    def can_run(self, config: ScoringConfig) -> bool:
        """False if the key that the metric needs is empty."""
        return not self.needs or bool(getattr(config, self.needs))

    def missing(self, config: ScoringConfig) -> str:
        """Why the metric cannot run; empty if it can."""
        if self.can_run(config):
            return ""
        return f"scoring.{self.needs} is empty: set it (--set scoring.{self.needs}=...)"


def mean_of(
    name: str,
    unit: str,
    captions: Callable[[Captions], list[Counts]],
    column: int,
    scale: float = 100.0,
    **options: Any,
) -> Metric:
    """A caption metric whose value is `scale` times the mean of the captions' count `sum`."""

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
        **{"bounds": (0, scale), **options},
    )
