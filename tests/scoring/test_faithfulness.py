"""Claims against the sound: the measures on made waves, agreement by hand, and changes that must
move them.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.scoring import hum

from serdesc import config as configs
from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig
from serdesc.data import annotate, audio, datadir, descriptors
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.scoring import faithfulness
from serdesc.scoring.hypotheses import Hypothesis


@pytest.mark.slow
def test_measures_of_a_tone_with_a_pause() -> None:
    wave = hum()
    wave[8000:16000] = 0  # half a second of two
    found = faithfulness.measure_wave(wave, "two words and more of them", "praat")
    assert found["f0"] == pytest.approx(200, rel=0.02) and found["pauses"] == pytest.approx(
        0.25, abs=0.02
    )
    assert found["range"] < 1 and found["rate"] == pytest.approx(
        descriptors.syllables("two words and more of them", "en-us") / 1.5, rel=0.02
    )
    wave[16000:] *= 0.2  # 14 dB
    without_text = faithfulness.measure_wave(wave, None, "praat")
    assert without_text["range"] == pytest.approx(14, abs=1) and "rate" not in without_text
    assert "pauses" not in faithfulness.measure_wave(np.zeros(0), "x", "praat")


def test_agreement_by_hand_and_shuffled_claims_fall_to_chance() -> None:
    rng = random.Random(1)
    truths = [rng.choice(("low", "normal", "high")) for _ in range(900)]
    rows = [
        {
            "utt_id": str(i),
            "spk": str(i % 9),
            "measure": "f0",
            "field": "pitch",
            "kind": faithfulness.INDEPENDENT,
            "claimed": true,
            "true": true,
        }
        for i, true in enumerate(truths)
    ]
    (perfect,) = faithfulness.table(rows, ScoringConfig(resamples=100))
    assert (perfect.agreement, perfect.kappa, perfect.n) == (100.0, 100.0, 900)
    assert perfect.chance == pytest.approx(100 / 3, abs=1) and perfect.shuffled == pytest.approx(
        perfect.chance, abs=5
    )
    for row in rows[:450]:
        row["claimed"] = "low"
    (half,) = faithfulness.table(rows, ScoringConfig(resamples=100))
    right = sum(true == "low" for true in truths[:450]) + 450
    assert half.agreement == pytest.approx(100 * right / 900, abs=0.01)
    assert half.interval and half.interval[0] <= half.agreement <= half.interval[1]


@pytest.mark.slow
def test_captions_of_the_labels_agree_with_them(corpus: Path, tmp_path: Path) -> None:
    annotate.annotate(corpus, configs.Config(), nj=1)
    test, train = corpus / "fold1" / "test", corpus / "fold1" / "train"
    hyps = {utt.utt_id: Hypothesis("", utt.labels or Fields()) for utt in datadir.read(test)}
    rows = faithfulness.rows(test, train, hyps, configs.Config(), nj=1)
    made = {
        (a.kind, a.field): a
        for a in faithfulness.write(tmp_path / "score.json", rows, ScoringConfig(resamples=50))
    }
    for field in ("pitch", "speed", "energy"):
        assert made[faithfulness.SAME_AS_LABELS, field].agreement == 100.0
    assert (
        made[faithfulness.METADATA, "gender"].agreement == 100.0
        and (faithfulness.INDEPENDENT, "pitch") in made
    )
    assert (corpus / faithfulness.CACHE).exists() and read_json(tmp_path / "faithfulness.json")[
        "agreement"
    ][0]["kind"] == faithfulness.INDEPENDENT
    assert "praat" in made[faithfulness.INDEPENDENT, "pitch"].measure
    same = configs.load(settings=["scoring.f0=pyin"])
    with pytest.raises(UserError, match="pitch labels are by pyin too.*scoring.f0=praat"):
        faithfulness.rows(test, train, hyps, same, nj=1)
    with pytest.raises(UserError, match="no training part"):
        faithfulness.rows(test, corpus / "nowhere", hyps, configs.Config(), nj=1)


@pytest.mark.slow
def test_measures_are_kept_under_what_they_depend_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = datadir.read(corpus)
    first = faithfulness.measure_utterances(corpus, utterances, "praat", "en-us", nj=1)
    with (corpus / faithfulness.CACHE).open("a") as file:
        file.write('{"key": "cut o')  # by a kill
    soundfile.write(utterances[0].wav, hum(0.5, f0=300), audio.SAMPLE_RATE)  # the corpus made again
    utterances[1] = replace(utterances[1], text="quite a few more syllables")
    asked = []
    monkeypatch.setattr(faithfulness, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(
        faithfulness, "measure_wave", lambda *given: asked.append(given[1]) or {"f0": 1.0}
    )
    again = faithfulness.measure_utterances(corpus, utterances, "praat", "en-us", nj=1)
    assert asked == [utterances[0].text, utterances[1].text]
    assert [utt_id for utt_id in first if again[utt_id] != first[utt_id]] == [
        utt.utt_id for utt in utterances[:2]
    ]
    assert (
        faithfulness.measure_utterances(corpus, utterances, "praat", "en-us", nj=1) == again
        and len(asked) == 2
    )
    monkeypatch.setattr(faithfulness, "VERSION", 99)
    faithfulness.measure_utterances(corpus, utterances[:1], "praat", "en-us", nj=1)
    assert len(asked) == 3


def test_measures_are_kept_as_they_come(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    utterances = datadir.read(corpus)

    def stopped(*given: object) -> dict[str, float]:
        if len(asked) == 5:
            raise KeyboardInterrupt
        asked.append(given[1])
        return {"f0": 1.0}

    asked: list[object] = []
    monkeypatch.setattr(faithfulness, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(faithfulness, "measure_wave", stopped)
    monkeypatch.setattr(faithfulness, "BLOCK", 2)
    with pytest.raises(KeyboardInterrupt):
        faithfulness.measure_utterances(corpus, utterances, "praat", "en-us", nj=1)
    assert asked == [utt.text for utt in utterances[:5]]
    asked.append("on")
    faithfulness.measure_utterances(corpus, utterances, "praat", "en-us", nj=1)
    assert asked[6:] == [utt.text for utt in utterances[4:]]
