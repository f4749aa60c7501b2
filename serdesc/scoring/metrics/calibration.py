"""Is the emotion as likely as the system holds it to be? From the posterior of decoding: softmax over the classes of the log-likelihood
of the answer with only its emotion replaced. An answer without a readable emotion has none and is left out, counted as `unread`.
"""

from __future__ import annotations

import math
from typing import Mapping

from serdesc.scoring.metric import Counts, Metric

BINS = 15  # of equal width, as Guo et al. 2017 take them
FLOOR = 1e-12  # of a probability, so that one sure error does not make the mean infinite


def _nll(wanted: str, posterior: Mapping[str, float] | None) -> Counts:
    if posterior is None:
        return {"n": 1, "unread": 1, "nats": 0.0}
    return {"n": 1, "unread": 0, "nats": -math.log(max(posterior.get(wanted, 0.0), FLOOR))}


def _binned(wanted: str, posterior: Mapping[str, float] | None) -> Counts:
    if posterior is None:
        return {"n": 1, "unread": 1}
    said = max(posterior, key=lambda name: posterior[name])
    number = min(BINS - 1, int(posterior[said] * BINS))
    return {
        "n": 1,
        "unread": 0,
        f"sure.{number}": posterior[said],
        f"right.{number}": int(said == wanted),
    }


def _mean(total: Mapping[str, float]) -> float:
    read = total.get("n", 0) - total.get("unread", 0)
    return total["nats"] / read if read else math.nan


def _ece(total: Mapping[str, float]) -> float:
    read = total.get("n", 0) - total.get("unread", 0)
    gaps = (
        abs(total.get(f"sure.{number}", 0) - total.get(f"right.{number}", 0))
        for number in range(BINS)
    )
    return 100 * math.fsum(gaps) / read if read else math.nan


METRICS = [
    Metric("nll", "NLL, nats", None, _mean, posterior=_nll, higher_is_better=False, column=4),
    Metric(
        "ece",
        "ECE %",
        None,
        _ece,
        posterior=_binned,
        settings={"bins": BINS},
        higher_is_better=False,
        column=5,
    ),
]
