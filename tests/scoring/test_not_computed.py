"""Where something is not computed there is a reason and no number."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from helpers.cli import serdesc

from serdesc.captions.fields import Fields
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.files import read_json
from serdesc.scoring import baselines, java, report

SAID = 'A sad woman with a low voice says "hello there".'
Scores = dict[str, dict[str, Any]]


def score(
    folder: Path,
    answers: list[str],
    *options: object,
    posteriors: tuple[float | None, ...] = (),
    captions: tuple[str | None, ...] = (),
    speakers: int = 99,
    wanted: int = 0,
) -> tuple[Scores, str]:
    """Score utterances of as many speakers; the scores by metric, and what was printed."""
    utterances, lines = [], []
    for i, answer in enumerate(answers):
        labels = Fields("hello there", ("sad", "happy")[i % 2], "low")
        caption = captions[i] if captions else f"A sad woman number {i}."
        utt = Utterance(f"u{i}", f"{i}.wav", f"s{i % speakers}", caption=caption, labels=labels)
        utterances.append(utt)
        row: dict[str, Any] = {"utt_id": f"u{i}", "response": answer}
        if posteriors and posteriors[i] is not None:
            row["posterior"] = {"sad": posteriors[i], "happy": 1 - (posteriors[i] or 0)}
        lines.append(json.dumps(row))
    datadir.write(folder / "data", utterances)
    (folder / "hyp.jsonl").write_text("\n".join(lines) + "\n")
    code, text = serdesc(
        "score", folder / "data", "--hyp", folder / "hyp.jsonl", *options,
        "--set", f"scoring.cache={folder / 'cache'}",
    )  # fmt: skip
    assert code == wanted, text
    tree = json.loads((folder / "score.json").read_text(), parse_constant=pytest.fail)
    scores = {row["metric"]: row for row in tree["scores"]}
    for row in scores.values():
        assert (row["value"] is None) == bool(row["note"]), row
        assert row["value"] is not None or row["interval"] is None, row
    assert "nan" not in text.lower()
    return scores, " ".join(text.split())


NO_SPICE = ("--set", "scoring.spice_jars=/none")


@pytest.mark.java
def test_one_utterance(tmp_path: Path) -> None:
    found, text = score(tmp_path, [SAID], *NO_SPICE, posteriors=(0.9,))
    assert found["nll"]["value"] == pytest.approx(-math.log(0.9), abs=1e-4)
    assert {row["interval"] for row in found.values()} == {None}
    assert all("|ci:none|" in row["signature"] for row in found.values())
    assert "95 %: none: a single speaker" in text
    if found["bleu4"]["value"] is not None:  # with Java
        assert "needs two utterances with different references" in found["cider"]["note"]
    assert "SPICE, SPIDEr: " in text and "tools/get_spice.sh" in found["spider"]["note"]
    assert "one value only" in found["pitch_kappa"]["note"]


@pytest.mark.java
def test_equal_references_have_no_cider(tmp_path: Path) -> None:
    """All n-grams then weigh nothing, and a perfect answer had 0."""
    found, _ = score(tmp_path, ["A sad woman."] * 3, *NO_SPICE, captions=("A sad woman.",) * 3)
    if found["bleu4"]["value"] is not None:
        assert found["cider"]["value"] is None and found["rouge_l"]["value"] == 100


def test_two_utterances_have_intervals_of_two_speakers(tmp_path: Path) -> None:
    found, text = score(tmp_path, [SAID, "A man."], "--metric", "ua,wer")
    assert found["ua"]["interval"] == [0, 100] and found["ua"]["interval_units"] == 2
    assert "95 %: t over 2 speakers" in text and "|ci:t|" in found["ua"]["signature"]


def test_some_posteriors(tmp_path: Path) -> None:
    """Of one of three speakers: the value is of his, and there is no interval around it."""
    found, text = score(
        tmp_path, [SAID] * 3, "--metric", "nll,ece,ua", posteriors=(0.8, None, None)
    )
    nll = found["nll"]
    assert nll["value"] == pytest.approx(-math.log(0.8), abs=1e-4) and nll["interval"] is None
    assert nll["counts"]["unread"] == 2 and "|ci:none|" in nll["signature"]
    assert "NLL, nats, ECE %: no 95 % interval, because there is no value without one" in text


def test_no_posteriors_no_captions_and_nothing_readable(tmp_path: Path) -> None:
    metrics = "nll,ua_closed,bleu4,cider,spider,emphasis,sentence_similarity"
    found, _ = score(tmp_path, ["zzz"] * 3, "--metric", metrics, captions=(None,) * 3)
    assert found.keys() == set(metrics.split(","))
    assert all(row["value"] is None and row["n"] == 0 for row in found.values())
    assert "sentence_encoder is empty" in found["sentence_similarity"]["note"]
    found, _ = score(tmp_path, ["zzz"] * 3, "--metric", "pitch_kappa,wer,ua,nll")
    assert found["ua"]["value"] == 0 and found["wer"]["value"] is None
    assert "no answer has a transcript" in found["wer"]["note"]
    assert "no answer is readable" in found["pitch_kappa"]["note"]


def test_empty_answers_count_as_wrong_where_that_is_asked(tmp_path: Path) -> None:
    found, _ = score(tmp_path, [""] * 3, "--missing", "wrong", "--metric", "ua,wer,nll")
    assert (found["ua"]["value"], found["wer"]["value"], found["nll"]["value"]) == (0, 100, None)


def test_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java.shutil, "which", lambda name: None)
    found, _ = score(tmp_path, [SAID] * 2, "--set", f"scoring.spice_jars={tmp_path}")
    for name in ("bleu4", "meteor", "cider", "rouge_l"):
        assert "Java is not installed" in found[name]["note"]
    assert found["spider"]["note"] == found["spice"]["note"] != ""
    assert found["sacrebleu"]["value"] is not None


def test_a_program_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "program", lambda: "/bin/false")
    found, text = score(tmp_path, [SAID] * 2, "--metric", "cider,spider,ua", *NO_SPICE, wanted=1)
    assert "Java stopped with status 1" in found["cider"]["note"] and found["ua"]["value"] == 50
    assert "cider: not computed, for the reason above" in text


def test_undefined_values_are_kept_and_missing_programs_are_not(tmp_path: Path) -> None:
    """--keep: a kappa of one value need not be computed again; a metric without counts is."""
    score(tmp_path, [SAID] * 2, "--metric", "pitch_kappa,ua")
    again = ("score", tmp_path / "data", "--hyp", tmp_path / "hyp.jsonl", "--keep",
             "--set", f"scoring.cache={tmp_path / 'cache'}", "--metric")  # fmt: skip
    assert ": kept, of" in serdesc(*again, "pitch_kappa,ua")[1]
    score(tmp_path, [SAID] * 2, "--metric", "nll,ua")
    assert ": kept, of" not in serdesc(*again, "nll,ua")[1]


def test_a_comparison_without_a_value_has_a_reason(tmp_path: Path) -> None:
    score(tmp_path, [SAID] * 4, "--metric", "ua", posteriors=(0.9, 0.2, 0.8, 0.4))
    (tmp_path / "hyp.jsonl").rename(tmp_path / "a.jsonl")
    score(tmp_path, ["zzz"] * 4, "--metric", "ua")
    out = tmp_path / "out.json"
    code, text = serdesc("compare", tmp_path / "data", tmp_path / "a.jsonl",
                         tmp_path / "hyp.jsonl", "--metric", "ua,nll,pitch_kappa,spider",
                         "--out", out, *NO_SPICE)  # fmt: skip
    assert code == 0 and "nan" not in text.lower(), text
    tree = json.loads(out.read_text(), parse_constant=pytest.fail)
    assert [row["metric"] for row in tree["comparisons"]] == ["ua"]
    text = " ".join(text.split())
    for reason in ("NLL, nats: nothing of it", "pitch kappa %: ", "SPIDEr: "):
        assert f"not compared: {reason}" in text
    assert "95 %: t over 4 speakers" in text


def test_a_baseline_without_a_value_is_null(tmp_path: Path) -> None:
    utt = Utterance("a", "", "s")
    table = {"constant": {"pitch_kappa": [(utt, {"n": 1, "unread": 0, "n.low": 1, "apart": 0})]}}
    baselines.write(tmp_path / "baselines.json", table)
    assert read_json(tmp_path / "baselines.json") == {"constant": {"pitch_kappa": None}}


def test_pooled_folds_say_why(tmp_path: Path) -> None:
    """A reason of the first fold is not that of the pooled folds, which may have a value."""
    from serdesc.config import Config, ScoringConfig
    from serdesc.scoring import metrics
    from serdesc.scoring import score as scoring

    kappa, closed = metrics.chosen("pitch_kappa,ua_closed")
    for fold, values in ((1, ("low", "low")), (2, ("low", "high"))):
        rows = []
        for i, value in enumerate(values):
            fields = Fields(pitch=value)
            assert kappa.count is not None
            rows.append((Utterance(f"u{fold}{i}", "", f"s{fold}{i}"), kappa.count(fields, fields)))
        table = {"pitch_kappa": rows}
        scores = [scoring.score(kappa, rows, ScoringConfig(), {})]
        scores.append(scoring.score(closed, [], ScoringConfig(), {}, "no posteriors"))
        assert bool(scores[0].note) == (fold == 1)
        scoring.write(tmp_path / f"exp/fold{fold}/decode_test/score.json", scores, table)
    report.report(tmp_path / "exp", "test", Config())
    by_metric = {
        row["metric"]: row for row in read_json(tmp_path / "exp/score_test.json")["scores"]
    }
    assert by_metric["pitch_kappa"]["value"] == 100 and by_metric["pitch_kappa"]["note"] == ""
    page = (tmp_path / "exp/RESULTS.md").read_text()
    assert "not computed: UA closed set %: no posteriors" in page and "nan" not in page
