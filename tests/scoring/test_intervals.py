"""Intervals: by hand and against scipy, their ends, and what has none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from helpers.scoring import answer, count, metric, score
from scipy import stats

from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.scoring import intervals
from serdesc.scoring.bootstrap import Rows, UnitSums, total
from serdesc.scoring.metric import Metric, mean_of
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


def test_a_difference_is_paired() -> None:
    """Equal systems differ by nothing over every unit; a system that is right once more a speaker
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
    assert intervals.difference(m, some, some, ScoringConfig()) == (0.0, (0.0, 0.0))
    assert intervals.difference(m, more, some, ScoringConfig()) == (25.0, (25.0, 25.0))
    # differences of the speakers: 75, 75, 75, -25, -25, -25
    uneven = counted(lambda i: i < 12)
    value, interval = intervals.difference(m, uneven, some, ScoringConfig())
    half = stats.t.ppf(0.975, 5) * np.std([75, 75, 75, -25, -25, -25], ddof=1) / math.sqrt(6)
    assert value == 25.0 and interval == pytest.approx((25 - half, 25 + half), abs=1e-4)
    with pytest.raises(UserError, match="not scored on the same utterances"):
        intervals.difference(m, some[1:], more, ScoringConfig())


def counted_of(values: list[list[float]]) -> Rows:
    """Rows of a mean over utterances; one list per speaker."""
    rows: Rows = []
    for s, of_speaker in enumerate(values):
        for i, value in enumerate(of_speaker):
            utt = Utterance(f"{s:03d}-{i}", "", f"s{s:03d}")
            rows.append((utt, {"n": 1, "sum": value}))
    return rows


MEAN = mean_of("mean", "mean", lambda captions: [], 0, scale=1.0, bounds=(-9.0, 9.0))


def test_below_a_hundred_units_the_interval_is_students() -> None:
    """Over the means of speakers of one size it is scipy's; two speakers reach the range's ends."""
    rng = np.random.default_rng(1)
    for units in (3, 10, 99):
        values = rng.normal(2, 1, (units, 4))
        means = values.mean(axis=1)
        found = intervals.interval(MEAN, counted_of(values.tolist()), ScoringConfig())
        wanted = stats.t.interval(0.95, units - 1, means.mean(), stats.sem(means))
        assert found == pytest.approx(wanted, abs=1e-4) and intervals.method(units) == "t"
    assert intervals.interval(MEAN, counted_of([[1.0], [5.0]]), ScoringConfig()) == (-9.0, 9.0)
    zero_to_ten = counted_of([[1.0], [1.2]])  # 1.1 +- 12.706 * 0.1
    found = intervals.interval(MEAN, zero_to_ten, ScoringConfig())
    assert found == pytest.approx((1.1 - 1.2706, 1.1 + 1.2706), abs=1e-3)


def test_speakers_of_unequal_size_have_fewer_degrees_of_freedom() -> None:
    """4, 1 and 1 utterances: 36 / 18 = 2 effective units, one degree of freedom."""
    values = [[1.0, 1.0, 2.0, 2.0], [3.0], [2.0]]
    v = 11 / 6
    pseudo = np.array([3 * v - 2 * 2.5, 3 * v - 2 * 1.6, 3 * v - 2 * 1.8])
    half = stats.t.ppf(0.975, 1) * pseudo.std(ddof=1) / math.sqrt(3)
    found = intervals.interval(MEAN, counted_of(values), ScoringConfig())
    assert found == pytest.approx((v - half, v + half), abs=1e-3)


def test_from_a_hundred_units_the_interval_is_the_bootstrap() -> None:
    values = np.random.default_rng(2).normal(2, 1, (100, 1))
    found = intervals.interval(MEAN, counted_of(values.tolist()), ScoringConfig(resamples=4000))
    picks = np.random.default_rng(7).integers(100, size=(20000, 100))
    wanted = np.percentile(values[:, 0][picks].mean(axis=1), [2.5, 97.5])
    assert found == pytest.approx(wanted, abs=0.02) and intervals.method(100) == "bootstrap"


def test_pseudo_values_of_uas_jackknife_by_hand() -> None:
    rows = [
        (Utterance("a", "", "s0"), {"n.sad": 1, "right.sad": 1, "n": 1, "right": 1}),
        (Utterance("b", "", "s1"), {"n.sad": 1, "right.sad": 0, "n": 1, "right": 0}),
        (Utterance("c", "", "s2"), {"n.happy": 1, "right.happy": 1, "n": 1, "right": 1}),
    ]
    sums = UnitSums.of(rows, lambda utt: utt.spk)
    # UA 75; without a 50, without b 100, without c 50
    found = intervals.pseudo_values(metric("ua"), sums)
    assert found.tolist() == [3 * 75 - 2 * 50, 3 * 75 - 2 * 100, 3 * 75 - 2 * 50]


def test_no_interval_of_a_single_unit_or_without_a_value() -> None:
    assert intervals.interval(MEAN, counted_of([[1.0, 2.0]]), ScoringConfig()) is None
    assert intervals.method(1) == "none"
    by_utterance = ScoringConfig(unit="utterance")
    assert intervals.interval(MEAN, counted_of([[1.0, 2.0]]), by_utterance) == (-4.8531, 7.8531)
    of_one = Metric("x", "x", None, lambda t: t["sum"] if t["n"] > 1 else math.nan)
    assert intervals.interval(of_one, counted_of([[1.0], [2.0]]), ScoringConfig()) is None


def test_resamples_of_a_value_that_few_speakers_have_give_no_interval() -> None:
    """One of 120 has a posterior: every resample has his NLL, or none."""
    nll = metric("nll")
    assert nll.posterior is not None
    for present, spread in ((1, False), (60, True)):
        rows: Rows = []
        for i in range(120):
            posterior = {"sad": 0.9 - i / 100, "happy": 0.1 + i / 100} if i < present else None
            rows.append((Utterance(f"{i}", "", f"s{i:03d}"), nll.posterior("sad", posterior)))
        found = intervals.interval(nll, rows, ScoringConfig(resamples=300))
        assert (found is not None) == spread


@pytest.mark.parametrize("name", ["ua", "macro_f1", "wer", "nll", "ece", "pitch_kappa"])
def test_an_interval_holds_the_value_and_stays_in_the_range(name: str) -> None:
    """Of every number of units, also where one speaker has nearly all utterances."""
    m, rng = metric(name), np.random.default_rng(3)
    for units in (2, 3, 10, 120):
        rows: Rows = []
        for i in range(units * 6):
            speaker = 0 if i % 2 else int(rng.integers(units))
            rows.append((Utterance(f"{i:04d}", "", f"s{speaker:03d}"), _counts(m, rng)))
        value = m.value(total([counts for _, counts in rows]))
        found = intervals.interval(m, rows, ScoringConfig(resamples=300))
        assert found is not None and m.bounds[0] <= found[0] <= value <= found[1] <= m.bounds[1]


def _counts(m: Metric, rng: np.random.Generator) -> dict[str, float]:
    """Of an utterance that is right in half of the cases."""
    emotion, said = rng.choice(["sad", "happy"], 2)
    pitch, claimed = rng.choice(["low", "normal", "high"], 2)
    ref = Fields(emotion=str(emotion), transcript="one two", pitch=str(pitch))
    words = str(rng.choice(["one two", "one", "no one two"]))
    hyp = Fields(emotion=str(said), transcript=words, pitch=str(claimed))
    if m.posterior:
        p = float(rng.random())
        return m.posterior(str(emotion), {"sad": p, "happy": 1 - p})
    return count(m, ref, hyp) or {}
