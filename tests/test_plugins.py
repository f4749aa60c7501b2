"""One thing, one file: a corpus, a metric, a descriptor, a system, an encoder and an LLM, each
added from a folder that is not the package's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from serdesc import config as configs
from serdesc.captions import reader, traits, writer
from serdesc.captions.fields import EMOTIONS, PITCH, Fields
from serdesc.captions.traits import Trait, intonation, melody
from serdesc.config import TargetConfig
from serdesc.data import descriptors
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError
from serdesc.scoring import metrics

CORPUS = """
from serdesc.data.datadir import Utterance

def utterances(src, config):
    for i, path in enumerate(sorted(src.glob("*.wav"))):
        emotion = ("angry", "sad")[i % 2]
        yield Utterance(path.stem, str(path), f"s{i % 4}", text="say now", session=f"session{i % 2}", emotion=emotion, gender="female")
"""
TRAIT = """
from serdesc.traits import Trait

TRAIT = Trait(
    values=("dark", "mixed", "bright"),
    phrases={"dark": ("in dark colours",), "mixed": ("in mixed colours",), "bright": ("in bright colours",)},
    measure=lambda wave: float(abs(wave[1:] - wave[:-1]).mean() / (abs(wave).mean() + 1e-9)),
)
"""
METRIC = """
from serdesc.scoring.metric import Metric

