"""Calibration of the emotion posterior: negative log-likelihood and expected calibration error.

The posterior is computed in decoding: softmax over the classes of the log-likelihood of the
response with only its emotion replaced. A response without a readable emotion has no posterior; it
is excluded and counted as `unread`.
"""

from __future__ import annotations

import math
from typing import Mapping

from serdesc.scoring.metric import Counts, Metric

BINS = 15  # of equal width, as in Guo et al. 2017
UNREAD = "no answer has a posterior"
FLOOR = 1e-12  # lower bound of a probability: a confident error must not make the mean infinite


def _nll(emotion: str, posterior: Mapping[str, float] | None) -> Counts:
    if posterior is None:
        return {"n": 1, "unread": 1, "nats": 0.0}
    probability = max(posterior.get(emotion, 0.0), FLOOR)
    return {"n": 1, "unread": 0, "nats": -math.log(probability)}


def _binned(emotion: str, posterior: Mapping[str, float] | None) -> Counts:
    if posterior is None:
        return {"n": 1, "unread": 1}
    predicted = max(posterior, key=lambda name: posterior[name])
    number = min(BINS - 1, int(posterior[predicted] * BINS))
    return {
        "n": 1,
        "unread": 0,
        f"sure.{number}": posterior[predicted],
        f"right.{number}": int(predicted == emotion),
    }


def _mean(total: Mapping[str, float]) -> float:
    read = total.get("n", 0) - total.get("unread", 0)
    return total["nats"] / read if read else math.nan


def _ece(total: Mapping[str, float]) -> float:
    read = total.get("n", 0) - total.get("unread", 0)
    gaps = []
    for number in range(BINS):
        gaps.append(abs(total.get(f"sure.{number}", 0) - total.get(f"right.{number}", 0)))
    return 100 * math.fsum(gaps) / read if read else math.nan


METRICS = [
    Metric(
        "nll",
        "NLL, nats",
        None,
        _mean,
        posterior=_nll,
        undefined=UNREAD,
        higher_is_better=False,
        bounds=(0, math.inf),
        column=6,
    ),
    Metric(
        "ece",
        "ECE %",
        None,
        _ece,
        posterior=_binned,
        settings={"bins": BINS},
        undefined=UNREAD,
        higher_is_better=False,
        bounds=(0, 100),
        column=7,
    ),
]
