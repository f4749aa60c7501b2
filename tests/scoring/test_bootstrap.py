"""Intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
from helpers.scoring import answer, metric, score

from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.scoring import bootstrap
from serdesc.scoring import score as scoring


def test_intervals_hold_the_score_and_count_speakers(parts: Path, tmp_path: Path) -> None:
    s = score(
        parts / "fold1" / "test", answer(parts / "fold1" / "test", tmp_path / "hyp.jsonl", change=3)
    )["ua"]
    assert s.value == pytest.approx(200 / 3) or s.interval is not None
    assert (
        s.interval is not None
        and s.interval[0] <= (s.value or 0) <= s.interval[1]
        and s.interval[0] < s.interval[1]
    )
    one = [(Utterance("a", "", "s0"), {"n.sad": 1, "right.sad": 1})]
    assert scoring.interval(metric("ua"), one, ScoringConfig()) is None


def test_a_difference_is_resampled_in_pairs() -> None:
    """Equal systems differ by nothing in every resample; a system that is right once more a speaker
    lies above by just that.
    """
    m = metric("ua")
    people = [Utterance(f"{s}-{i}", "", f"s{s}") for s in range(6) for i in range(4)]
    truth = [Fields(emotion=("sad", "happy")[i % 2]) for i in range(24)]

    def counted(right: Callable[[int], bool]) -> scoring.Rows:
        return [
            (u, m.count(t, t if right(i) else Fields()) or {})
            for i, (u, t) in enumerate(zip(people, truth))
        ]

    some, more = counted(lambda i: i % 4 == 0), counted(lambda i: i % 4 in (0, 1))
    assert bootstrap.difference(m, some, some, ScoringConfig()) == (0.0, (0.0, 0.0))
    assert bootstrap.difference(m, more, some, ScoringConfig()) == (25.0, (25.0, 25.0))
    uneven = counted(lambda i: i < 12)
    value, interval = bootstrap.difference(m, uneven, some, ScoringConfig())
    assert value == 25.0 and interval is not None and interval[0] < 0 < 50 < interval[1]
    with pytest.raises(UserError, match="not scored on the same utterances"):
        bootstrap.difference(m, some[1:], more, ScoringConfig())
