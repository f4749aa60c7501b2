"""The LLM decoder with LoRA: Section 3.4."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import torch
from torch import nn

from serdesc.config import LlmConfig
from serdesc.errors import UserError
from serdesc.features.pretrained import load_pretrained
from serdesc.runtime import DTYPES

LARGE = 1_000_000_000  # parameters; a larger LLM is trained on a CPU only with --allow-cpu


def load(config: LlmConfig, device: torch.device | None = None) -> tuple[nn.Module, Any]:
    """The frozen LLM with new LoRA weights, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = quantization_options(config, device)  # first: reports a missing GPU at once
    if device is not None and device.type == "cuda":
        options["device_map"] = {"": device}  # tensor by tensor: no copy in the host's memory
    tokenizer = load_pretrained(AutoTokenizer, config.model)
    llm = load_pretrained(AutoModelForCausalLM, config.model, dtype=DTYPES[config.dtype], **options)
    return with_lora(llm, config), tokenizer


def parameter_count(model: str) -> int:
    """Parameters of an LLM by its configuration; no weights are read."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        llm = AutoModelForCausalLM.from_config(load_pretrained(AutoConfig, model))
    return sum(parameter.numel() for parameter in llm.parameters())


def refuse_large_on_cpu(config: LlmConfig, device: torch.device) -> None:
    """Raises UserError if an LLM of more than LARGE parameters would be trained on a CPU."""
    if device.type == "cpu" and (count := parameter_count(config.model)) > LARGE:
        raise UserError(
            f"llm.model {config.model} has {count / 1e9:.1f}e9 parameters and the device is the"
            " CPU: one step takes minutes. Train on a GPU (recipes: --ngpu 1), name a smaller"
            " llm.model, or allow it: --allow-cpu"
        )


def quantization_options(config: LlmConfig, device: torch.device | None) -> dict[str, Any]:
    """Options of from_pretrained for linear layers in 8 or 4 bits (nf4: Dettmers et al., 2023).

    Raises UserError without a GPU or without bitsandbytes.
    """
    bits = config.quantization
    if bits == "none":
        return {}
    if device is None or device.type != "cuda":
        raise UserError(
            f"llm.quantization: '{bits}' needs a GPU, and the device is {device or 'cpu'}: "
            "use --set llm.quantization=none here"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"llm.quantization: '{bits}' needs bitsandbytes, which is not installed: "
            "pip install bitsandbytes"
        )
    from transformers import BitsAndBytesConfig

    if bits == "8bit":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    else:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPES[config.dtype],
        )
    # The weights are quantized while they are loaded, on the device where they remain.
    return {"quantization_config": quantization, "device_map": {"": device}}


def with_lora(llm: Any, config: LlmConfig) -> nn.Module:
    """`llm` as a PEFT model; LoRA's weights are float32 in any precision of the LLM.

    Raises UserError if llm.lora.targets names no linear layer.
    """
    from peft import LoraConfig, get_peft_model

    if config.gradient_checkpointing:
        llm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    # PEFT reads a deprecated attribute of transformers.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
    lora = LoraConfig(
        r=config.lora.r,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=list(config.lora.targets),
        task_type="CAUSAL_LM",
    )
    try:
        model: Any = get_peft_model(llm, lora)
    except ValueError as error:
        raise UserError(
            f"llm.lora.targets {config.lora.targets}: {error}. Name linear layers of"
            f" {config.model}, for example q_proj and v_proj"
        ) from error
    model.peft_config["default"].base_model_name_or_path = config.model  # not a local path
    wrapped: nn.Module = model
    return wrapped


def load_adapter(llm: Any, folder: Any) -> None:
    """Load saved LoRA weights. Raises UserError if a tensor or alpha does not fit."""
    from peft import (
        PeftConfig,
        get_peft_model_state_dict,
        load_peft_weights,
        set_peft_model_state_dict,
    )

    saved = load_peft_weights(str(folder), device="cpu")
    expected = _shapes(get_peft_model_state_dict(llm, save_embedding_layers=False))
    expected["alpha"] = llm.peft_config["default"].lora_alpha
    shapes = _shapes(saved)
    shapes["alpha"] = PeftConfig.from_pretrained(str(folder)).lora_alpha
    for name in sorted(shapes.keys() | expected.keys()):
        if shapes.get(name) != expected.get(name):
            saved_shape, here = shapes.get(name, "absent"), expected.get(name, "absent")
            raise UserError(
                f"{folder}: LoRA weights of another shape or model ({name} is {saved_shape}, here "
                f"{here}): set llm.lora as it was trained"
            )
    set_peft_model_state_dict(llm, saved)


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def lora_parameters(llm: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in llm.named_parameters() if "lora_" in name]


def embeddings(llm: nn.Module) -> torch.nn.Embedding:
    """The input embeddings (V, H)."""
    table = llm.get_input_embeddings()  # type: ignore[operator]
    assert isinstance(table, nn.Embedding)
    return table
