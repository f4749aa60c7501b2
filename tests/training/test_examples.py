"""Training targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.training import Lab

from serdesc import models
from serdesc.captions import reader
from serdesc.captions.fields import Fields
from serdesc.config import TargetConfig
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, read_jsonl
from serdesc.training.examples import Example, caption_of, count_tokens, examples

CPU = torch.device("cpu")


def test_rewording_says_the_same_fields_in_other_words(lab: Lab) -> None:
    fixed, fresh = (
        examples(lab.train_part, lab.configured(f"training.paraphrase_targets={flag}"))[0]
        for flag in ("false", "true")
    )
    for example in fixed:
        assert {example.target("descriptor", epoch) for epoch in range(9)} == {
            example.utterance.caption
        }
    for example in fresh:
        targets = [example.target("descriptor", epoch) for epoch in range(9)]
        assert len(set(targets)) > 3 and example.target("descriptor", 2) == targets[2]
        assert all(reader.read(target) == example.utterance.labels for target in targets)
        assert example.target("content", 5) == example.transcript


@pytest.mark.parametrize("reword", ["true", "false"])
def test_an_unknown_emotion_leaves_the_caption_open(lab: Lab, reword: str) -> None:
    first, *others = lab.train_part
    assert first.labels is not None and others[0].labels is not None
    unknown = replace(first, emotion=None, labels=replace(first.labels, emotion=None))
    settings = [f"training.paraphrase_targets={reword}", "training.without_emotion=open"]
    made, _ = examples([unknown, *others], lab.configured(*settings))
    model = models.initialise(lab.configured(*settings), lab.features, CPU)
    for epoch in range(6):
        target = made[0].target("descriptor", epoch)
        assert target.endswith(",") and "sounding" not in target
        said = reader.read(target)
        assert said == replace(unknown.labels, emphasis=None, more=())
        assert model.label_count(target) == model.label_count(str(target)) - 1
        assert reader.read(made[1].target("descriptor", epoch)).emotion == others[0].emotion
    assert made[0].target("content", 0) == first.text


def test_long_utterances_are_skipped_and_listed(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    exp = lab.train("short", "training.max_seconds=0.6")
    skipped = read_jsonl(exp / "skipped.jsonl")
    assert {row["utt_id"] for row in skipped} == {
        u.utt_id for u in lab.train_part if (u.seconds or 0) > 0.6
    } and skipped
    assert "are skipped" in capsys.readouterr().out
    with pytest.raises(UserError, match="no training data"):
        lab.train("none", "training.max_seconds=0.1")


def test_a_caption_stands_as_the_target_where_the_target_says_all_of_it() -> None:
    said = Fields(transcript="so it is", emotion="sad")
    utt = Utterance(
        "a", "", "s", text="so it is", caption="She sighs, \u201cSo it is.\u201d", labels=said
    )
    assert (
        caption_of(utt, TargetConfig()) == utt.caption
        and caption_of(utt, TargetConfig(descriptors=False)) == utt.caption
    )
    assert "so it is" not in caption_of(utt, TargetConfig(transcript=False)).lower()
    described = replace(utt, caption="She sighs.", labels=replace(said, transcript=None))
    assert caption_of(described, TargetConfig(transcript=False)) == "She sighs."


def test_the_transcripts_share_is_counted_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words as tokens, and an end token: 10 of which 4 are quoted, and 4 of which none is."""
    captions = ('A woman says "so it is now", sounding sad.', "A man speaks.")
    data = [Example(Utterance(str(i), "", "s"), "", text) for i, text in enumerate(captions)]
    count_tokens(data, lambda text: len(text.replace(",", " ").split()) + 1, tmp_path)
    assert read_json(tmp_path / "targets.json") == {
        "targets": 2,
        "tokens": 7.0,
        "transcript %": 28.6,
    }
    assert "targets: 7.0 tokens on average, transcript 28.6 %" in capsys.readouterr().out


def test_training_writes_the_share_and_a_model_without_an_llm_has_none(lab: Lab) -> None:
    counted = read_json(lab.train("full") / "targets.json")
    assert counted["targets"] == len(lab.train_part) and 0 < counted["transcript %"] < 100
    silent = read_json(lab.train("sed", "target.transcript=false") / "targets.json")
    assert silent["transcript %"] == 0 and silent["tokens"] < counted["tokens"]
    ssl = lab.train("ssl", "model=ssl_baseline", "training.strategy=one-stage")
    assert not (ssl / "targets.json").exists()
