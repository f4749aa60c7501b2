"""Calibration."""

from __future__ import annotations

import math

import pytest
from helpers.scoring import metric

from serdesc.scoring import score as scoring


def test_calibration_by_hand() -> None:
    """Sure by 0.9 and right, by 0.9 and wrong, by 0.6 and right, and one unread."""
    answers = [
        ({"sad": 0.9, "happy": 0.1}, "sad"),
        ({"sad": 0.9, "happy": 0.1}, "happy"),
        ({"sad": 0.4, "happy": 0.6}, "happy"),
        (None, "sad"),
    ]
    nll, ece = metric("nll"), metric("ece")
    assert nll.posterior and ece.posterior
    nats = scoring.total([nll.posterior(truth, said) for said, truth in answers])
    assert (
        nll.value(nats) == pytest.approx(-(math.log(0.9) + math.log(0.1) + math.log(0.6)) / 3)
        and nats["unread"] == 1
    )
    bins = scoring.total([ece.posterior(truth, said) for said, truth in answers])
    assert ece.value(bins) == pytest.approx(100 * (abs(1.8 - 1) + abs(0.6 - 1)) / 3)
