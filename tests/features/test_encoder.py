"""Frozen encoders: frames, layers, padding."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile
import torch

from serdesc.config import EncoderConfig
from serdesc.data import audio
from serdesc.errors import UserError
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.features.live import encode, first_frame

CPU = torch.device("cpu")


def waves(*samples: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(0, 0.1, n).astype(np.float32) for n in samples]


def test_padding_changes_nothing(encoder: Encoder) -> None:
    heard = waves(4000, 9100, 16_000)
    for together, wave in zip(encoder(heard), heard):
        alone = encoder([wave])[0]
        assert together.shape == alone.shape
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seconds, frames", [(1, 49), (4.4, 219), (10, 499), (30, 1499)])
def test_frames_by_the_models_own_length_function(
    encoder: Encoder, seconds: float, frames: int
) -> None:
    assert encoder.frames(int(seconds * 16_000)) == frames


def test_another_family_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """data2vec, whose configuration says nothing of a norm: its waves are heard one at a time."""
    from transformers import Data2VecAudioConfig, Data2VecAudioModel, Wav2Vec2FeatureExtractor

    from serdesc.features import encoder as encoders
    from serdesc.features import waveform

    shape = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": (8,) * 7,
    }
    Data2VecAudioModel(
        Data2VecAudioConfig(**shape, num_conv_pos_embeddings=2, num_conv_pos_embedding_groups=2)
    ).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    with pytest.raises(
        UserError, match="a data2vec-audio model; known are hubert, wavlm, wav2vec2, whisper"
    ):
        Encoder.load(EncoderConfig(model=str(tmp_path)), CPU)
    monkeypatch.setitem(encoders.FAMILIES, "data2vec-audio", waveform)
    heard = Encoder.load(EncoderConfig(model=str(tmp_path)), CPU)
    assert not heard.batchable and heard(waves(16_000))[0].shape == (2, 49, 16)


def test_layers_are_the_outputs_of_the_transformer_layers_before_the_final_norm(
    tiny_encoder: Path,
) -> None:
    from transformers import AutoModel

    wave = waves(8000)[0]
    normal = torch.from_numpy((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))[None]
    model = AutoModel.from_pretrained(tiny_encoder).eval()
    with torch.no_grad():
        out = model(
            normal,
            attention_mask=torch.ones_like(normal, dtype=torch.long),
            output_hidden_states=True,
        )
    x = Encoder.load(EncoderConfig(model=str(tiny_encoder)), CPU)([wave])[0]
    x0 = Encoder.load(EncoderConfig(model=str(tiny_encoder), layers="0..n"), CPU)([wave])[0]
    assert x.shape[0] == 3 and x0.shape[0] == 4
    torch.testing.assert_close(x0[1:], x)
    for layer in (0, 1, 2):  # hidden_states[i] is the input of layer i + 1
        torch.testing.assert_close(x0[layer], out.hidden_states[layer][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        model.encoder.layer_norm(x[-1]), out.last_hidden_state[0], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("family", ["Hubert", "Wav2Vec2", "WavLM"])
def test_group_norm_models_of_each_family_hear_one_wave_at_a_time(
    family: str, tmp_path: Path
) -> None:
    import transformers

    config = getattr(transformers, f"{family}Config")(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(8,) * 7, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, feat_extract_norm="group",
    )  # fmt: skip
    getattr(transformers, f"{family}Model")(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(
        do_normalize=True, return_attention_mask=False
    ).save_pretrained(tmp_path)
    encoder = Encoder.load(EncoderConfig(model=str(tmp_path)), CPU)
    heard = waves(8000, 5000)
    both = stores.encode(encoder, heard)
    torch.testing.assert_close(both[1], encoder([heard[1]])[0])
    with pytest.raises(AssertionError, match="2 waves in a batch"):
        encoder(heard)


def test_only_the_first_seconds_are_heard(tiny_encoder: Path) -> None:
    encoder = Encoder.load(EncoderConfig(model=str(tiny_encoder), max_seconds=0.5), CPU)
    wave = waves(16_000)[0]
    torch.testing.assert_close(encoder([wave])[0], encoder([wave[:8000]])[0])


def test_an_encoder_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(UserError, match="HF_HUB_OFFLINE=1"):
        Encoder.load(EncoderConfig(model="nobody/no-such-model"), CPU)


def test_silence_at_the_ends_is_cut_off_where_the_key_says_so(
    tiny_encoder: Path, tone: Callable[..., Path]
) -> None:
    wave, rate = soundfile.read(tone(seconds=1.0), dtype="float32")
    wave = np.concatenate([wave, wave[::-1]])  # loud at both ends
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(rate).astype(np.float32)
    around = np.concatenate([quiet, wave, quiet])
    start, end = audio.speech_bounds(around)
    assert abs(start - 0.9 * rate) < 2048 and abs(end - (len(around) - 0.9 * rate)) < 2048
    assert audio.speech_bounds(np.zeros(rate, np.float32)) == (0, rate)
    plain, trimming = (
        Encoder.load(EncoderConfig(model=str(tiny_encoder), trim=trim), torch.device("cpu"))
        for trim in (False, True)
    )
    (whole,), (cut,) = encode(plain, [around]), encode(trimming, [around])
    (expected,) = encode(plain, [around[start:end]])
    assert torch.equal(cut, expected) and cut.shape[1] < whole.shape[1]
    assert trimming.identity() == {**plain.identity(), "trim": True}
    assert first_frame(around, trimming.config) == start // 320
    assert first_frame(around, plain.config) == 0
