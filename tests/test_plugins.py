"""One thing, one file: a corpus, a metric, a descriptor, a system, an encoder and an LLM, each
added from a folder that is not the package's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from serdesc import config as configs
from serdesc.captions import reader, traits, writer
from serdesc.captions.fields import EMOTIONS, PITCH, Fields
from serdesc.captions.traits import melody
from serdesc.config import TargetConfig
from serdesc.data import descriptors

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
