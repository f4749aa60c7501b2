"""Measures of pitch, energy and speed, and their labels."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Callable

import librosa
import numpy as np
import pytest

from serdesc import config as configs
from serdesc import f0
from serdesc.data import descriptors, espeak
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError


def test_pitch_measure_rises_with_the_tone_and_energy_ignores_gain() -> None:
    t = np.arange(16_000) / 16_000
    low, high = (np.sin(2 * np.pi * f * t).astype(np.float32) for f in (300.0, 900.0))
    settings = configs.MeasureConfig(pitch="piptrack")
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
            configs.MeasureConfig(speed="syllable", speech_time="whole"),
        )
        assert measured["pitch"] == pytest.approx(hertz, rel=0.02) and measured[
            "rate"
        ] == pytest.approx(10 / 2)
        assert "speed" not in measured
    slow = librosa.effects.time_stretch(wave, rate=0.5)
    by_syllable = configs.MeasureConfig(speed="syllable", speech_time="whole")
    assert descriptors.measure(slow, "seven", by_syllable)["rate"] == pytest.approx(2 / 4)
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
    assert (thresholds.pitch["female"], thresholds.pitch["male"]) == ((10.0, 60.0), (40.0, 90.0))
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


def tones(hertz: float, seconds: float, tilt: float) -> np.ndarray:
    """Harmonics up to 8 kHz whose amplitude falls with their number to the power of `tilt`."""
    t = np.arange(int(16_000 * seconds)) / 16_000
    numbers = np.arange(1, int(7900 / hertz))
    wave = (numbers[:, None] ** -tilt * np.sin(2 * np.pi * hertz * numbers[:, None] * t)).sum(0)
    return (0.1 * wave / np.abs(wave).max()).astype(np.float32)


def test_pitch_is_the_f0_whatever_the_tilt_of_the_spectrum() -> None:
    by_f0, by_peaks = [], []
    for tilt in (0.2, 0.7, 1.2, 2.0):
        wave = tones(130, 1.0, tilt)
        by_f0.append(descriptors.measure(wave, None, configs.MeasureConfig())["pitch"])
        settings = configs.load(settings=["measure.pitch=speechcraft"]).measure
        assert settings.pitch == "piptrack"
        by_peaks.append(descriptors.measure(wave, None, settings)["pitch"])
    assert by_f0 == pytest.approx([130] * 4, rel=0.01)
    assert max(by_peaks) > 2 * min(by_peaks)


def test_too_little_voice_gets_no_pitch() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.02, 16_000).astype(np.float32)
    settings = configs.MeasureConfig()
    assert "pitch" not in descriptors.measure(noise, None, settings)
    assert "pitch" not in descriptors.measure(np.zeros(16_000, np.float32), None, settings)
    assert "pitch" not in descriptors.measure(noise[:500], None, settings)
    for seconds, voiced in ((0.1, False), (0.5, True)):
        part = noise.copy()
        part[4000 : 4000 + int(16_000 * seconds)] = tones(200, seconds, 1.0)
        assert ("pitch" in descriptors.measure(part, None, settings)) == voiced


def test_speed_leaves_pauses_out_and_a_level_is_in_decibels() -> None:
    wave = tones(150, 2.0, 1.0)
    paused = np.concatenate([wave[:16_000], np.zeros(16_000, np.float32), wave[16_000:]])
    text = "one two three four"
    gated = [descriptors.measure(w, text, configs.MeasureConfig())["speed"] for w in (wave, paused)]
    assert gated[0] == pytest.approx(gated[1], rel=0.02)
    whole = configs.MeasureConfig(speech_time="whole")
    assert descriptors.measure(paused, text, whole)["speed"] == pytest.approx(
        1.5 * gated[0], rel=0.02
    )
    level = configs.MeasureConfig(energy="level")
    loud, soft, with_pause = (
        descriptors.measure(w, None, level)["energy"] for w in (wave, wave / 10, paused)
    )
    assert loud - soft == pytest.approx(20, abs=0.01) and with_pause == pytest.approx(loud, abs=0.2)
    assert loud == pytest.approx(20 * np.log10(np.sqrt((wave**2).mean())), abs=0.1)


def test_unknown_sex_is_compared_with_all_speakers() -> None:
    training = [
        Utterance(f"{sex}{i}", "", "s", gender=sex, measure={"pitch": base + i})
        for sex, base in (("male", 100.0), ("female", 200.0), (None, 150.0))
        for i in range(30)
    ]
    thresholds = descriptors.fit(training)
    values = sorted(u.measure["pitch"] for u in training if u.measure)
    low, high = np.percentile(values, [100 / 3, 200 / 3])
    assert thresholds.pitch["unknown"] == (low, high)
    middle = Utterance("x", "", "s", measure={"pitch": (low + high) / 2})
    assert descriptors.labels(middle, thresholds).pitch == "normal"
    assert descriptors.labels(replace(middle, gender="male"), thresholds).pitch == "high"


@pytest.mark.parametrize("tracker", ["pyin", "praat"])
def test_trackers_find_a_glide(tracker: f0.Tracker) -> None:
    t = np.arange(16_000) / 16_000
    hertz = 120 * 2 ** (t / 2)  # six semitones up in a second
    phase = 2 * np.pi * np.cumsum(hertz) / 16_000
    wave = sum(0.1 * np.sin(k * phase) / k for k in range(1, 20)).astype(np.float32)
    found = f0.track(wave, tracker)
    assert found.voiced.mean() > 0.8
    at = np.flatnonzero(found.voiced)[5:-5]
    begin = 0.0 if tracker == "pyin" else (1.0 - (len(found.f0) - 1) * found.hop) / 2
    assert found.f0[at] == pytest.approx(120 * 2 ** ((begin + at * found.hop) / 2), rel=0.03)
    assert f0.median(found) == pytest.approx(120 * 2 ** (1 / 4), rel=0.03)


def test_an_absent_tracker_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(UserError, match=r"pyworld is needed.*pip install \"serdesc\[world\]\""):
        f0.track(np.zeros(16_000), "world")
