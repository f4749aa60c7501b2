"""The LLM: a real trained Llama, quantization."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import struct
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from serdesc import config as configs
from serdesc.config import LlmConfig
from serdesc.errors import UserError
from serdesc.models import llm as llms


def stories(path: Path) -> nn.Module:
    """stories260K from llama2.c's format: seven integers, then the tensors in this order, float32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    raw = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, context = struct.unpack("7i", raw[:28])
    vocabulary = abs(vocabulary)
    values = np.frombuffer(raw, np.float32, offset=28)
    position = 0

    def take(*shape: int) -> Tensor:
        nonlocal position
        count = int(np.prod(shape))
        position += count
        return torch.from_numpy(values[position - count : position].reshape(shape).copy())

    size = dim // heads

    def halves(weight: Tensor, n: int) -> Tensor:
        """Rotary pairs lie side by side in the file; transformers wants them half a head apart."""
        return weight.reshape(n, size // 2, 2, dim).transpose(1, 2).reshape(n * size, dim)

    state = {"model.embed_tokens.weight": take(vocabulary, dim)}
    stacks = {
        "input_layernorm": take(layers, dim), "self_attn.q_proj": take(layers, heads * size, dim),
        "self_attn.k_proj": take(layers, kv_heads * size, dim),
        "self_attn.v_proj": take(layers, kv_heads * size, dim), "self_attn.o_proj": take(layers, dim, heads * size),
        "post_attention_layernorm": take(layers, dim), "mlp.gate_proj": take(layers, hidden, dim), "mlp.down_proj": take(layers, dim, hidden),
        "mlp.up_proj": take(layers, hidden, dim),
    }  # fmt: skip
    for name, stack in stacks.items():
        for i in range(layers):
            turn = {"self_attn.q_proj": heads, "self_attn.k_proj": kv_heads}.get(name)
            state[f"model.layers.{i}.{name}.weight"] = (
                stack[i] if turn is None else halves(stack[i], turn)
            )
    state["model.norm.weight"] = take(dim)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=dim, intermediate_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=kv_heads, max_position_embeddings=context, rms_norm_eps=1e-5, tie_word_embeddings=True,
        )  # fmt: skip
    )
    model.load_state_dict(state)
    return model.eval()


def test_embeddings_as_input_give_the_text_that_tokens_give(
    real_models: Callable[[str], Path],
) -> None:
    llm = stories(real_models("stories260K/stories260K.bin"))
    prompt = torch.tensor([[1, 403, 407, 261, 378]])
    options = {
        "max_new_tokens": 60,
        "do_sample": False,
        "pad_token_id": 0,
        "attention_mask": torch.ones_like(prompt),
    }
    by_tokens = llm.generate(prompt, **options)[0, prompt.shape[1] :].tolist()
    by_embeddings = llm.generate(inputs_embeds=llm.get_input_embeddings()(prompt), **options)[
        0
    ].tolist()
    assert by_tokens == by_embeddings and len(set(by_tokens)) > 15
    with torch.no_grad():  # a trained model: it finds its own text likely
        ids = torch.tensor([[*prompt[0].tolist(), *by_tokens]])
        assert float(llm(ids, labels=ids).loss) < 2.0


CPU = torch.device("cpu")


def test_fewer_bits_need_a_gpu_and_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = LlmConfig(model="llama-mini", quantization="4bit")
    with pytest.raises(
        UserError, match="llm.quantization: '4bit' needs a GPU, and the device is cpu"
    ):
        llms.load(config, CPU)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install bitsandbytes"):
        llms.load(config, torch.device("cuda:1"))
    with pytest.raises(UserError, match="llm.quantization: '2bit' is not one of none, 8bit, 4bit"):
        configs.load(settings=["llm.quantization=2bit"])


@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
def test_from_pretrained_is_told_what_to_quantise(
    quantization: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers  # noqa: F401  (before its version check is replaced)

    given: list[dict[str, Any]] = []
    real = llms.load_pretrained

    def load_pretrained(auto: Any, model: str, **options: Any) -> Any:
        given.append(options)
        return real(auto, model, **{key: value for key, value in options.items() if key == "dtype"})

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.48.0"
    )  # transformers asks for bitsandbytes' version
    monkeypatch.setattr(llms, "load_pretrained", load_pretrained)
    model, _ = llms.load(
        LlmConfig(model="llama-mini", quantization=quantization), torch.device("cuda:1")
    )
    assert all(p.dtype == torch.float32 for _, p in llms.lora_parameters(model))
    options = given[1]
    assert options["dtype"] == torch.bfloat16
    if quantization == "none":
        assert "quantization_config" not in options
        return
    bits = options["quantization_config"]
    assert options["device_map"] == {"": torch.device("cuda:1")} and (
        bits.load_in_8bit,
        bits.load_in_4bit,
    ) == (
        quantization == "8bit",
        quantization == "4bit",
    )
    if quantization == "4bit":
        assert (
            bits.bnb_4bit_quant_type,
            bits.bnb_4bit_use_double_quant,
            bits.bnb_4bit_compute_dtype,
        ) == ("nf4", True, torch.bfloat16)
