"""Fixtures: made-up speech, tiny models with random weights in Hugging Face's format, and folders of real data where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "tools" / "venv" / "numba"))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _folder(variable: str, default: str) -> Callable[[str], Path]:
    """A folder below the one that an environment variable names; tests that need it are skipped where it is absent."""
    base = Path(os.environ.get(variable, ROOT.parent / "shared" / default))

    def find(name: str) -> Path:
        if not (base / name).exists():
            pytest.skip(f"no {name} in {variable} ({base})")
        return base / name

    return find


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    return _folder("SERDESC_DATA", "data")


@pytest.fixture(scope="session")
def real_models() -> Callable[[str], Path]:
    return _folder("SERDESC_MODELS", "models")


@pytest.fixture(scope="session")
def real_spice() -> Path:
    """The folder with SPICE's CoreNLP jars."""
    return _folder("SERDESC_SPICE", "spice")("golden.jsonl").parent


@pytest.fixture
def tone(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of decaying tones and return its path."""

    def write(name: str = "tone.wav", seconds: float = 1.0, rate: int = 16_000, channels: int = 1, pitch: float = 220.0, **options: str) -> Path:
        t = np.arange(int(seconds * rate)) / rate
        wave = 0.3 * np.sin(2 * np.pi * pitch * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
        path = tmp_path / name
        soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate, **options)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HuBERT of random weights with a layer-norm front end, as HuBERT-large has."""
    import torch
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    folder = tmp_path_factory.mktemp("hubert")
    torch.manual_seed(0)
    model = HubertModel(
        HubertConfig(
            hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, conv_dim=(8,) * 7, conv_bias=True,
            feat_extract_norm="layer", do_stable_layer_norm=True, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
        )  # fmt: skip
    )
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights with a byte tokenizer in llama-mini's turn markers."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from serdesc.models.prompt import TURNS

    folder = tmp_path_factory.mktemp("llama")
    turns = TURNS["<|hears|>"]
    marks = ["<|pad|>", turns.system, turns.user, turns.assistant, turns.end]
    vocabulary = {token: i for i, token in enumerate([*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(marks)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=marks[0], eos_token=turns.end)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=1024,
        )  # fmt: skip
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_settings(tiny_encoder: Path, tiny_llm: Path) -> list[str]:
    """`--set` values for a model that trains in seconds."""
    return [
        f"encoder.model={tiny_encoder}", f"llm.model={tiny_llm}", "llm.dtype=float32", "llm.lora.r=2", "branch.latent=4", "adapter.hidden=8",
        "training.content.epochs=1", "training.descriptor.epochs=2", "training.batch_size=4", "decoding.max_new_tokens=8",
        "decoding.batch_size=3", "store.shard_seconds=3", "threads=1", "device=cpu", "prepare.fingerprint=",
    ]  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path, tone: Callable[..., Path]) -> Path:
    """A data directory of twelve tones by four speakers in two sessions."""
    from serdesc.data import datadir
    from serdesc.data.datadir import Utterance

    emotions = ("angry", "happy", "sad")
    utterances = []
    for s in range(4):
        for i in range(3):
            seconds = 0.4 + 0.15 * i + 0.05 * s
            path = tone(f"s{s}-{i}.wav", seconds=seconds, pitch=110.0 * (1 + s) + 40 * i)
            utterances.append(
                Utterance(
                    f"s{s}-{i}", str(path), f"s{s}", text=f"say {'one two three'.split()[i]} now", seconds=seconds, session=f"session{s // 2}",
                    emotion=emotions[i], emphasis=("now",), gender=("female", "male")[s % 2],
                )  # fmt: skip
            )
    datadir.write(tmp_path / "data", utterances)
    return tmp_path / "data"
