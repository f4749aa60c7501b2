"""Training targets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.training import Lab

from serdesc.captions import reader
from serdesc.captions.fields import Fields
from serdesc.config import TargetConfig
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_jsonl
from serdesc.training.examples import caption_of, examples

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
