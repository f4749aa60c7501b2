"""WER and CER."""

from __future__ import annotations

import random

import jiwer
import pytest
from helpers.scoring import metric, value

from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig
from serdesc.scoring import normalise


def test_wer_is_jiwers_and_the_textbooks() -> None:
    rng = random.Random(2)
    words = "a b c d e f g".split()
    refs = [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(60)]
    hyps = [
        " ".join(w for w in ref.split() if rng.random() < 0.8) + rng.choice(["", " x"])
        for ref in refs
    ]
    ours = value("wer", [(Fields(transcript=r), Fields(transcript=h)) for r, h in zip(refs, hyps)])
    assert ours == pytest.approx(100 * jiwer.wer(refs, hyps))
    count = metric("wer").transcript
    assert count is not None
    counts = count("the cat sat", "the bat sat down", ScoringConfig())
    assert counts == {
        "n": 1,
        "words": 3,
        "unread": 0,
        "substitutions": 1,
        "deletions": 0,
        "insertions": 1,
    }
    assert value(
        "cer", [(Fields(transcript=r), Fields(transcript=h)) for r, h in zip(refs, hyps)]
    ) == pytest.approx(100 * jiwer.cer(refs, [" ".join(h.split()) for h in hyps]))
    assert count("...", "two words", ScoringConfig())["insertions"] == 2
    assert value("wer", [(Fields(transcript="one two"), Fields())]) == 100.0


def test_mandarin_characters_have_no_spaces_between_them() -> None:
    pair = (
        Fields(transcript="\u4f60\u597d\u5417\u6211\u5f88\u597d"),
        Fields(transcript="\u4f60\u53f7\u5417\u6211\u6068\u597d"),
    )
    assert (
        value("cer", [pair])
        == value("wer", [pair])
        == pytest.approx(100 * jiwer.cer(*(p.transcript for p in pair)))
    )
    assert normalise.characters("\u597dOK go", ScoringConfig()) == "\u597dok go"
    assert normalise.words("9" * 400)[:2] == ["nine", "nine"]
