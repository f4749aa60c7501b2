"""Replaced descriptors and the posterior of the emotion."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.cli import serdesc
from helpers.scoring import answer
from helpers.training import Lab

from serdesc.captions import reader, writer
from serdesc.captions.fields import Fields
from serdesc.data.datadir import Utterance
from serdesc.files import read_json, read_jsonl, write_json
from serdesc.inference import dependence
from serdesc.inference.dependence import DependenceTest, replacements, wording_of

pytestmark = pytest.mark.slow

FULL = Fields("a b", "sad", "low", "normal", "fast", "young adult", "female", ("b",))


def before_emotion(fields: Fields, wording: writer.Wording) -> str:
    caption = writer.compose(fields, wording)
    return caption[: reader.explain(caption).spans["emotion"][0]]


def test_a_caption_in_a_drawn_wording_is_the_rendered_one() -> None:
    for seed in map(str, range(30)):
        wording = writer.draw(FULL, random.Random(seed))
        assert writer.compose(FULL, wording) == writer.render(FULL, seed)


@pytest.mark.parametrize("seed", [str(i) for i in range(20)])
def test_one_descriptor_in_front_of_the_emotion_is_replaced(seed: str) -> None:
    wording = wording_of(FULL, seed)
    original = before_emotion(FULL, wording)
    found = list(replacements(FULL, wording))
    assert [(r.field, r.to) for r in found] == [
        ("pitch", "high"),
        ("energy", "low"),
        ("energy", "high"),
        ("speed", "slow"),
        ("age", "child"),
        ("age", "elderly"),
        ("gender", "male"),
    ]
    for replacement in found:
        fields, altered = replacement.altered
        assert reader.read(writer.compose(fields, altered)) == fields
        assert reader.read(writer.compose(*replacement.control)) == FULL
        assert getattr(fields, replacement.field) == replacement.to
        others = (before_emotion(fields, altered), before_emotion(*replacement.control))
        assert original not in others and others[0] != others[1]
        for emotion in ("angry", "happy"):  # equal up to the emotion
            other = writer.compose(writer.replace(fields, emotion=emotion), altered)
            start = before_emotion(fields, altered).removesuffix("a ")
            assert other.startswith(start)


def test_a_descriptor_without_a_second_phrase_is_not_replaced() -> None:
    fields = Fields(emotion="sad", age="middle-aged", gender="female")
    assert list(replacements(fields, wording_of(fields, "u"))) == []


class OfPitch:
    """p(angry) is 0.8 if the caption states a high pitch, else 0.5; phrases change nothing."""

    def load(self, utterances: list[Utterance]) -> list[torch.Tensor]:
        return [torch.zeros(1, 1, 1)]

    def log_likelihoods(
        self, x: torch.Tensor, frames: torch.Tensor, answers: list[list[str]]
    ) -> list[list[float]]:
        (captions,) = answers
        values = []
        for fields in map(reader.read, captions):
            angry = 0.8 if fields.pitch == "high" else 0.5
            values.append(
                float(torch.tensor(angry if fields.emotion == "angry" else 1 - angry).log())
            )
        return [values]


def test_the_posterior_of_a_known_model() -> None:
    model: Any = OfPitch()
    test = DependenceTest(model, model, ["angry", "sad"])
    utterances = [Utterance(name, "", "s") for name in ("both", "mute", "plain")]
    captions = {"both": FULL, "mute": Fields(pitch="low"), "plain": Fields(emotion="sad")}
    rows, record = test.run(utterances, captions)
    assert (record["utterances"], record["of"]) == (1, 3)
    assert record["not used"] == {
        dependence.NO_EMOTION: ["mute"],
        dependence.NO_DESCRIPTOR: ["plain"],
    }
    for row in rows:
        assert row["before"] == row["control"] == pytest.approx({"angry": 0.5, "sad": 0.5})
        moved = (row["field"], row["to"]) == ("pitch", "high")
        assert row["after"]["angry"] == pytest.approx(0.8 if moved else 0.5, abs=1e-6)
    assert len(rows) == 7 and rows[0]["from"] == "low"


def decoded(lab: Lab, exp: Path) -> Path:
    """Captions of the references, recorded as decoded by the experiment."""
    hyp = exp / "decode_test" / "hyp.jsonl"
    hyp.parent.mkdir()
    answer(lab.corpus / "fold1" / "test", hyp)
    files = read_json(exp / "checkpoint" / "state.json")["files"]
    write_json(hyp.with_suffix(".made.json"), {"model": files})
    return hyp


@pytest.mark.slow
@pytest.mark.parametrize("model", ["describer", "undivided"])
def test_score_depends_writes_what_report_pools(lab: Lab, model: str) -> None:
    exp = lab.train("exp", f"model={model}")
    hyp = decoded(lab, exp)
    data = str(lab.corpus / "fold1" / "test")
    options = ["score", data, "--hyp", str(hyp), "--depends", str(exp), "--limit", "3"]
    code, output = serdesc(*options, "--metric", "ua,pitch")
    assert code == 0 and "3 of 3 utterances used" in output, output
    tree = read_json(hyp.with_name("depends.json"))
    assert tree["utterances"] == 3 and tree["emotions"] == ["angry", "happy", "sad"]
    assert tree["emotion by descriptors"]["by_number"][0]["right"] == 1
    assert tree["signature"].startswith("test:depends|") and "unit:speaker" in tree["signature"]
    rows = read_jsonl(hyp.with_name(tree["rows"]))
    assert len(rows) == tree["replaced"][0]["n"]
    assert any(row["after"] != row["before"] for row in rows)
    assert serdesc(*options, "--keep")[0] == 0
    assert read_jsonl(hyp.with_name(tree["rows"])) == rows
    code, output = serdesc("report", str(exp.parent))
    assert code == 0, output
    results = (exp.parent / "RESULTS.md").read_text()
    assert (
        "one descriptor is replaced" in results and "right descriptors (a correlation)" in results
    )


def test_errors_name_the_next_step(lab: Lab) -> None:
    quick = ("training.content.epochs=0", "training.descriptor.epochs=0")
    exp, other = lab.train("exp", *quick), lab.train("other", "seed=2", *quick)
    ssl = lab.train("ssl", "model=ssl_baseline", "training.strategy=one-stage", *quick[1:])
    hyp = decoded(lab, exp)

    def error(name: Path, *more: str) -> str:
        data = lab.corpus / "fold1" / "test"
        arguments = ("score", str(data), "--hyp", str(hyp), "--metric", "ua", *more)
        code, output = serdesc(*arguments, "--depends", str(name))
        assert code == 2, output
        return output

    assert "no experiment there" in error(lab.folder)
    assert "ssl_baseline, which has no caption" in error(ssl)
    assert "was not decoded with its model" in error(other)
    assert "--limit 0: not 1 or more" in error(exp, "--limit", "0")
    rows = [{**row, "response": "A woman speaks."} for row in read_jsonl(hyp)]
    hyp.write_text("".join(f"{row}\n" for row in map(json.dumps, rows)))
    assert "captions in" in error(exp) and "has an emotion and one of" in error(exp)
