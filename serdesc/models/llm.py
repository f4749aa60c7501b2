"""The LLM decoder with LoRA: Section 3.4."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import torch
from torch import nn

from serdesc.config import LlmConfig
from serdesc.errors import UserError
from serdesc.features.encoder import load_pretrained
from serdesc.runtime import DTYPES


def load(config: LlmConfig, device: torch.device | None = None) -> tuple[nn.Module, Any]:
    """The LLM with fresh LoRA weights, its own weights frozen; and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    fewer_bits = quantization_options(
        config, device
    )  # first: it takes no time to find that there is no GPU
    tokenizer = load_pretrained(AutoTokenizer, config.model)
    return (
        with_lora(
            load_pretrained(
                AutoModelForCausalLM, config.model, dtype=DTYPES[config.dtype], **fewer_bits
            ),
            config,
        ),
        tokenizer,
    )


LARGE = 1_000_000_000  # parameters; an LLM of more is not trained on a CPU unless that is allowed


def parameter_count(model: str) -> int:
    """Parameters of an LLM, from its configuration alone; no weights are read."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        llm = AutoModelForCausalLM.from_config(load_pretrained(AutoConfig, model))
    return sum(parameter.numel() for parameter in llm.parameters())


def refuse_large_on_cpu(config: LlmConfig, device: torch.device) -> None:
    """Raises UserError if an LLM of more than LARGE parameters would be trained on a CPU."""
    if device.type == "cpu" and (count := parameter_count(config.model)) > LARGE:
        raise UserError(
            f"llm.model {config.model} has {count / 1e9:.1f}e9 parameters and the device is the CPU: one step takes minutes. "
            "Train on a GPU (recipes: --ngpu 1), name a smaller llm.model, or allow it: --allow-cpu"
        )


def quantization_options(config: LlmConfig, device: torch.device | None) -> dict[str, Any]:
    """What from_pretrained is told to keep the linear layers in 8 bits, or in 4 (nf4, its scales in 8: Dettmers et al., 2023)."""
    if config.quantization == "none":
        return {}
    if device is None or device.type != "cuda":
        raise UserError(
            f"llm.quantization: '{config.quantization}' needs a GPU, and the device is {device or 'cpu'}: take --set llm.quantization=none here"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"llm.quantization: '{config.quantization}' needs bitsandbytes, which is not installed: pip install bitsandbytes"
        )
    from transformers import BitsAndBytesConfig

    if config.quantization == "8bit":
        bits = BitsAndBytesConfig(load_in_8bit=True)
    else:
        bits = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPES[config.dtype],
        )
    return {
        "quantization_config": bits,
        "device_map": {"": device},
    }  # packed while it is loaded, on the device where it stays


def with_lora(llm: Any, config: LlmConfig) -> nn.Module:
    """`llm` as a PEFT model. LoRA's parts are float32 whatever the LLM's own precision is."""
    from peft import LoraConfig, get_peft_model

    if config.gradient_checkpointing:
        llm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    lora = config.lora
    warnings.filterwarnings(
        "ignore", message=".*is_gradient_checkpointing.*"
    )  # PEFT asks by the old name
    try:
        adapted: nn.Module = get_peft_model(
            llm,
            LoraConfig(
                r=lora.r,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=list(lora.targets),
                task_type="CAUSAL_LM",
            ),
        )
        adapted.peft_config["default"].base_model_name_or_path = config.model  # type: ignore[index, union-attr]  # never a path of this machine
        return adapted
    except ValueError as error:
        raise UserError(
            f"llm.lora.targets {lora.targets}: {error}. Name linear layers of {config.model}, for example q_proj and v_proj"
        ) from error


def load_adapter(llm: nn.Module, folder: Any) -> None:
    """Put saved LoRA weights in place of the present ones; every tensor must fit."""
    from peft import (
        PeftConfig,
        get_peft_model_state_dict,
        load_peft_weights,
        set_peft_model_state_dict,
    )

    saved, own = load_peft_weights(str(folder), device="cpu"), get_peft_model_state_dict(
        llm, save_embedding_layers=False
    )
    made, wanted = (
        {name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (saved, own)
    )
    made["alpha"] = PeftConfig.from_pretrained(str(folder)).lora_alpha
    wanted["alpha"] = llm.peft_config["default"].lora_alpha  # type: ignore[index, union-attr]
    differ = [name for name in sorted(made.keys() | wanted) if made.get(name) != wanted.get(name)]
    if differ:
        one, other = (table.get(differ[0], "absent") for table in (made, wanted))
        raise UserError(
            f"{folder}: LoRA weights of another shape or model ({differ[0]} is {one}, here {other}): set llm.lora as it was trained"
        )
    set_peft_model_state_dict(llm, saved)


def lora_parameters(llm: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in llm.named_parameters() if "lora_" in name]


def embeddings(llm: nn.Module) -> torch.nn.Embedding:
    table = llm.get_input_embeddings()  # type: ignore[operator]
    assert isinstance(table, nn.Embedding)
    return table
