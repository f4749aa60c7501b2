"""Counterfactual recordings."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from helpers.scoring import hum
from safetensors.torch import load_file, save_file
from scipy.signal import lfilter
from typer.testing import CliRunner

from serdesc import f0
from serdesc.captions import writer
from serdesc.captions.fields import Fields
from serdesc.cli import app
from serdesc.config import MeasureConfig
from serdesc.data import audio, datadir, descriptors
from serdesc.errors import UserError
from serdesc.files import read_json, write_json
from serdesc.inference import counterfactual, decode


@pytest.fixture
def fold(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> Path:
    """A trained fold, and its test part's answers beside it."""
    options = [item for setting in tiny_settings for item in ("--set", setting)]
    exp = tmp_path / "exp" / "fold1"
    for command in (["annotate", corpus], ["train", corpus / "fold1" / "train", "live", exp]):
        result = CliRunner().invoke(app, [*map(str, command), *options])
        assert result.exit_code == 0, result.output
    return exp


@pytest.mark.slow
def test_changed_answers_are_those_of_this_model_and_this_sound(
    fold: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        counterfactual, "CHANGES", {"tempo x 1.3": counterfactual.CHANGES["tempo x 1.3"]}
    )
    decoded: list[int] = []
    whole = decode.decode
    monkeypatch.setattr(
        decode,
        "decode",
        lambda model, live, asked, hyp, branches: decoded.append(len(asked))
        or whole(model, live, asked, hyp),
    )
    utterances = datadir.read(corpus / "fold1" / "test")

    def decoded_by(limit: int, settings: list[str] = []) -> list[int]:
        decoded.clear()
        counterfactual.run(utterances, fold, tmp_path / "out", settings, limit)
        return list(decoded)

    with pytest.raises(UserError, match="--limit 0: not 1 or more"):
        decoded_by(0)
    assert decoded_by(1) == [1, 1] and decoded_by(2) == [2, 2]
    assert decoded_by(2) == decoded_by(2, ["scoring.resamples=10"]) == []
    state = fold / "checkpoint" / "state.json"
    state.write_text(state.read_text().replace('"done"', ' "done"'))
    assert decoded_by(2) == []  # the same weights
    weights = load_file(fold / "checkpoint" / "model.safetensors")
    save_file(
        {name: value + 0.1 for name, value in weights.items()},
        fold / "checkpoint" / "model.safetensors",
    )
    about = read_json(state)
    about["files"]["model.safetensors"] = hashlib.sha256(
        (fold / "checkpoint" / "model.safetensors").read_bytes()
    ).hexdigest()[:16]
    write_json(state, about)
    assert decoded_by(2) == [2, 2]
    chosen = {
        path.name.rsplit("-", 1)[0] for path in (tmp_path / "out" / "counterfactual").rglob("*.wav")
    }
    first, second = (utt for utt in utterances if utt.utt_id in chosen)
    soundfile.write(first.wav, hum(0.7), audio.SAMPLE_RATE)
    assert (
        decoded_by(2) == [2, 2]
        and len(list((tmp_path / "out" / "counterfactual").rglob("*.wav"))) == 3
    )
    Path(second.wav).unlink()
    assert decoded_by(2) == [1, 1]
    told = read_json(tmp_path / "out" / "counterfactual.json")
    assert told["utterances"] == 1 and told["changes"][0]["measure moved"] in (
        100,
        None,
    )  # None: the one was called fast already


def test_a_changed_recording_that_was_cut_off_is_not_there(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, *given: object, **more: object) -> None:
        Path(path).write_bytes(b"RIFF")
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", killed)
    utterances = datadir.read(corpus)[:1]
    samples, _ = counterfactual.sample_hashes(utterances)
    with pytest.raises(KeyboardInterrupt):
        counterfactual.transform_all(
            utterances, counterfactual.CHANGES["loudness spread"], tmp_path / "wavs", samples
        )
    assert list((tmp_path / "wavs").iterdir()) == []


