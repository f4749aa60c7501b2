"""Curves of recordings: F0, level, rate and peaks of known sounds."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

from serdesc import config as configs
from serdesc.data import annotate, curves, datadir, descriptors

RATE = 16_000


def numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).astype(float)


def tone(seconds: float, hertz: float, amplitude: float = 0.5) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def test_a_tone_has_its_f0_level_and_peaks() -> None:
    made = curves.of_wave(np.concatenate([tone(1.0, 200.0), np.zeros(RATE, np.float32)]))
    f0, level, peaks = (numbers(made[name]) for name in ("f0", "level", "peaks"))
    assert made["seconds"] == 2.0 and len(f0) == len(level) == 50 and len(peaks) == 100
    hertz = 60 * 10 ** ((f0[5:20] - 1) / 254)
    assert np.abs(hertz / 200 - 1).max() < 0.02 and not f0[30:].any()
    decibels = level[5:20] / 255 * 80 - 80
    assert np.abs(decibels - 20 * np.log10(0.5 / np.sqrt(2))).max() < 0.3 and not level[30:].any()
    assert set(peaks[5:40]) == {127.0, 128.0} or set(peaks[5:40]) == {128.0}


def test_five_bursts_a_second_are_five_syllables_over_the_share_of_speech() -> None:
    t = np.arange(3 * RATE) / RATE
    bursts = 0.5 * (1 - np.cos(2 * np.pi * 5 * t))
    wave = (bursts * tone(3.0, 600.0)).astype(np.float32)
    assert len(curves.syllable_times(wave)) == 15
    rate = numbers(curves.of_wave(wave)["rate"]) * 12 / 255
    share = descriptors.speech_frames(wave).mean()
    assert 0.7 < share < 0.9 and np.abs(rate[15:60] - 5 / share).max() < 0.1


def test_silence_and_the_shortest_wave_have_curves() -> None:
    for samples in (1, 160, 2000):
        made = curves.of_wave(np.zeros(samples, np.float32))
        assert not numbers(made["rate"]).any() and not numbers(made["f0"]).any()


def test_annotate_writes_them_and_a_report_computes_what_is_missing(corpus: Path) -> None:
    annotate.annotate(corpus, configs.Config(), nj=1)
    utterances = datadir.read(corpus)
    written = curves.read(corpus, utterances)
    assert written.keys() == {utt.utt_id for utt in utterances}
    lines = (corpus / curves.NAME).read_text().splitlines(keepends=True)
    (corpus / curves.NAME).write_text("".join(lines[:5]) + lines[5][:40] + "\n")
    found, errors = curves.complete(corpus, utterances, nj=1)
    assert not errors and found == written
    assert curves.read(corpus, utterances) == written


def test_curves_of_audio_that_was_replaced_are_computed_again(corpus: Path) -> None:
    utterances = datadir.read(corpus)
    before, _ = curves.complete(corpus, utterances, nj=1)
    changed = Path(utterances[0].wav)
    changed.write_bytes(Path(utterances[1].wav).read_bytes())
    Path(utterances[2].wav).unlink()
    after, errors = curves.complete(corpus, utterances, nj=1)
    assert after[utterances[0].utt_id]["peaks"] == before[utterances[1].utt_id]["peaks"]
    assert [error.utt_id for error in errors] == [utterances[2].utt_id]
    assert utterances[2].utt_id not in after


def test_the_key_writes_none(corpus: Path) -> None:
    annotate.annotate(corpus, configs.load(settings=["report.curves=false"]), nj=1)
    assert not (corpus / curves.NAME).exists()
    assert json.loads((corpus / "measure.json").read_text())["pitch"] == "f0"
