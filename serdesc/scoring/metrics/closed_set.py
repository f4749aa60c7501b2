"""UA and accuracy of the emotion posterior over the emotions of the data: a closed set.

A model of seven emotions that states "surprised" on a corpus of four is wrong by its text, and may
be right by the most likely of the four (calibration.py describes the posterior). An utterance
without a posterior counts as wrong and as `unread`. Equal probabilities: the first by the alphabet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping

from serdesc.scoring.classes import accuracy, counts_of, mean_recall
from serdesc.scoring.metric import Counts, Metric


def _count(emotion: str, posterior: Mapping[str, float] | None) -> Counts:
    if posterior is None:
        return counts_of(emotion, None)
    probabilities = dict(posterior)
    return counts_of(emotion, max(sorted(probabilities), key=probabilities.__getitem__))


def _of_posterior(metric: Metric) -> Metric:
    """The metric of the posterior in place of the text."""
    settings = {**metric.settings, "set": "closed"}
    return replace(metric, count=None, posterior=_count, closed_set=True, settings=settings)


METRICS = [
    _of_posterior(mean_recall("ua_closed", "emotion", "UA closed set %", column=4)),
    _of_posterior(accuracy("wa_closed", "emotion", "WA closed set %", column=5)),
]
