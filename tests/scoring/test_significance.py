"""Significance: shares whose mean is the score, p-values against scipy and enumeration, and what is
refused.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.scoring import count
from scipy.stats import ttest_rel
from typer.testing import CliRunner

from serdesc.captions.fields import Fields
from serdesc.cli import app
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.scoring import metrics, significance
from serdesc.scoring.bootstrap import Rows, UnitSums, total
from serdesc.scoring.metric import Metric

CLASSES = ("angry", "happy", "sad")


def metric(name: str) -> Metric:
    return metrics.chosen(name)[0]


def answered(m: Metric, n: int, right: float, seed: int) -> Rows:
    """Answers about the same utterances of a skewed set, right in a share of cases."""
    truth = np.random.default_rng(99).choice(3, size=n, p=(0.6, 0.3, 0.1))
    rng = np.random.default_rng(seed)
    rows: Rows = []
    for i, wanted in enumerate(truth):
        said = wanted if rng.random() < right else (wanted + 1) % 3
        text = " ".join("a b c d".split()[: 1 + i % 4])
        ref, hyp = Fields(emotion=CLASSES[wanted], transcript=text), Fields(
            emotion=CLASSES[said], transcript=text if rng.random() < right else "x"
        )
        rows.append((Utterance(f"u{i:03d}", "", f"s{i % 7}"), count(m, ref, hyp) or {}))
    return rows


@pytest.mark.parametrize("name", ["ua", "wer"])
def test_the_shares_of_utterances_have_the_score_as_their_mean(name: str) -> None:
    m = metric(name)
    rows = answered(m, 200, 0.7, seed=1)
    whole = total([counts for _, counts in rows])
    assert m.share is not None
    assert np.mean([m.share(counts, whole) for _, counts in rows]) == pytest.approx(m.value(whole))


def test_the_t_test_is_scipys_on_uas_own_values() -> None:
    m = metric("ua")
    a, b = answered(m, 150, 0.75, seed=1), answered(m, 150, 0.6, seed=2)
    whole = total([counts for _, counts in a])
    assert m.share is not None
    values = [[m.share(counts, whole) for _, counts in rows] for rows in (a, b)]
    found = significance.compare(m, a, b, "utterance")
    assert (
        found.p["t"] == pytest.approx(ttest_rel(*values, alternative="greater").pvalue)
        and found.units == 150
    )
    assert found.a - found.b == pytest.approx(np.mean(values[0]) - np.mean(values[1]), abs=1e-3)
    accuracy = [[counts["right"] for _, counts in rows] for rows in (a, b)]
    assert found.p["t"] != pytest.approx(
        ttest_rel(*accuracy, alternative="greater").pvalue, rel=0.05
    )


def test_randomisation_is_the_share_of_all_exchanges() -> None:
    """Seven speakers: all 128 exchanges can be written down."""
    m = metric("wer")
    a, b = answered(m, 40, 0.8, seed=3), answered(m, 40, 0.6, seed=4)
    by_speaker = [
        [total([c for utt, c in rows if utt.spk == f"s{k}"]) for k in range(7)] for rows in (a, b)
    ]

    def errors(sides: tuple[bool, ...]) -> float:
        one = [by_speaker[int(swap)][k] for k, swap in enumerate(sides)]
        other = [by_speaker[1 - int(swap)][k] for k, swap in enumerate(sides)]
        return m.value(total(other)) - m.value(total(one))

    observed = errors((False,) * 7)
    exact = np.mean(
        [errors(sides) >= observed - 1e-12 for sides in itertools.product((False, True), repeat=7)]
    )
    found = significance.compare(m, a, b, "speaker")
    assert found.p["randomisation"] == pytest.approx(exact, abs=0.015) and found.units == 7
    assert (
        found.p["bootstrap"] is None and found.p["mcnemar"] is None
    ), "seven units are too few for the one, WER is not right or wrong"


def test_mcnemar_by_hand_and_bootstrap_from_fifty_units() -> None:
    m = metric("wa")
    a, b = answered(m, 60, 0.9, seed=5), answered(m, 60, 0.6, seed=6)
    only_a = sum(x["right"] > y["right"] for (_, x), (_, y) in zip(a, b))
    only_b = sum(x["right"] < y["right"] for (_, x), (_, y) in zip(a, b))
    n = only_a + only_b
    tail = sum(_choose(n, k) for k in range(only_a, n + 1)) / 2**n
    found = significance.compare(m, a, b, "utterance")
    assert (
        found.p["mcnemar"] == pytest.approx(tail)
        and found.p["bootstrap"] is not None
        and found.p["bootstrap"] < 0.05
    )
    backward = significance.compare(m, b, a, "utterance")
    assert (
        backward.p["t"] is not None
        and backward.p["t"] > 0.95
        and backward.interval is not None
        and backward.interval[1] < 0
    )


def _choose(n: int, k: int) -> int:
    import math

    return math.comb(n, k)


@pytest.mark.parametrize("name", ["ua", "wa", "wer", "cer"])
@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_a_t_test_is_over_parts_whose_mean_is_the_metric(name: str, unit: str) -> None:
    """Speakers of this set have different numbers of utterances and of classes."""
    m = metric(name)
    rows = answered(m, 61, 0.7, seed=4)
    sums = UnitSums.of(rows, lambda utt: utt.spk if unit == "speaker" else utt.utt_id)
    assert significance._values(m, sums, unit).mean() == pytest.approx(
        m.value(total([counts for _, counts in rows]))
    )


def test_without_a_value_there_is_no_p_value() -> None:
    """One system never names a stressed word: its precision is nothing, and neither better nor
    worse than anything.
    """
    m = metric("emphasis_precision")
    people = [Utterance(f"{i:03d}", "", f"s{i % 9}") for i in range(100)]
    ref = Fields(transcript="one two three", emphasis=("two",))
    named = [
        (utt, m.count(ref, Fields(emphasis=("two" if i % 2 else "one",))) or {})
        for i, utt in enumerate(people)
    ]
    silent = [(utt, m.count(ref, Fields()) or {}) for utt in people]
    for a, b in ((named, silent), (silent, named)):
        assert set(significance.compare(m, a, b, "utterance", rounds=200).p.values()) == {None}


def test_mcnemar_and_utterances_t_are_for_what_they_test() -> None:
    """UA's classes may differ where accuracy does not, and one utterance has neither F1 nor
    calibration.
    """
    for name in ("ua", "macro_f1"):
        a, b = (answered(metric(name), 60, share, seed=3) for share in (0.9, 0.6))
        found = significance.compare(metric(name), a, b, "utterance", rounds=200)
        assert found.p["mcnemar"] is None and (found.p["t"] is None) == (name == "macro_f1")
    assert {m.name for m in metrics.every() if m.accuracy} >= {"wa", "pitch_accuracy", "emphasis"}
    assert not metric("ua").accuracy and not metric("emphasis_recall").accuracy


def test_equal_systems_and_other_utterances() -> None:
    m = metric("ua")
    a = answered(m, 60, 0.8, seed=7)
    same = significance.compare(m, a, a, "utterance")
    assert (
        same.interval == (0.0, 0.0)
        and same.p["t"] is None
        and same.p["randomisation"] == 1.0
        and same.p["mcnemar"] is None
    )
    with pytest.raises(UserError, match="not scored on the same utterances"):
        significance.compare(m, a[1:], a, "utterance")


def test_holm_by_hand() -> None:
    assert significance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert significance.holm([0.5, 0.6]) == [1.0, 1.0] and significance.holm([]) == []


@pytest.mark.slow
def test_two_files_are_compared_from_the_command_line(tmp_path: Path) -> None:
    utterances = [
        Utterance(f"u{i:02d}", f"{i}.wav", f"s{i % 3}", labels=Fields(transcript="one two", emotion=CLASSES[i % 3])) for i in range(60)
    ]  # fmt: skip
    datadir.write(tmp_path / "data", utterances)
    for name, right in (("a", 50), ("b", 30)):
        lines = [
            json.dumps(
                {
                    "utt_id": f"u{i:02d}",
                    "response": "x",
                    "emotion": CLASSES[(i + (i >= right)) % 3],
                    "transcript": "one two",
                }
            )
            for i in range(60)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    command = [
        "compare",
        str(tmp_path / "data"),
        str(tmp_path / "a.jsonl"),
        str(tmp_path / "b.jsonl"),
        "--unit",
        "utterance",
    ]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "c.json")])
    assert result.exit_code == 0, result.output
    ua, wer = read_json(tmp_path / "c.json")["comparisons"]
    assert (
        ua["a"] > ua["b"]
        and ua["p"]["t"] < 0.001
        and wer["a"] == wer["b"] == 0.0
        and wer["p"]["t"] is None
    )
    assert (
        ua["p"]["mcnemar"] is None and ua["holm"]["t"] == ua["p"]["t"] and wer["holm"]["t"] is None
    )
    wrong = CliRunner().invoke(app, [*command[:-1], "word"])
    assert wrong.exit_code == 2 and "not one of utterance, speaker, fold" in wrong.output
