"""The built-in models: small, documented, loaded as any others are, and without knowledge of what
they are tested on.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Callable

import numpy as np
import pytest
import soundfile
import soxr
import torch
from typer.testing import CliRunner

from serdesc import builtin
from serdesc.cli import app
from serdesc.config import EncoderConfig, LlmConfig
from serdesc.data import acting, audio, espeak
from serdesc.data.corpora import librispeech, mini, speechocean
from serdesc.features.encoder import Encoder
from serdesc.models import llm as llms

ROOT = Path(__file__).parents[1]
HELD = set((ROOT / "egs/builtin/conf/heldout_speakers.txt").read_text().split())


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "egs/builtin/local" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_four_models_with_a_card_each_in_twenty_megabytes() -> None:
    assert builtin.names() == ["describer-base", "describer-mini", "hubert-mini", "llama-mini"]
    files = [p for p in builtin.FOLDER.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files if p.suffix == ".safetensors") <= 20e6
    for name in builtin.names():
        card = (builtin.FOLDER / name / "README.md").read_text()
        assert all(
            word in card.lower() for word in ("data", "licence", "command", "seconds", "held-out")
        ), name


def test_they_load_as_any_other_model_does() -> None:
    encoder = Encoder.load(EncoderConfig(model="hubert-mini"), torch.device("cpu"))
    assert encoder.batchable
    llm, tokenizer = llms.load(LlmConfig(model="llama-mini", dtype="float32"))
    assert llms.embeddings(llm).num_embeddings == len(tokenizer)


def test_the_better_describer_is_taken_where_its_models_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERDESC_MODELS", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    assert builtin.missing("describer-mini") == []
    for folder, published in (
        ("a/whisper-base", "openai/whisper-base"),
        ("b/smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    ):
        assert builtin.describer() == "describer-mini"
        assert published in builtin.missing("describer-base")
        assert builtin.resolve(published) == published
        (tmp_path / folder).mkdir(parents=True)
        assert builtin.resolve(published) == published  # without a configuration it is not complete
        (tmp_path / folder / "config.json").write_text("{}")
        assert builtin.resolve(published) == str(tmp_path / folder)
    assert builtin.resolve("openai/whisper-small") == "openai/whisper-small"
    assert builtin.describer() == "describer-base"
    monkeypatch.setenv("SERDESC_MODELS", str(tmp_path / "c"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: "config.json")
    assert builtin.describer() == "describer-base"  # from the hub's cache


def test_hubert_minis_frames_by_the_convolution_formula() -> None:
    encoder = Encoder.load(EncoderConfig(model="hubert-mini"), torch.device("cpu"))
    for samples in (8000, 16_000, 70_400):
        frames = samples
        for kernel, stride in ((20, 10), (8, 4), (6, 4), (4, 2)):
            frames = (frames - kernel) // stride + 1
        assert encoder.frames(samples) == frames and encoder([np.ones(samples, np.float32)])[
            0
        ].shape == (6, frames, 192)
    assert encoder.identity()["frame_rate"] == 50


def test_none_of_minis_voices_and_sentences_is_in_what_they_learnt_from() -> None:
    speech = script("make_speech")
    assert not {voice for pair in mini.VOICES for voice in pair} & {*speech.FEMALE, *speech.MALE}
    sentences = {line.text for line in mini.lines()}
    made = speech.lines(["a few words that are read aloud by somebody", *sorted(sentences)])
    assert not {line.text for line in made} & sentences
    assert len({line.utt_id for line in made}) == len(made) > 3000


def test_held_out_speakers_are_one_of_librispeech_and_every_fifth_of_speechocean(
    real_data: Callable[[str], Path],
) -> None:
    read_by = {u.spk for u in librispeech.utterances(real_data("librispeech_3spk"))}
    spoken_by = sorted({u.spk for u in speechocean.utterances(real_data("speechocean762"))})
    assert HELD & read_by == {"27"} and HELD & set(spoken_by) == set(spoken_by[4::5])


def test_llama_mini_read_nothing_of_mini(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Its training sentences, taken as its script takes them, hold none of mini's and of RAVDESS's."""
    from serdesc.data import datadir
    from serdesc.data.corpora import ravdess

    llama = script("pretrain_llama")
    sentences = {line.words for line in mini.lines()}
    said = [u for u in librispeech.utterances(real_data("librispeech_3spk")) if u.spk not in HELD][
        :20
    ]
    planted = [
        said[0].__class__(f"p{i}", "x.wav", "p", text=" ".join(words))
        for i, words in enumerate(sorted(sentences)[:5])
    ]
    datadir.write(tmp_path / "d", [*said, *planted])
    read = set(llama.sentences(tmp_path / "d"))
    assert read and not read & sentences
    assert not {" ".join(words) for words in read} & set(ravdess.STATEMENTS.values())


def test_a_newcomer_reads_a_caption(tmp_path: Path) -> None:
    """Of speech at another rate and in stereo, by one of mini's voices, which the model never
    heard.
    """
    spoken = next(line for line in mini.lines() if line.utt_id == "01F-01-sad")
    espeak.run_forked(lambda _: acting.write(spoken, tmp_path / "mine.wav"), [0])
    wave = soxr.resample(audio.load(tmp_path / "mine.wav"), audio.SAMPLE_RATE, 44_100)
    soundfile.write(
        tmp_path / "mine.flac", np.repeat(0.9 * wave[:, None], 2, axis=1).clip(-1, 1), 44_100
    )
    result = CliRunner().invoke(app, ["describe", str(tmp_path / "mine.flac"), "--json"])
    assert result.exit_code == 0, result.output
    row = json.loads(next(line for line in result.output.splitlines() if line.startswith("{")))
    assert row["caption"].endswith(".") and row["fields"]


@pytest.mark.parametrize("name", ["librispeech_3spk/train-clean-100/27"])
def test_real_speech_is_described_with_a_transcript(
    real_data: Callable[[str], Path], name: str
) -> None:
    clips = [str(p) for p in sorted(real_data(name).rglob("*.opus"))[:2]]
    result = CliRunner().invoke(app, ["describe", *clips, "--json"])
    rows = [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]
    assert len(rows) == 2 and all(
        {"pitch", "energy", "speed"} <= set(row["fields"]) for row in rows
    )
    assert any("transcript" in row["fields"] for row in rows)


def test_describer_base_names_emotion_and_sex_of_speakers_it_never_heard(
    real_models: Callable[[str], Path], real_data: Callable[[str], Path]
) -> None:
    real_models("whisper-base"), real_models("smollm2-135m-instruct")
    folder = real_data("ravdess")
    clips = []
    for actor in ("07", "08"):
        for kind in ("01-01", "03-02", "04-02", "05-02"):  # neutral, happy, sad, angry
            clips += sorted(folder.glob(f"Actor_{actor}/03-01-{kind}-01-01-{actor}.*"))
    options = ["--json", "--model", "describer-base"]
    result = CliRunner().invoke(app, ["describe", *map(str, clips), *options])
    assert result.exit_code == 0, result.output
    found = [json.loads(line)["fields"] for line in result.stdout.splitlines()]
    assert len(found) == 8 and all("emotion" in fields for fields in found)
    sexes = ["male"] * 4 + ["female"] * 4
    assert sum(fields.get("gender") == sex for fields, sex in zip(found, sexes)) >= 7
    assert len({fields["emotion"] for fields in found}) > 1