METRICS = [
    Metric(
        "spoken", "spoken %", lambda ref, hyp: {"n": 1, "sum": int(hyp.transcript is not None)}, lambda total: 100 * total["sum"] / total["n"]
    )
]
"""
SYSTEM = "system: wide_beta\ntraining: {beta: 10}\n"


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    for kind, name, text in (
        ("corpora", "tones.py", CORPUS), ("traits", "colour.py", TRAIT), ("metrics", "spoken.py", METRIC), ("systems", "wide_beta.yaml", SYSTEM),
    ):  # fmt: skip
        (folder / kind).mkdir(parents=True)
        (folder / kind / name).write_text(text)
    return folder


@pytest.mark.slow
def test_each_is_one_file_in_a_folder_of_ones_own(
    plugins: Path, tmp_path: Path, tone: Callable[..., Path], tiny_settings: list[str]
) -> None:
    """From waves to scores through the command line alone: the corpus is prepared, the trait
    measured, trained, said, read and scored.
    """
    for i in range(8):
        tone(f"t{i}.wav", seconds=0.5 + 0.1 * i, pitch=110.0 + 60 * i)
    settings = [
        part
        for setting in [*tiny_settings, "measure.traits=[colour]"]
        for part in ("--set", setting)
    ]
    own = ["--config", "wide_beta", *settings]

    def serdesc(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "serdesc.cli", *command], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "SERDESC_PLUGINS": str(plugins), "PYTHONPATH": str(Path(configs.__file__).parents[1])},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    serdesc("prepare", "tones", str(tmp_path), "data", *own)
    serdesc("annotate", "data", *own)
    labels = [
        json.loads(line)
        for line in (tmp_path / "data/fold1/test/utt2sed.jsonl").read_text().splitlines()
    ]
    captions = (tmp_path / "data/fold1/test/utt2cap").read_text()
    assert {row["colour"] for row in labels} <= {"dark", "mixed", "bright"} and captions.count(
        "colours"
    ) == len(labels) == 4
    serdesc("train", "data/fold1/train", "live", "exp/fold1", *own)
    assert (
        "beta: 10.0" in (tmp_path / "exp/fold1/config.yaml").read_text()
        and "system: wide_beta" in (tmp_path / "exp/fold1/config.yaml").read_text()
    )
    serdesc("decode", "data/fold1/test", "live", "exp/fold1")
    answers = [
        {"utt_id": line.split(" ", 1)[0], "response": line.split(" ", 1)[1]}
        for line in captions.splitlines()
    ]
    (tmp_path / "hyp.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    serdesc(
        "score",
        "data/fold1/test",
        "--hyp",
        "hyp.jsonl",
        "--metric",
        "spoken,colour,colour_kappa",
        *own,
    )
    scores = {
        row["metric"]: row["value"]
        for row in json.loads((tmp_path / "score.json").read_text())["scores"]
    }
    assert scores["spoken"] == 100 and scores["colour"] == 100


@pytest.mark.slow
def test_an_encoder_and_an_llm_of_a_known_family_are_a_folder(
    tmp_path: Path, tone: Callable[..., Path], tiny_settings: list[str]
) -> None:
    """WavLM and wav2vec2 in the encoder's place, Qwen in the LLM's: their folders are named,
    nothing is written.
    """
    import torch
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers import models as pieces
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2Config,
        Qwen2ForCausalLM,
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Model,
        WavLMConfig,
        WavLMModel,
    )  # fmt: skip

    from serdesc import models
    from serdesc.features.encoder import Encoder

    torch.manual_seed(0)
    small = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "conv_dim": (8,) * 7, "conv_bias": True,
        "feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
    }  # fmt: skip
    bpe = Tokenizer(
        pieces.BPE(
            vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))},
            merges=[],
        )
    )
    bpe.pre_tokenizer, bpe.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    bpe.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
    PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|endoftext|>", eos_token="<|im_end|>"
    ).save_pretrained(tmp_path / "qwen")
    qwen = Qwen2Config(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    Qwen2ForCausalLM(qwen).save_pretrained(tmp_path / "qwen")
    wave = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    for name, model in (
        ("wavlm", WavLMModel(WavLMConfig(**small))),
        ("wav2vec2", Wav2Vec2Model(Wav2Vec2Config(**small))),
    ):
        model.save_pretrained(tmp_path / name)
        Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(
            tmp_path / name
        )
        config = configs.load(
            settings=[
                *tiny_settings,
                f"encoder.model={tmp_path / name}",
                f"llm.model={tmp_path / 'qwen'}",
            ]
        )
        encoder = Encoder.load(config.encoder, torch.device("cpu"))
        (x,) = encoder([wave])
        assert x.shape == (2, 49, 16)
        describer = models.build(config, encoder.layers, encoder.width)
        assert len(describer.generate(x[None], torch.tensor([49]), 4)) == 1
        loss = describer(x[None], torch.tensor([49]), ["so"], "descriptor")
        assert loss.tokens == 3 and bool(torch.isfinite(loss.llm))


@pytest.mark.parametrize("name", traits.by_name())
def test_a_traits_phrases_are_read_from_every_caption_and_disturb_nothing(name: str) -> None:
    """read(render(u)) == u with each phrase, beside every other field."""
    for value in traits.by_name()[name].values:
        for i, emotion in enumerate(EMOTIONS):
            fields = Fields(
                "it is over",
                emotion,
                PITCH[i % 3],
                "high",
                "slow",
                None,
                "female",
                ("over",),
                more=((name, value),),
            )
            for seed in range(12):
                caption = writer.render(fields, str(seed))
                assert reader.read(caption) == fields, caption
                start, end = reader.explain(caption).spans[name]
                assert caption[start:end] in traits.by_name()[name].phrases[value]
        assert writer.select(fields, TargetConfig(descriptors=False)).more == ()


def test_melody_is_the_deviation_of_f0_in_semitones() -> None:
    t = np.arange(2 * 16_000) / 16_000
    steady = np.sin(2 * np.pi * 200 * t)
    swing = 12 * np.log2(
        1.26
    )  # four semitones up and down, a sine: its deviation is four over the root of two
    moving = np.sin(2 * np.pi * np.cumsum(200 * 2 ** (swing / 12 * np.sin(2 * np.pi * t))) / 16_000)
    assert melody.measure(steady) == pytest.approx(0, abs=0.1)
    assert melody.measure(moving) == pytest.approx(swing / np.sqrt(2), rel=0.1)
    assert melody.measure(np.zeros(16_000)) is None
    measured = descriptors.measure(
        moving.astype(np.float32), None, configs.load(settings=["measure.traits=[melody]"]).measure
    )
    assert measured["melody"] == pytest.approx(melody.measure(moving), abs=0.05)


def test_intonation_is_where_the_f0_goes() -> None:
    """Two seconds of harmonics whose F0 follows a curve in semitones over 150 Hz."""
    t = np.arange(2 * 16_000) / 16_000
    curves = {
        "rising": np.where(t < 1.4, 0, 8 * (t - 1.4)),
        "falling": np.where(t < 1.4, 3, 3 - 8 * (t - 1.4)),
        "flat": 0.3 * np.sin(2 * np.pi * t),
        "varied": np.where(t < 1.2, 4 * np.sin(2 * np.pi * t), 0),
    }
    for expected, semitones in curves.items():
        phase = 2 * np.pi * np.cumsum(150 * 2 ** (semitones / 12)) / 16_000
        wave = sum(0.1 * np.sin(k * phase) / k for k in range(1, 15)).astype(np.float32)
        assert intonation.measure(wave) == expected
    assert intonation.measure(np.zeros(16_000, np.float32)) is None
    settings = configs.load(settings=["measure.traits=[intonation]"]).measure
    utterances = [Utterance("a", "", "s", measure=descriptors.measure(wave, None, settings))]
    thresholds = descriptors.fit(utterances)
    assert descriptors.labels(utterances[0], thresholds).intonation == "varied"
    assert "intonation" not in thresholds.more


def test_a_trait_has_three_ordered_values_or_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="a, b, c, d: a measured number has three values"):
        Trait(values=("a", "b", "c", "d"), phrases={}, measure=lambda wave: 1.0)
    names = {metric.name for metric in metrics.every()}
    assert "melody_kappa" in names and "intonation_kappa" not in names
    wrong = replace(intonation.TRAIT, measure=lambda wave: "sideways")
    monkeypatch.setitem(traits.by_name(), "intonation", wrong)
    settings = configs.load(settings=["measure.traits=[intonation]"]).measure
    with pytest.raises(FailedError, match="intonation: its function returned 'sideways'"):
        descriptors.measure(np.zeros(16_000, np.float32), None, settings)
