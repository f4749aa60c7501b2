"""Claims against the sound: the measures on made waves, agreement by hand, and changes that must move them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serdesc import config as configs, tasks
from serdesc.config import MeasureConfig, ScoringConfig
from serdesc.data import annotate, audio, datadir, descriptors
from serdesc.errors import UserError
from serdesc.fields import Fields
from serdesc.files import read_json
from serdesc import counterfactual
from serdesc.scoring import faithfulness
from serdesc.scoring.score import Hypothesis


def hum(seconds: float = 2.0, f0: float = 200.0) -> np.ndarray:
    """A voice-like tone of three overtones."""
    t = np.arange(int(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    return sum(np.sin(2 * np.pi * f0 * k * t) / k for k in (1, 2, 3)) * 0.1


def test_measures_of_a_tone_with_a_pause() -> None:
    wave = hum()
    wave[8000:16000] = 0  # half a second of two
    found = faithfulness.measure(wave, "two words and more of them")
    assert found["f0"] == pytest.approx(200, rel=0.02) and found["pauses"] == pytest.approx(0.25, abs=0.02)
    assert found["range"] < 1 and found["rate"] == pytest.approx(descriptors.syllables("two words and more of them", "en-us") / 1.5, rel=0.02)
    wave[16000:] *= 0.2  # 14 dB
    assert faithfulness.measure(wave, None)["range"] == pytest.approx(14, abs=1)
    assert "rate" not in faithfulness.measure(wave, None) and "pauses" not in faithfulness.measure(np.zeros(0), "x")


def test_agreement_by_hand_and_shuffled_claims_fall_to_chance() -> None:
    rng = random.Random(1)
    truths = [rng.choice(("low", "normal", "high")) for _ in range(900)]
    rows = [
        {"utt_id": str(i), "spk": str(i % 9), "measure": "f0", "field": "pitch", "kind": faithfulness.OWN, "claimed": true, "true": true}
        for i, true in enumerate(truths)
    ]
    (perfect,) = faithfulness.table(rows, ScoringConfig(resamples=100))
    assert (perfect.agreement, perfect.kappa, perfect.n) == (100.0, 100.0, 900)
    assert perfect.chance == pytest.approx(100 / 3, abs=1) and perfect.shuffled == pytest.approx(perfect.chance, abs=5)
    for row in rows[:450]:
        row["claimed"] = "low"
    (half,) = faithfulness.table(rows, ScoringConfig(resamples=100))
    right = sum(true == "low" for true in truths[:450]) + 450
    assert half.agreement == pytest.approx(100 * right / 900, abs=0.01)
    assert half.interval and half.interval[0] <= half.agreement <= half.interval[1]


def test_captions_of_the_labels_agree_with_them(corpus: Path, tmp_path: Path) -> None:
    annotate.annotate(corpus, configs.Config(), nj=1)
    test, train = corpus / "fold1" / "test", corpus / "fold1" / "train"
    hyps = {utt.utt_id: Hypothesis("", utt.labels or Fields()) for utt in datadir.read(test)}
    rows = faithfulness.rows(test, train, hyps, MeasureConfig(), nj=1)
    made = {(a.kind, a.field): a for a in faithfulness.write(tmp_path, rows, ScoringConfig(resamples=50))}
    for field in ("pitch", "speed", "energy"):
        assert made[faithfulness.SAME, field].agreement == 100.0
    assert made[faithfulness.GIVEN, "gender"].agreement == 100.0 and (faithfulness.OWN, "pitch") in made
    assert (corpus / faithfulness.CACHE).exists() and read_json(tmp_path / "faithfulness.json")["agreement"][0]["kind"] == faithfulness.OWN
    with pytest.raises(UserError, match="no training part"):
        faithfulness.rows(test, corpus / "nowhere", hyps, MeasureConfig(), nj=1)


def test_changes_move_what_they_should() -> None:
    wave = hum()
    wave[8000:20000] *= 0.3
    energy = descriptors.measure(wave, None, MeasureConfig())["energy"]
    made = {name: change.apply(wave) for name, change in counterfactual.CHANGES.items()}
    assert descriptors.measure(made["loudness evened out"], None, MeasureConfig())["energy"] > energy
    assert descriptors.measure(made["loudness spread"], None, MeasureConfig())["energy"] < energy
    assert descriptors.median_f0(made["pitch +4 semitones"]) == pytest.approx(200 * 2 ** (4 / 12), rel=0.03)
    assert descriptors.median_f0(made["pitch -4 semitones"]) == pytest.approx(200 * 2 ** (-4 / 12), rel=0.03)
    assert len(made["tempo x 1.3"]) == pytest.approx(len(wave) / 1.3, rel=0.02) and len(made["tempo x 0.77"]) > len(wave)


def test_what_followed_is_counted_by_hand() -> None:
    before = [Fields(transcript="a b", emotion="sad", pitch=p) for p in ("low", "normal", "high", "low", "normal")]
    after = [replace(f, pitch=p) for f, p in zip(before, ("normal", "low", "low", "low", None))]
    after[0] = replace(after[0], transcript="a c", emotion="happy")
    row = counterfactual.followed("pitch +4 semitones", before, after)
    assert (row["n"], row["at the end"]) == (4, 1)  # one of the four answers after was not read
    assert (row["followed"], row["against"], row["stayed"]) == (25.0, 25.0, 25.0)
    assert (row["words changed"], row["emotion kept"]) == (10.0, 80.0)
    assert tasks.PITCH.keys() == set(counterfactual.ORDER["pitch"])
