"""Fixtures: made-up speech, tiny models with random weights in Hugging Face's format, and folders
of real data where they are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import soundfile
from helpers import LABELS, voice

ROOT = Path(__file__).parents[1]
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "tools" / "venv" / "numba"))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")


# Tests take no models of tools/models by chance: describe would use another one.
os.environ.setdefault("SERDESC_MODELS", str(ROOT.parent / "shared" / "models"))
REAL = {"real_data", "real_models", "real_spice"}  # fixtures of data outside the repository


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need data outside the repository."""
    for item in items:
        if REAL & set(getattr(item, "fixturenames", ())):
            item.add_marker("real_data")


def _folder(variable: str, default: str) -> Callable[[str], Path]:
    """A folder below one that an environment variable names (several: separated by colons); tests
    that need it are skipped where it is absent.
    """
    named = os.environ.get(variable) or str(ROOT.parent / "shared" / default)

    def find(name: str) -> Path:
        for base in named.split(os.pathsep):
            if (Path(base) / name).exists():
                return Path(base) / name
        pytest.skip(f"no {name} in {variable} ({named})")

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

    def write(
        name: str = "tone.wav",
        seconds: float = 1.0,
        rate: int = 16_000,
        channels: int = 1,
        pitch: float = 220.0,
        **options: str,
    ) -> Path:
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
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of random weights, with its decoder, as published models are."""
    import torch
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=40, d_model=16, encoder_layers=3, encoder_attention_heads=2, encoder_ffn_dim=32, decoder_layers=1,
            decoder_attention_heads=2, decoder_ffn_dim=32, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        )  # fmt: skip
    ).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
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
    vocabulary = {
        token: i for i, token in enumerate([*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    }
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(marks)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=marks[0], eos_token=turns.end
    )
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


@pytest.fixture
def craft(tmp_path: Path) -> Path:
    """SpeechCraft's and GigaSpeech's files, made up: three recordings of four segments, three of
    which are labelled.
    """
    src = tmp_path / "craft"
    labels, instructions, descriptions, audios = {}, {}, {}, []
    for r, kind in enumerate(("POD", "YOU", "AUD")):
        aid = f"{kind}{r:010d}"
        voice(src / "audio" / f"{aid}.flac", 6.0, r)
        segments = []
        for s in range(4):
            sid, said = f"{aid}_S{s:07d}", f"Well, {'one two three four'.split()[s]} it is."
            tags = f"<SIL> WELL <COMMA> {s} IT IS <PERIOD>"
            segments.append(
                {
                    "sid": sid,
                    "speaker": "N/A",
                    "begin_time": 0.1 + 1.4 * s,
                    "end_time": 1.3 + 1.4 * s,
                    "text_tn": tags,
                }
            )
            if s < 3:
                labels[sid] = {"labels": LABELS.format(said)}
                instructions[sid] = (
                    f"A young woman\u2019s  voice says, \u201c{said}\u201d,\nhappily."
                )
                descriptions[sid] = "A young woman speaks fast."
        audios.append({"title": "x", "aid": aid, "path": f"audio/{aid}.flac", "segments": segments})
    (src / "Instructions").mkdir()
    (src / "Labels.json").write_text(json.dumps(labels))
    (src / "Instructions" / "gigaspeech_m.json").write_text(json.dumps(instructions))
    (src / "Descriptions.tsv").write_text(
        "".join(f"{sid}\t{text}\n" for sid, text in descriptions.items())
    )
    (src / "GigaSpeech.json").write_text(json.dumps({"dataset": "GigaSpeech", "audios": audios}))
    return src


@pytest.fixture
def secap(tmp_path: Path) -> Path:
    """Six made-up utterances in the form of SECap's test set."""
    src, ids = tmp_path / "secap", [
        "tx_emotion_00299000001",
        "tx_emotion_00399000002",
        "tx_emulate_00_999_0001_000001",
    ]
    ids += ["tx_emulate_02_999_0001_000002", "tx_xiao_0199901000001", "tx_xiao_0299907000002"]
    for i, utt_id in enumerate(ids):
        voice(src / "wav" / f"{utt_id}.wav", 0.6 + 0.1 * i, i)
    (src / "text.txt").write_text(
        "".join(
            f"{utt_id}{' ' if i % 2 else chr(9)}你好,再见。 \n" for i, utt_id in enumerate(ids)
        ),
        encoding="utf-8",
    )
    (src / "fid2captions.json").write_text(
        json.dumps({utt_id: "语气平静" for utt_id in ids}, ensure_ascii=False), encoding="utf-8"
    )
    return src


@pytest.fixture
def encoder(tiny_encoder: Path) -> Any:
    """A frozen encoder of random weights."""
    import torch

    from serdesc.config import EncoderConfig
    from serdesc.features.encoder import Encoder

    return Encoder.load(EncoderConfig(model=str(tiny_encoder)), torch.device("cpu"))


@pytest.fixture
def lab(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> Any:
    """A fold with features, and a function that trains on it."""
    from helpers.training import Lab

    return Lab(corpus, tmp_path / "lab", tiny_settings)


@pytest.fixture
def parts(corpus: Path) -> Path:
    """A data directory with annotated folds."""
    from serdesc import config as configs
    from serdesc.data import annotate

    annotate.annotate(corpus, configs.Config(), nj=1)
    return corpus
