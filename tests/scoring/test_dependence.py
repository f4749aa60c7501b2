"""Movement of posteriors, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from serdesc.config import ScoringConfig
from serdesc.scoring import dependence

CONFIG = ScoringConfig(resamples=50)
BEFORE = {"angry": 0.6, "sad": 0.4}


def row(number: int, field: str, to: str, after: float, control: float) -> dict[str, Any]:
    """after, control: probability of angry."""
    return {
        "utt_id": f"u{number}",
        "spk": f"s{number}",
        "field": field,
        "from": "normal",
        "to": to,
        "before": BEFORE,
        "after": {"angry": after, "sad": 1 - after},
        "control": {"angry": control, "sad": 1 - control},
    }


def test_total_variation() -> None:
    assert dependence.distance(BEFORE, BEFORE) == 0
    assert dependence.distance(BEFORE, {"angry": 0.1, "sad": 0.9}) == pytest.approx(0.5)
    assert dependence.distance({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}) == 1


def test_the_movement_by_hand() -> None:
    rows = [
        row(1, "speed", "fast", 0.6, 0.6),
        row(1, "pitch", "high", 0.9, 0.6),
        row(2, "pitch", "high", 0.4, 0.5),
        row(1, "pitch", "low", 0.6, 0.3),
    ]
    moved = dependence.table(rows, CONFIG)
    assert [(m.field, m.to, m.n) for m in moved] == [
        ("all", "", 4),
        ("pitch", "low", 1),
        ("pitch", "high", 2),
        ("speed", "fast", 1),
    ]
    high = moved[2]
    assert (high.moves, high.control, high.difference) == (25.0, 5.0, 20.0)  # 30, 20; 0, 10
    assert (high.changes, high.control_changes) == (
        50.0,
        0.0,
    )  # 0.5 and 0.5: angry, by the alphabet
    assert high.rises == {"angry": 5.0, "sad": -5.0}
    # 20 and 30: 25 - 12.706 * 5 is below 0, which ends the range
    assert high.moves_interval == (0.0, 88.531) and moved[1].moves_interval is None
    assert (moved[1].difference, moved[1].control_changes) == (-30.0, 100.0)
    cells = dependence.cells(moved)
    assert cells.shape == (4, 8)
    assert list(cells.iloc[2])[3:6] == ["25.00", "5.00", "+20.00"]
    assert cells["95 %"][1] == "" and cells["95 %"][2] == "-100.00 to +100.00"
