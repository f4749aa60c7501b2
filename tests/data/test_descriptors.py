"""Measures of pitch, energy and speed, and their labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import librosa
import numpy as np
import pytest

from serdesc import config as configs
from serdesc.data import descriptors, espeak
from serdesc.data.datadir import Utterance


def test_pitch_measure_rises_with_the_tone_and_energy_ignores_gain() -> None:
    t = np.arange(16_000) / 16_000
    low, high = (np.sin(2 * np.pi * f * t).astype(np.float32) for f in (300.0, 900.0))
    settings = configs.MeasureConfig()
    assert abs(descriptors.measure(low, None, settings)["pitch"] - 300) < 15
    assert abs(descriptors.measure(high, None, settings)["pitch"] - 900) < 15
    a, b = descriptors.measure(high, None, settings), descriptors.measure(
        high * 0.01, None, settings
    )
    assert a["energy"] == pytest.approx(b["energy"], abs=1e-3)


def test_energy_measure_falls_with_pauses_and_trimming_raises_it() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.1, 32_000).astype(np.float32)
    paused = noise * (np.arange(32_000) // 4000 % 2)
    edged = np.concatenate([np.zeros(16_000, np.float32), noise])
    plain = configs.MeasureConfig()
    assert (
        descriptors.measure(paused, None, plain)["energy"]
        < descriptors.measure(noise, None, plain)["energy"] - 0.1
    )
    trimmed = descriptors.measure(edged, None, configs.MeasureConfig(trim=True))["energy"]
    assert trimmed > descriptors.measure(edged, None, plain)["energy"] + 0.1


@pytest.mark.slow
def test_a_true_f0_and_syllables_by_key() -> None:
    t = np.arange(32_000) / 16_000
    for hertz in (110.0, 220.0):
        wave = sum(0.1 * np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 12)).astype(
            np.float32
        )
        measured = descriptors.measure(
            wave,
            "my sister is painting seven windows",
            configs.MeasureConfig(pitch="f0", speed="syllable"),
        )
        assert measured["pitch"] == pytest.approx(hertz, rel=0.02) and measured[
            "rate"
        ] == pytest.approx(10 / 2)
        assert "speed" not in measured
    slow = librosa.effects.time_stretch(wave, rate=0.5)
    assert descriptors.measure(slow, "seven", configs.MeasureConfig(speed="syllable"))[
        "rate"
    ] == pytest.approx(2 / 4)
    assert "pitch" not in descriptors.measure(
        np.zeros(16_000, np.float32), None, configs.MeasureConfig(pitch="f0")
    )
    rates = [Utterance(f"u{i}", "", "s", measure={"rate": float(i)}) for i in range(9)]
    assert [descriptors.labels(utt, descriptors.fit(rates)).speed for utt in rates] == [
        "slow"
    ] * 3 + ["normal"] * 3 + ["fast"] * 3


def test_speed_measure_is_seconds_a_phoneme_and_only_the_first_seconds_are_measured() -> None:
    assert espeak.phonemes("kids are talking") == [
        "k",
        "I",
        "d",
        "z",
        "A@",
        "t",
        "O",
        "k",
        "I",
        "N",
    ] or len(espeak.phonemes("kids are talking")) in (
        10,
        11,
    )
    rng = np.random.default_rng(2)
    wave = rng.normal(0, 0.1, 16_000).astype(np.float32)
    settings = configs.MeasureConfig()
    count = len(espeak.phonemes("one two three"))
    assert descriptors.measure(wave, "one two three", settings)["speed"] == pytest.approx(
        1 / count, rel=1e-3
    )
    assert descriptors.measure(np.tile(wave, 2), "one two three", settings)[
        "speed"
    ] == pytest.approx(2 / count, rel=1e-3)
    assert "speed" not in descriptors.measure(wave, "", settings)
    first = descriptors.measure(wave, None, configs.MeasureConfig(seconds=0.5))
    assert first == descriptors.measure(
        np.concatenate([wave[:8000], wave[:8000] * 3]), None, configs.MeasureConfig(seconds=0.5)
    )


def test_bins_by_sex_and_thirds_ties_below() -> None:
    def utt(i: int, gender: str) -> Utterance:
        return Utterance(
            f"u{i:03d}",
            "",
            "s",
            gender=gender,
            measure={"pitch": float(i), "energy": float(i), "speed": float(i)},
        )

    training = [utt(i, gender) for gender in ("female", "male") for i in range(101)]
    thresholds = descriptors.fit(training)
    assert thresholds.pitch == {"female": (10.0, 60.0), "male": (40.0, 90.0)}
    assert thresholds.energy == pytest.approx((33.333, 66.667), abs=0.5)
    said = {
        (g, i): descriptors.labels(utt(i, g), thresholds)
        for g in ("female", "male")
        for i in (10, 11, 40, 60, 61, 90, 91)
    }
    assert [said["female", i].pitch for i in (10, 11, 60, 61)] == [
        "low",
        "normal",
        "normal",
        "high",
    ]
    assert [said["male", i].pitch for i in (40, 60, 90, 91)] == ["low", "normal", "normal", "high"]
    assert (said["male", 10].speed, said["male", 40].speed, said["male", 91].speed) == (
        "fast",
        "normal",
        "slow",
    )
    alone = descriptors.fit([utt(5, "male")])
    assert (
        descriptors.labels(utt(5, "male"), alone).pitch == "low"
        and descriptors.labels(utt(5, "female"), alone).pitch is None
    )


def test_official_speechcraft_labels_are_reproduced(real_data: Callable[[str], Path]) -> None:
    """All 220 strings, letter by letter, from the published raw values."""
    folder = real_data("speechcraft")
    rows = [
        line.split("\t")[1:] for line in (folder / "labels_LJspeech_0.scp").read_text().splitlines()
    ]
    utterances = [
        Utterance(
            utt_id, "", utt_id, text=text.strip(), age=float(age), gender={"f": "female", "m": "male"}[gender[0].lower()], emotion=emotion,
            measure={"pitch": float(pitch), "energy": float(energy), "speed": float(speed)},
        )
        for utt_id, age, gender, pitch, energy, speed, emotion, text in rows
    ]  # fmt: skip
    thresholds = descriptors.fit(utterances)
    official = json.loads((folder / "labels_LJspeech_0.json").read_text())
    assert len(official) == len(utterances) == 220
    for utt in utterances:
        f = descriptors.labels(utt, thresholds)
        said = {
            "age": str(f.age).capitalize(),
            "gender": f.gender,
            "pitch": f.pitch,
            "volume": f.energy,
            "speed": f.speed,
            "emotion": f.emotion,
        }
        string = (
            "\t".join(f"{key}:{value}" for key, value in said.items())
            + f"\ttranscription: {utt.text}"
        )
        assert string == official[f"LJSpeech_{utt.utt_id}"]["labels"]
