"""Text normalisation."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Callable

import pytest

from serdesc.data.corpora import librispeech
from serdesc.scoring import normalise


def test_the_normaliser_treats_both_sides_alike() -> None:
    assert normalise.words("It’s “FINE”, isn't it? -- 'Yes'!") == [
        "it's",
        "fine",
        "isn't",
        "it",
        "yes",
    ]
    assert normalise.words("你好，OK。") == ["你", "好", "ok"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("[LAUGHTER] Uh, excuse <COMMA> me. [garbage]", "excuse me"),
        ("Ross is 27; 1,200 came 3rd", "ross is twenty seven one thousand two hundred came third"),
        ("5% & $20.50 at 7:30", "five percent and twenty point five at seven thirty"),
        ("the 21st of 1A in the '90s", "the twenty first of one a in the ninety s"),
        ("um, hm", ""),
    ],
)
def test_tags_fillers_and_numbers(text: str, said: str) -> None:
    assert " ".join(normalise.words(text)) == said


def test_real_transcripts_become_plain_words_and_stay_so(real_data: Callable[[str], Path]) -> None:
    """Every line of MELD, and LibriSpeech's, which have no punctuation, number or filler: they stay
    as they are.
    """
    for part in ("train", "dev", "test"):
        with (real_data("meld_csv") / f"{part}_sent_emo.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                words = normalise.words(row["Utterance"])
                assert words == normalise.words(" ".join(words)) and not any(
                    c.isdigit() for word in words for c in word
                )
    for utt in librispeech.utterances(real_data("librispeech_3spk")):
        assert normalise.words(utt.text or "") == (utt.text or "").split()
