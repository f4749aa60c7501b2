"""A Whisper model from CTranslate2's format (model.bin), as transformers' model in float16.

The format: https://github.com/OpenNMT/CTranslate2, python/ctranslate2/specs/model_spec.py. Strings
have a 16-bit length and end with a zero byte; numbers are little-endian.

    version (uint32), name of the model (string), its revision (uint32), number of tensors (uint32)
    per tensor: name (string), rank (uint8), sizes (uint32 each), type (uint8), bytes (uint32), data
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO, Iterator

import numpy as np
import torch
from torch import Tensor

TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
HEAD_WIDTH = 64  # of every published Whisper
# CTranslate2's name of a linear layer or norm -> transformers'; {} is the number of a layer
MODULES = {
    "encoder/conv1": "model.encoder.conv1",
    "encoder/conv2": "model.encoder.conv2",
    "encoder/layer_norm": "model.encoder.layer_norm",
    "decoder/layer_norm": "model.decoder.layer_norm",
    "{}/self_attention/layer_norm": "{}.self_attn_layer_norm",
    "{}/self_attention/linear_1": "{}.self_attn.out_proj",
    "{}/attention/layer_norm": "{}.encoder_attn_layer_norm",
    "{}/attention/linear_0": "{}.encoder_attn.q_proj",
    "{}/attention/linear_2": "{}.encoder_attn.out_proj",
    "{}/ffn/layer_norm": "{}.final_layer_norm",
    "{}/ffn/linear_0": "{}.fc1",
    "{}/ffn/linear_1": "{}.fc2",
}
# One matrix there, several here; Whisper's keys have no bias.
JOINED = {
    "{}/self_attention/linear_0": (
        "{}.self_attn.q_proj",
        "{}.self_attn.k_proj",
        "{}.self_attn.v_proj",
    ),
    "{}/attention/linear_1": ("{}.encoder_attn.k_proj", "{}.encoder_attn.v_proj"),
}
WEIGHTS, BIASES = ("weight", "gamma"), ("bias", "beta")


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name."""
    with path.open("rb") as file:
        _number(file, "I"), _string(file), _number(file, "I")
        return dict(_tensor(file) for _ in range(_number(file, "I")))


def _number(file: BinaryIO, code: str) -> int:
    size = struct.calcsize(code)
    return int(struct.unpack(f"<{code}", file.read(size))[0])


def _string(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()


def _tensor(file: BinaryIO) -> tuple[str, np.ndarray]:
    name = _string(file)
    shape = [_number(file, "I") for _ in range(_number(file, "B"))]
    kind = TYPES[_number(file, "B")]
    return name, np.frombuffer(file.read(_number(file, "I")), kind).reshape(shape)


def weights(tensors: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """transformers' state of the tensors, in float16."""
    state: dict[str, Tensor] = {}
    for theirs, ours in _modules(tensors, MODULES):
        for name, names in (("weight", WEIGHTS), ("bias", BIASES)):
            state[f"{ours}.{name}"] = _one_of(tensors, theirs, names)
    for theirs, parts in _modules(tensors, JOINED):
        matrices = _one_of(tensors, theirs, WEIGHTS).chunk(len(parts))
        biases = _one_of(tensors, theirs, BIASES).chunk(len(parts))
        for part, matrix, bias in zip(parts, matrices, biases):
            state[f"{part}.weight"] = matrix.clone()
            if not part.endswith("k_proj"):
                state[f"{part}.bias"] = bias.clone()
    for side in ("encoder", "decoder"):
        positions = tensors[f"{side}/position_encodings/encodings"]
        state[f"model.{side}.embed_positions.weight"] = _half(positions)
    words = _half(tensors["decoder/embeddings/weight"])
    return state | {"model.decoder.embed_tokens.weight": words, "proj_out.weight": words}


def _modules(tensors: dict[str, np.ndarray], table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The modules of the table that the file has, with the names of their layers."""
    for theirs, ours in table.items():
        if "{}" not in theirs:
            yield theirs, ours
            continue
        for side in ("encoder", "decoder"):
            for i in range(layers(tensors, side)):
                module = theirs.format(f"{side}/layer_{i}")
                if any(name.startswith(f"{module}/") for name in tensors):
                    prefix = f"model.{side}.layers.{i}"
                    yield module, _formatted(ours, prefix)


def _formatted(names: Any, prefix: str) -> Any:
    if isinstance(names, str):
        return names.format(prefix)
    return tuple(name.format(prefix) for name in names)


def _one_of(tensors: dict[str, np.ndarray], module: str, names: tuple[str, ...]) -> Tensor:
    for name in names:
        if f"{module}/{name}" in tensors:
            return _half(tensors[f"{module}/{name}"])
    raise KeyError(f"{module}: none of {', '.join(names)}")


def _half(values: np.ndarray) -> Tensor:
    return torch.tensor(np.array(values)).half()


def layers(tensors: dict[str, np.ndarray], side: str) -> int:
    """Number of layers of the encoder or decoder."""
    prefix = f"{side}/layer_"
    numbers = {
        name.removeprefix(prefix).split("/")[0] for name in tensors if name.startswith(prefix)
    }
    return len(numbers - {"norm"})


def load(path: Path, head_width: int = HEAD_WIDTH) -> Any:
    """WhisperForConditionalGeneration with the weights of the file."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    tensors = read(path)
    width, mel_bins, _ = tensors["encoder/conv1/weight"].shape
    vocabulary = len(tensors["decoder/embeddings/weight"])
    feed_forward = len(tensors["encoder/layer_0/ffn/linear_0/weight"])
    end = 50257 if vocabulary > 50257 else 0  # <|endoftext|>, of the multilingual models
    config = WhisperConfig(
        vocab_size=vocabulary,
        num_mel_bins=mel_bins,
        d_model=width,
        encoder_layers=layers(tensors, "encoder"),
        decoder_layers=layers(tensors, "decoder"),
        encoder_attention_heads=width // head_width,
        decoder_attention_heads=width // head_width,
        encoder_ffn_dim=feed_forward,
        decoder_ffn_dim=feed_forward,
        max_source_positions=len(tensors["encoder/position_encodings/encodings"]),
        max_target_positions=len(tensors["decoder/position_encodings/encodings"]),
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=end + 1,
        begin_suppress_tokens=[220, end],
    )
    model = WhisperForConditionalGeneration(config).half()
    model.load_state_dict(weights(tensors))
    return model