@pytest.mark.slow
def test_changes_move_what_they_should() -> None:
    wave = hum()
    wave[8000:20000] *= 0.3
    energy = descriptors.measure(wave, None, MeasureConfig())["energy"]
    made = {name: change.transform(wave) for name, change in counterfactual.CHANGES.items()}
    assert (
        descriptors.measure(made["loudness evened out"], None, MeasureConfig())["energy"] > energy
    )
    assert descriptors.measure(made["loudness spread"], None, MeasureConfig())["energy"] < energy
    for semitones in (4, -4):
        changed = made[f"pitch {semitones:+d} semitones"]
        hertz = f0.median(f0.track(changed, "pyin"))
        assert hertz == pytest.approx(200 * 2 ** (semitones / 12), rel=0.03)
        assert len(changed) == len(wave)
    assert len(made["tempo x 1.3"]) == pytest.approx(len(wave) / 1.3, rel=0.02) and len(
        made["tempo x 0.77"]
    ) > len(wave)
    assert f0.median(f0.track(made["tempo x 1.3"], "pyin")) == pytest.approx(200, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("semitones", [4, -4])
def test_a_shift_of_pitch_keeps_the_formants(semitones: int) -> None:
    """Pulses at 140 Hz through two resonances, which stay where they are."""
    wave = np.zeros(24_000)
    wave[:: 16_000 // 140] = 1.0
    for hertz in (700.0, 1800.0):
        pole = 0.97 * np.exp(2j * np.pi * hertz / 16_000)
        wave = lfilter([1.0], np.real(np.poly([pole, pole.conj()])), wave)
    wave = (0.2 * wave / np.abs(wave).max()).astype(np.float32)
    changed = counterfactual.CHANGES[f"pitch {semitones:+d} semitones"].transform(wave)

    def formants(of: np.ndarray) -> np.ndarray:
        roots = np.roots(librosa.lpc(of[4000:20_000].astype(float), order=6))
        hertz = np.sort(np.angle(roots[np.imag(roots) > 0.01]) * 16_000 / (2 * np.pi))
        return hertz[(hertz > 300) & (hertz < 3000)][:2]

    assert formants(wave) == pytest.approx([700, 1800], rel=0.05)
    assert formants(changed) == pytest.approx(formants(wave), rel=0.06)


def test_a_measure_rises_with_its_field() -> None:
    assert counterfactual.rise(
        "speed", {"speed": 0.2, "pitch": 900}, {"speed": 0.125, "pitch": 900}
    ) == pytest.approx(
        0.075
    )  # seconds a phoneme
    assert counterfactual.rise("speed", {"rate": 3.0}, {"rate": 2.0}) == -1
    assert (
        counterfactual.rise("pitch", {"pitch": 900.0}, {"pitch": 950.0}) == 50
        and counterfactual.rise("energy", {}, {"energy": 1.0}) is None
    )


def test_what_followed_is_counted_by_hand() -> None:
    before = [
        Fields(transcript="a b", emotion="sad", pitch=p)
        for p in ("low", "normal", "high", "low", "normal")
    ]
    after = [replace(f, pitch=p) for f, p in zip(before, ("normal", "low", "low", "low", None))]
    after[0] = replace(after[0], transcript="a c", emotion="happy")
    before[1:3] = [replace(f, gender="female") for f in before[1:3]]
    after[1] = replace(after[1], gender="male")
    after[2] = replace(after[2], gender="female")
    row = counterfactual.followed("pitch +4 semitones", before, after, [10.0, -1.0, 5.0, None, 0.0])
    assert (row["n"], row["at the end"]) == (4, 1)  # one of the four answers after was not read
    assert (row["followed"], row["against"], row["stayed"]) == (25.0, 25.0, 25.0)
    assert (row["words changed"], row["gender kept"], row["emotion kept"]) == (10.0, 50.0, 80.0)
    assert row["measure moved"] == pytest.approx(
        100 / 3, abs=0.01
    )  # of the three that could move and were measured
    assert (
        counterfactual.followed("pitch -4 semitones", before, after, [-1.0] * 5)["measure moved"]
        == 100
    )
    assert writer.PITCH_PHRASES.keys() == set(counterfactual.SCALES["pitch"])


def test_without_praat_nothing_is_decoded(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "config.yaml", {})
    monkeypatch.setitem(sys.modules, "parselmouth", None)
    with pytest.raises(UserError, match=r"praat-parselmouth is needed.*serdesc\[praat\]"):
        counterfactual.run(datadir.read(corpus), tmp_path, tmp_path, [], 3)
