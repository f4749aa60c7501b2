"""Whisper's encoder on recordings of any length up to 30 s."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import torch
from helpers.training import Lab

from serdesc import config as configs
from serdesc.config import EncoderConfig
from serdesc.data import audio
from serdesc.errors import UserError
from serdesc.features import store as stores
from serdesc.features import whisper
from serdesc.features.encoder import Encoder
from serdesc.plan import memory, shapes, trace, work

CPU = torch.device("cpu")
RATE = audio.SAMPLE_RATE


def waves(*seconds: float) -> list[np.ndarray]:
    """Noise whose level rises and falls, so that the clamp of the log-mel has an effect."""
    rng = np.random.default_rng(3)
    made = []
    for length in seconds:
        noise = rng.normal(0, 0.1, round(length * RATE))
        made.append((noise * np.sin(np.arange(len(noise)) / RATE) ** 8).astype(np.float32))
    return made


def loaded(folder: Path, **settings: object) -> Encoder:
    return Encoder.load(EncoderConfig(model=str(folder), **settings), CPU)  # type: ignore[arg-type]


def of_transformers(folder: Path, wave: np.ndarray) -> torch.Tensor:
    """The input and the outputs (L + 1, 1500, D) of the layers by transformers, of 30 s."""
    from transformers import AutoFeatureExtractor, WhisperModel

    model = WhisperModel.from_pretrained(folder, dtype=torch.float32).eval().encoder
    mel = AutoFeatureExtractor.from_pretrained(folder)(
        wave, sampling_rate=RATE, return_tensors="pt"
    )
    outputs: list[torch.Tensor] = []
    model.layers[0].register_forward_pre_hook(lambda _, inputs: outputs.append(inputs[0]))
    for layer in model.layers:
        layer.register_forward_hook(lambda _, inputs, output: outputs.append(output))
    with torch.no_grad():
        model(mel["input_features"])
    return torch.cat(outputs)


def test_thirty_seconds_are_those_of_transformers(tiny_whisper: Path) -> None:
    wave = waves(30)[0]
    expected = of_transformers(tiny_whisper, wave)
    x = loaded(tiny_whisper, layers="0..n")([wave])[0]
    assert x.shape == (4, 1500, 16)
    torch.testing.assert_close(x, expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(loaded(tiny_whisper)([wave])[0], expected[1:], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("seconds", [0.5, 2.003, 4.0, 29.99])
def test_convolutions_of_a_short_recording_are_those_of_transformers(
    tiny_whisper: Path, seconds: float
) -> None:
    """The last frames see the silence after the recording, as in 30 s with silence."""
    wave = waves(seconds)[0]
    x0 = loaded(tiny_whisper, layers="0..n")([wave])[0][0]
    assert len(x0) == -(-len(wave) // 320)
    expected = of_transformers(tiny_whisper, wave)[0][: len(x0)]
    torch.testing.assert_close(x0, expected, atol=1e-6, rtol=1e-6)


def test_log_mel_is_that_of_the_feature_extractor(tiny_whisper: Path) -> None:
    from transformers import AutoFeatureExtractor

    extract = AutoFeatureExtractor.from_pretrained(tiny_whisper)
    configuration = loaded(tiny_whisper).model.config
    short, long = waves(1.0, 2.5)
    mel, mask = whisper.inputs(configuration, extract, [short, long])
    assert mel.shape == (2, 80, 251) and mask is not None and mask.sum(1).tolist() == [100, 250]
    for row, wave in zip(mel, (short, long)):
        published = extract(wave, sampling_rate=RATE, return_tensors="pt")["input_features"][0]
        torch.testing.assert_close(row, published[:, :251], atol=1e-6, rtol=0)
    assert mel.amin() >= mel.amax(dim=(1, 2)).min() - 2  # the clamp: 8 below the maximum, over 4


def test_padding_changes_nothing(tiny_whisper: Path) -> None:
    encoder, speech = loaded(tiny_whisper), waves(0.4, 1.003, 1.51, 6.2)
    for together, wave in zip(encoder(speech), speech):
        alone = encoder([wave])[0]
        assert together.shape == alone.shape
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_silence_after_a_recording_is_not_attended_to(tiny_whisper: Path) -> None:
    """The outputs of the layers therefore differ from those of 30 s with silence."""
    wave = waves(3)[0]
    x = loaded(tiny_whisper)([wave])[0][-1]
    assert not torch.allclose(x, of_transformers(tiny_whisper, wave)[-1][: len(x)], atol=1e-3)


@pytest.mark.parametrize("seconds, frames", [(0.4, 20), (1, 50), (4.401, 221), (30, 1500)])
def test_fifty_frames_a_second_of_the_recording(
    tiny_whisper: Path, seconds: float, frames: int
) -> None:
    assert loaded(tiny_whisper).frames(round(seconds * RATE)) == frames


def test_longer_recordings_are_cut_and_the_header_says_so(tiny_whisper: Path) -> None:
    encoder = loaded(tiny_whisper)
    wave = waves(31)[0]
    assert torch.equal(encoder([wave])[0], encoder([wave[: 30 * RATE]])[0])
    header = encoder.identity()
    assert header["max_seconds"] == 30 and header["frame_rate"] == 50
    assert "attention to the recording alone" in header["meaning"]
    with pytest.raises(UserError, match="max_seconds: 31, .* at most 30 s: set encoder.max_sec"):
        loaded(tiny_whisper, max_seconds=31.0)


def test_a_folder_without_the_encoders_weights_is_refused(
    tiny_whisper: Path, tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "half"
    shutil.copytree(tiny_whisper, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.encoder.conv2.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="1 weights of Whisper's encoder .* conv2.bias"):
        loaded(folder)


def test_the_encoder_alone_is_loaded_from_a_folder_of_any_whisper_model(
    tiny_whisper: Path, tmp_path: Path
) -> None:
    from transformers import AutoFeatureExtractor, WhisperModel

    WhisperModel.from_pretrained(tiny_whisper).save_pretrained(tmp_path)
    AutoFeatureExtractor.from_pretrained(tiny_whisper).save_pretrained(tmp_path)
    whole, bare = loaded(tiny_whisper), loaded(tmp_path)
    assert whole.identity()["weights"] == bare.identity()["weights"]
    assert not any("decoder" in name for name in whole.model.state_dict())


def test_a_store_and_live_features_agree_and_a_model_is_trained_on_them(
    corpus: Path, tmp_path: Path, tiny_settings: list[str], tiny_whisper: Path
) -> None:
    lab = Lab(corpus, tmp_path / "lab", [*tiny_settings, f"encoder.model={tiny_whisper}"])
    live = stores.open_features("live", lab.config, CPU)
    for stored, computed in zip(lab.features.load(lab.test_part), live.load(lab.test_part)):
        assert stored.shape[0] == 3
        torch.testing.assert_close(stored, computed, atol=2e-3, rtol=2e-3)  # store: float16
    for model in ("describer", "undivided", "ssl_baseline"):
        exp = lab.train(model, f"model={model}")
        assert lab.captions(exp).count(b"\n") == len(lab.test_part)


def test_a_plan_has_the_cost_of_the_real_encoder(tiny_whisper: Path) -> None:
    config = configs.load(settings=[f"encoder.model={tiny_whisper}"])
    real, planned = loaded(tiny_whisper), shapes.encoder(config.encoder)[0]
    assert planned.lengths([7000, 64_000]) == real.lengths([7000, 64_000])
    assert memory.parameter_bytes(planned.model) == memory.parameter_bytes(real.model)
    values, mask = whisper.inputs(real.model.config, real.extractor, waves(4))
    blank, blank_mask = planned.blank_inputs(1, 4 * RATE)
    assert blank.shape == values.shape and mask is not None
    assert blank_mask is not None and blank_mask.shape == mask.shape
    peak = trace.encode(planned, 1, 4 * RATE).peak
    measured = trace.measured_peak(lambda: real.hidden_states(values, mask))
    assert peak == pytest.approx(measured, rel=0.25)
    assert work.Curve.of(planned)(4) > 0


def test_flops_of_whisper_base() -> None:
    """About 2 per weight and frame: 19 million weights of the layers, 50 frames a second."""
    config = EncoderConfig(model="openai/whisper-base")
    curve = work.Curve.of(shapes.encoder(config)[0])
    assert curve(10) / 10 == pytest.approx(2 * 18.9e6 * 50, rel=0.25)


def test_whisper_base_on_real_speech(
    real_models: Callable[[str], Path], real_data: Callable[[str], Path]
) -> None:
    """30 s equal transformers'; a batch changes nothing, relative to the size of the outputs."""
    folder = real_models("whisper-base")
    clips = []
    for path in sorted((real_data("emodb") / "wav").glob("03a*"))[:20]:
        clips.append(audio.load(str(path), 30.0))
    long = np.concatenate(clips)[: 30 * RATE]
    assert len(long) == 30 * RATE
    encoder = loaded(folder)
    x, expected = encoder([long])[0], of_transformers(folder, long)[1:]
    torch.testing.assert_close(x, expected, atol=1e-4, rtol=1e-5)
    for together, wave in zip(encoder(clips[:4]), clips):
        alone = encoder([wave])[0]
        assert (together - alone).abs().max() <= 1e-5 * alone.abs().max()
