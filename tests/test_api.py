"""The Python interface: the example of README, values, errors, and a fast import."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import serdesc
from serdesc import config as configs
from serdesc.captions.fields import Fields

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fold(parts: Path) -> Path:
    """A fold's test part, and hypotheses that are its reference captions."""
    lines = (parts / "fold1/test/utt2cap").read_text().splitlines()
    rows = [dict(zip(("utt_id", "response"), line.split(" ", 1))) for line in lines]
    hyp = parts / "hyp.jsonl"
    hyp.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return parts / "fold1/test"


def test_the_example_of_readme_runs(
    fold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder with a recording and an experiment where the example expects them."""
    section = (ROOT / "README.md").read_text().split("## In Python\n")[1].split("\n## ")[0]
    folder = tmp_path / "checkout"
    shutil.copytree(fold, folder / "egs/mini/data/mini/fold1/test")
    exp = folder / "egs/mini/exp/mini/fold1"
    (exp / "decode_test").mkdir(parents=True)
    configs.dump(configs.Config(), exp / "config.yaml")
    shutil.copy(fold.parents[1] / "hyp.jsonl", exp / "decode_test")
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000)
    soundfile.write(folder / "my_voice.wav", noise, 16_000)
    monkeypatch.chdir(folder)
    code = "\n".join(line.removeprefix("    ") for line in section.splitlines())
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "low " in printed and "sad" in printed and "ua" in printed and "wer" in printed


def test_captions_are_read_and_rendered() -> None:
    fields = {"transcript": "no", "emotion": "sad", "pitch": "low", "gender": "male"}
    caption = serdesc.render_caption(fields, "seed")
    assert serdesc.read_caption(caption) == Fields.from_dict(fields)
    assert serdesc.render_caption(Fields(emotion="sad")) == serdesc.render_caption(
        {"emotion": "sad"}
    )
    with pytest.raises(serdesc.UserError, match="'mood' is no field; known are transcript"):
        serdesc.render_caption({"mood": "sad"})
    with pytest.raises(serdesc.UserError, match="pitch is 'medium': it must be one of low"):
        serdesc.render_caption({"pitch": "medium"})


def test_recordings_are_described_one_or_many(tmp_path: Path) -> None:
    """A path, samples of one or two channels at any rate, and lists give the same captions."""
    t = np.arange(20_000) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * 200 * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
    soundfile.write(tmp_path / "tone.wav", tone, 16_000, subtype="DOUBLE")
    described = serdesc.describe(tmp_path / "tone.wav")
    assert described.seconds == 1.25 and described.audio.endswith("tone.wav")
    assert described.fields == serdesc.read_caption(described.caption)
    stereo = np.stack([tone, tone], axis=1)
    for other in serdesc.describe([tone, stereo], rate=16_000):
        assert other.caption == described.caption
    integers = (tone * 32_768).astype(np.int16)
    assert serdesc.describe(integers, rate=16_000).seconds == 1.25
    with pytest.raises(serdesc.UserError, match="sampling rate"):
        serdesc.describe(tone)
    with pytest.raises(serdesc.FailedError, match="silent"):
        serdesc.describe(np.zeros(16_000), rate=16_000)
    with pytest.raises(serdesc.UserError, match="no built-in model of that name"):
        serdesc.describe(tone, rate=16_000, model="nowhere")


@pytest.mark.slow
def test_data_and_scores_are_frames(fold: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = serdesc.load_data(fold)
    assert list(data.index) == sorted(data.index) and data.index.name == "utt_id"
    assert set(data["label_emotion"]) == {"angry", "happy", "sad"} and "age" not in data
    scores = serdesc.score(fold, fold.parents[1] / "hyp.jsonl")
    assert scores.loc["ua", "value"] == 100 and scores.loc["ua", "n"] == len(data) == 6
    assert (
        scores.loc["wer", "value"] == 0
        and f"serdesc:{serdesc.__version__}" in scores.loc["wer", "signature"]
    )
    assert not (fold.parents[1] / "score.json").exists() and capsys.readouterr().out == ""
    with pytest.raises(serdesc.UserError, match="no such data directory"):
        serdesc.load_data(fold / "nowhere")


def test_an_experiment_is_loaded(lab: object, tmp_path: Path) -> None:
    exp = lab.train("exp")  # type: ignore[attr-defined]
    lab.captions(exp)  # type: ignore[attr-defined]
    loaded = serdesc.load_experiment(exp)
    assert loaded.finished and loaded.config.branch.latent == 4 and loaded.scores == {}
    assert list(loaded.log["phase"].unique()) == ["content", "descriptor"]
    assert isinstance(loaded.hypotheses["test"], pd.DataFrame) and loaded.environment["python"]
    with pytest.raises(serdesc.UserError, match="no experiment there"):
        serdesc.load_experiment(tmp_path)


def test_importing_serdesc_is_light() -> None:
    """No torch, transformers, pandas or numpy before a function needs them; names are complete."""
    code = (
        "import sys, serdesc; heavy = {'torch', 'transformers', 'pandas', 'librosa'} &"
        " sys.modules.keys(); assert not heavy, heavy; serdesc.read_caption('x'); assert 'torch'"
        " not in sys.modules; assert all(getattr(serdesc, name) for name in serdesc.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'descripe'"):
        serdesc.descripe  # noqa: B018
    assert not hasattr(serdesc, "nothing")
