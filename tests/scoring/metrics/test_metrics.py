"""Names of metrics."""

from __future__ import annotations

import pytest

from serdesc.errors import UserError
from serdesc.scoring import metrics


def test_an_unknown_metric_lists_the_known_ones() -> None:
    with pytest.raises(
        UserError,
        match="known are ua, wa, macro_f1, weighted_f1, ua_closed, wa_closed, nll, ece, ua_mapped, wa_mapped, wer, cer",
    ):
        metrics.chosen("ua,nope")
