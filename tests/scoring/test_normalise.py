"""Text normalisation."""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path
from typing import Callable

import jiwer
import pytest
from helpers.scoring import metric, value

from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig
from serdesc.data.corpora import librispeech
from serdesc.errors import UserError
from serdesc.scoring import normalise, signature


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


@pytest.mark.parametrize(
    "text, said",
    [
        ("यह हिन्दी में है।", "यह हिन्दी में है"),
        ("\u0130stanbul'da \u0130Y\u0130", "istanbul'da iyi"),
        ("cafe\u0301 = caf\u00e9", "café café"),
        ("co\u00adoperate, a\u200bb", "cooperate a b"),  # soft hyphen, space without width
        ("don\u00b4t", "don t"),  # an accent that stands alone is no letter
    ],
)
def test_combining_marks_belong_to_words(text: str, said: str) -> None:
    assert normalise.words(text) == said.split()
    assert normalise.split(text, ScoringConfig()) == said.split()


@pytest.mark.parametrize(
    "text, said",
    [  # strings of Whisper's own tests
        ("Let's", "let us"),
        ("he's like", "he is like"),
        ("she's been like", "she has been like"),
        ("Mr. Park visited Assoc. Prof. Kim Jr.",
         "mister park visited associate professor kim junior"),
        ("two point five million", "2500000"),
        ("three thousand twenty nine", "3029"),
        ("two dollars and seventy cents", "$2.70"),
        ("RC232", "rc 232"),
        ("mobilisation", "mobilization"),
        ("cancelation", "cancellation"),
        ("Uh, hmm [noise] the colour (sighs)", "the color"),
    ],
)  # fmt: skip
def test_whispers_normaliser_and_its_spelling(text: str, said: str) -> None:
    config = ScoringConfig(normaliser="whisper")
    assert normalise.split(text, config) == said.split()
    pair = (Fields(transcript=text), Fields(transcript=said))
    assert value("wer", [pair], config) == value("cer", [pair], config) == 0
    assert normalise.signed(config)["normaliser"].startswith("whisper english 0.")


def test_whispers_normaliser_of_other_languages() -> None:
    config = ScoringConfig(normaliser="whisper", language="zh")
    assert normalise.split("你好，OK。", config) == ["你", "好", "o", "k"]
    assert normalise.signed(config)["normaliser"].startswith("whisper basic 0.")


def test_without_its_package_whispers_normaliser_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    normalise._whisper.cache_clear()
    monkeypatch.setitem(sys.modules, "whisper_normalizer.basic", None)
    with pytest.raises(UserError, match=r'pip install "serdesc\[whisper\]"'):
        normalise.split("x", ScoringConfig(normaliser="whisper"))


def noisy(refs: list[str]) -> list[str]:
    """Hypotheses with errors, fillers, capitals and marks."""
    rng = random.Random(0)
    hyps = []
    for ref in refs:
        words = [word for word in ref.split() if rng.random() < 0.95]
        words = [rng.choice((word.lower(), "UH", f"{word},")) if rng.random() < 0.1 else word
                 for word in words]  # fmt: skip
        hyps.append(" ".join(words))
    return hyps


def test_none_is_jiwers_default(real_data: Callable[[str], Path]) -> None:
    """Word by word, on LibriSpeech's transcripts: fillers and capitals count."""
    refs = [utt.text or "" for utt in librispeech.utterances(real_data("librispeech_3spk"))]
    pairs = [
        (Fields(transcript=ref), Fields(transcript=hyp)) for ref, hyp in zip(refs, noisy(refs))
    ]
    config = ScoringConfig(normaliser="none")
    found = jiwer.process_words(refs, noisy(refs))
    assert value("wer", pairs, config) == pytest.approx(100 * found.wer, abs=1e-12)
    assert value("cer", pairs, config) == pytest.approx(100 * jiwer.cer(refs, noisy(refs)))
    assert value("wer", pairs) < value("wer", pairs, config)
    assert sum(len(ref.split()) for ref in refs) > 1000


def test_the_normaliser_is_a_key_and_is_signed() -> None:
    ref, hyp = "Uh, the colour is 27", "the color is twenty seven"
    wer, pair = metric("wer"), (Fields(transcript=ref), Fields(transcript=hyp))
    values = {}
    for name in ("words-4", "whisper", "none"):
        config = ScoringConfig(normaliser=name)
        values[name] = value("wer", [pair], config)
        signed = signature.signature(wer, config, {})
        assert signed.startswith(f"metric:wer|normaliser:{name}")
    assert values == {"words-4": 20.0, "whisper": 0.0, "none": 80.0}
