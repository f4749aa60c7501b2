"""Peak memory in bytes: what lies there all the time by arithmetic, what comes and goes by a pass of fake tensors (trace.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from torch import nn

from serdesc.config import Config
from serdesc.data.audio import SAMPLE_RATE
from serdesc.features.encoder import Encoder
from serdesc.models.describer import Describer, Phase
from serdesc.plan import trace
from serdesc.plan.lengths import Item, longest
from serdesc.plan.trace import Clip, Weightless
from serdesc.runtime import DTYPES
from serdesc.training.phases import phases_of

# Bytes of a frozen weight: 8 bits, and 4 bits with one 8-bit scale in 64 weights (and a float32 scale of 256 scales): bitsandbytes' nf4, doubled.
QUANTIZED = {"8bit": 1.0, "4bit": 0.5 + 1 / 64 + 4 / (64 * 256)}


def weights(model: Describer, quantization: str) -> int:
    """The LLM's own weights; in fewer bits only the linear layers in its body are kept."""
    llm = model.llm.get_base_model()  # type: ignore[operator]
    frozen: dict[str, nn.Parameter] = {
        name: p for name, p in llm.named_parameters() if "lora_" not in name
    }
    if quantization == "none":
        return int(sum(p.nbytes for p in frozen.values()))
    linear = {
        f"{name}.weight"
        for name, m in llm.model.named_modules(prefix="model")
        if isinstance(m, nn.Linear)
    }
    few = sum(p.numel() for name, p in frozen.items() if name in linear)
    return int(few * QUANTIZED[quantization]) + int(
        sum(p.nbytes for name, p in frozen.items() if name not in linear)
    )


def unpacked(model: Describer, quantization: str) -> int:
    """The largest linear layer, which a product needs in full."""
    if quantization == "none":
        return 0
    body = model.llm.get_base_model().model  # type: ignore[operator]
    return (
        max(p.numel() for m in body.modules() if isinstance(m, nn.Linear) for p in m.parameters())
        * DTYPES[model.config.llm.dtype].itemsize
    )


@dataclass(frozen=True)
class Training:
    """Bytes of a training step: what is fixed, and what each utterance of a part adds at the longest of the data."""

    encoder: int  # its weights, where features are computed live
    llm: dict[str, int]  # quantization -> bytes
    trained: int  # branches and LoRA, float32
    gradients: int
    moments: int  # AdamW's, of every phase
    unpacked: dict[str, int]
    utterance: dict[bool, int]  # checkpointing -> features, activations and logits of one utterance
    waiting: int  # features of a whole step, in main memory
    shared: bool  # main memory is the model's memory too: there is no GPU

    def fixed(self, quantization: str) -> int:
        own = (
            self.encoder
            + self.llm[quantization]
            + self.trained
            + self.gradients
            + self.moments
            + self.unpacked[quantization]
        )
        return own + (self.waiting if self.shared else 0)

    def peak(self, part: int, checkpointing: bool, quantization: str) -> int:
        return self.fixed(quantization) + part * self.utterance[checkpointing]


def training(
    model: Describer,
    passes: Weightless,
    measured: Sequence[Item],
    encoder: Encoder,
    live: bool,
    gpu: bool,
) -> Training:
    config = model.config
    waiting = sorted((item.frames for item in measured), reverse=True)[: config.training.batch_size]
    sizes = {
        phase: sum(p.nbytes for _, p in model.trained(phase))
        for phase in phases_of(config.training)
    }
    once = {id(p): p.nbytes for phase in sizes for _, p in model.trained(phase)}
    every = sum(
        p.nbytes
        for name, p in model.named_parameters()
        if not name.startswith("llm.") or "lora_" in name
    )
    levels = ("none", *QUANTIZED)
    return Training(
        encoder=sum(p.nbytes for p in encoder.model.parameters()) if live else 0,
        llm={level: weights(model, level) for level in levels},
        trained=every,
        gradients=sum(once.values()),
        moments=2 * sum(sizes.values()),
        unpacked={level: unpacked(model, level) for level in levels},
        utterance={
            checkpointing: _heaviest(passes, measured, config, checkpointing)
            for checkpointing in (False, True)
        },
        waiting=sum(waiting) * encoder.layers * encoder.width * 4,
        shared=not gpu,
    )


def _heaviest(
    passes: Weightless, measured: Sequence[Item], config: Config, checkpointing: bool
) -> int:
    """Of the longest utterance, in the phase that needs most; as half of two, since the weighted sum copies a batch and not a single one."""
    return (
        max(
            passes.train([heard(measured, phase, config)] * 2, phase, checkpointing).peak
            for phase in phases_of(config.training)
        )
        // 2
    )


def heard(measured: Sequence[Item], phase: Phase, config: Config) -> Clip:
    first = longest(measured, 1, phase, config)[0]
    return Clip(first.frames, first.target(phase))


def extraction(encoder: Encoder, config: Config, seconds: float) -> int:
    """The encoder's weights, and a batch of the longest recordings."""
    seconds = min(max(seconds, config.encoder.min_seconds), config.encoder.max_seconds)
    waves = max(1, int(config.encoder.batch_seconds // seconds)) if encoder.batchable else 1
    weighs = int(sum(p.nbytes for p in encoder.model.parameters()))
    return weighs + trace.encode(encoder, waves, round(seconds * SAMPLE_RATE)).peak


@dataclass(frozen=True)
class Decoding:
    """Bytes of decoding."""

    encoder: int
    llm: dict[str, int]
    trained: int
    unpacked: dict[str, int]
    cache: int  # keys and values of one utterance to the end of the longest answer
    prompt: int  # what one utterance's prompt adds while it is read
    posterior: int  # what one utterance's answers add, one utterance at a time

    def peak(self, batch: int, quantization: str) -> int:
        passing = max(batch * (self.cache + self.prompt), self.posterior)
        return (
            self.encoder
            + self.llm[quantization]
            + self.trained
            + self.unpacked[quantization]
            + passing
        )


def decoding(
    passes: Weightless, made: Training, measured: Sequence[Item], prompt: int, emotions: int
) -> Decoding:
    config = passes.model.config
    longest_heard = heard(measured, "descriptor", config)
    positions = (
        prompt
        + passes.model.groups * (longest_heard.frames // config.adapter.k)
        + config.decoding.max_new_tokens
    )
    return Decoding(
        encoder=made.encoder, llm=made.llm, trained=made.trained, unpacked=made.unpacked,
        cache=positions * cached(passes.model.llm.get_base_model().config, DTYPES[config.llm.dtype].itemsize),  # type: ignore[operator]
        prompt=passes.decode([longest_heard] * 2).peak // 2,
        posterior=passes.likelihoods(longest_heard, emotions).peak if config.decoding.posterior and emotions > 1 else 0,
    )  # fmt: skip


def cached(shape: Any, itemsize: int) -> int:
    """Bytes of keys and values of one position."""
    head = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    return int(2 * shape.num_hidden_layers * shape.num_key_value_heads * head * itemsize)
