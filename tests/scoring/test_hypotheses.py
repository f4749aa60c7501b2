"""Files of hypotheses and their errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.scoring import answer, score, scored
from typer.testing import CliRunner

from serdesc.cli import app
from serdesc.data import datadir
from serdesc.errors import UserError
from serdesc.files import read_json, write_jsonl
from serdesc.inference import decode
from serdesc.scoring import hypotheses, references


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows[1:], "1 missing: s0-0"),
        (lambda rows: [*rows, {"utt_id": "zz", "response": "x"}], "1 not in the data: zz"),
        (lambda rows: [*rows, rows[0]], "1 answered twice: s0-0"),
        (lambda rows: [{**rows[0], "response": " "}, *rows[1:]], "1 empty: s0-0"),
        (lambda rows: [{"utt_id": "s0-0"}, *rows[1:]], ":1: a line needs utt_id and response"),
        (
            lambda rows: [{**rows[0], "emotion": "glad"}, *rows[1:]],
            ":1: emotion 'glad': not one of angry, calm",
        ),
    ],
)
def test_faulty_hypotheses_are_named(parts: Path, tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    hyp = answer(parts / "fold1" / "test", tmp_path / "hyp.jsonl")
    write_jsonl(hyp, change([json.loads(line) for line in hyp.read_text().splitlines()]))
    with pytest.raises(UserError, match=message):
        score(parts / "fold1" / "test", hyp)


def with_all_faults(hyp: Path) -> Path:
    """The first utterance missing, the second twice, the third empty, and one that nobody knows."""
    rows = [json.loads(line) for line in hyp.read_text().splitlines()]
    write_jsonl(
        hyp,
        [
            rows[1],
            rows[1],
            {**rows[2], "response": ""},
            *rows[3:],
            {"utt_id": "zz", "response": "A man."},
        ],
    )
    return hyp


def test_all_faults_are_named_at_once_or_count_as_wrong(parts: Path, tmp_path: Path) -> None:
    test = parts / "fold1" / "test"
    ids = [utt.utt_id for utt in datadir.read(test)]
    hyp = with_all_faults(answer(test, tmp_path / "hyp.jsonl"))
    command = ["score", str(test), "--hyp", str(hyp), "--metric", "ua,wer,age"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    for told in (
        f"1 missing: {ids[0]}",
        f"1 answered twice: {ids[1]}",
        f"1 empty: {ids[2]}",
        "1 not in the data: zz",
        "--missing wrong",
    ):
        assert told in refused.output
    done = CliRunner().invoke(app, [*command, "--missing", "wrong"])
    assert done.exit_code == 0, done.output
    saved = read_json(tmp_path / "score.json")
    ua = next(s for s in saved["scores"] if s["metric"] == "ua")
    assert (
        ua["counts"]["right"] == len(ids) - 3
        and ua["n"] == len(ids)
        and "missing:wrong" in ua["signature"]
    )
    assert saved["counted as wrong"] == {
        "missing": [ids[0]],
        "answered twice": [ids[1]],
        "empty": [ids[2]],
        "not in the data": ["zz"],
    }
    assert (
        "age" in {s["metric"] for s in saved["scores"]} and "not computed: age" in done.output
    )  # asked for by name, so told
    assert "substitutions" in done.output and "recall" in done.output


def test_an_empty_answer_of_our_own_is_what_the_model_said(parts: Path, tmp_path: Path) -> None:
    test = parts / "fold1" / "test"
    utterances = datadir.read(test)
    write_jsonl(tmp_path / "hyp.jsonl", [decode.hypothesis(utt.utt_id, "") for utt in utterances])
    hyps, faults = hypotheses.answered(tmp_path / "hyp.jsonl", utterances)
    assert not faults and len(hyps) == len(utterances)


def test_an_answer_may_hold_any_character(parts: Path, tmp_path: Path) -> None:
    """Also those that end a line elsewhere; a file of another encoding is told."""
    test = parts / "fold1" / "test"
    write_jsonl(
        tmp_path / "hyp.jsonl",
        [decode.hypothesis(utt.utt_id, "A\u2028man\x85 speaks.") for utt in datadir.read(test)],
    )
    hyps, _ = hypotheses.answered(tmp_path / "hyp.jsonl", datadir.read(test))
    assert {hyp.response for hyp in hyps.values()} == {"A\u2028man\x85 speaks."}
    (tmp_path / "latin").write_bytes("a caf\xe9\n".encode("latin-1"))
    for read in (hypotheses.read_hypotheses, lambda path: references.read(path, [])):
        with pytest.raises(UserError, match="latin:1: not UTF-8"):
            read(tmp_path / "latin")


@pytest.mark.java
def test_an_utterance_without_an_answer_is_named_or_wrong(tmp_path: Path) -> None:
    scored(tmp_path, ["She sounds sad."] * 3, ["She sounds sad."] * 3, "scoring.spice_jars=/none")
    lines = (tmp_path / "hyp.jsonl").read_text().splitlines()
    (tmp_path / "hyp.jsonl").write_text("\n".join(lines[:2]) + "\n")
    command = [
        "score",
        str(tmp_path / "data"),
        "--hyp",
        str(tmp_path / "hyp.jsonl"),
        "--metric",
        "ua",
    ]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2 and "1 missing: u0002" in refused.output
    allowed = CliRunner().invoke(app, [*command, "--missing", "wrong"])
    assert allowed.exit_code == 0 and "u0002" in allowed.output
    (score,) = read_json(tmp_path / "score.json")["scores"]
    assert (
        score["value"] == pytest.approx(66.6667)
        and score["counts"]["unread"] == 1
        and "missing:wrong" in score["signature"]
    )
