"""Peak memory in bytes: weights and optimizer by arithmetic, activations by trace.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from torch import nn

from serdesc.config import Config
from serdesc.data.audio import SAMPLE_RATE
from serdesc.features.encoder import Encoder
from serdesc.models.describer import Describer, Phase
from serdesc.plan import trace
from serdesc.plan.lengths import Item, candidates, longest
from serdesc.plan.trace import Clip, Weightless
from serdesc.runtime import DTYPES
from serdesc.training.phases import phases_of

# Bytes of a frozen weight. 4 bits: bitsandbytes' nf4 with double quantization, an 8-bit scale per
# 64 weights and a float32 scale per 256 scales.
QUANTIZED = {"8bit": 1.0, "4bit": 0.5 + 1 / 64 + 4 / (64 * 256)}


def weights(model: Describer, quantization: str) -> int:
    """Bytes of the LLM's frozen weights; only linear layers of its body are quantized."""
    llm = model.llm.get_base_model()  # type: ignore[operator]
    frozen: dict[str, nn.Parameter] = {
        name: p for name, p in llm.named_parameters() if "lora_" not in name
    }
    if quantization == "none":
        return int(sum(p.nbytes for p in frozen.values()))
    modules = llm.model.named_modules(prefix="model")
    linear = {f"{name}.weight" for name, module in modules if isinstance(module, nn.Linear)}
    quantized = sum(p.numel() for name, p in frozen.items() if name in linear)
    rest = sum(p.nbytes for name, p in frozen.items() if name not in linear)
    return int(quantized * QUANTIZED[quantization]) + int(rest)


def dequantized(model: Describer, quantization: str) -> int:
    """Bytes of the largest linear layer, which is dequantized for a matrix product."""
    if quantization == "none":
        return 0
    body = model.llm.get_base_model().model  # type: ignore[operator]
    largest = 0
    for module in body.modules():
        if isinstance(module, nn.Linear):
            largest = max(largest, *(p.numel() for p in module.parameters()))
    return largest * DTYPES[model.config.llm.dtype].itemsize


@dataclass(frozen=True)
class Training:
    """Bytes of a training step: a fixed part, and a part per utterance of the longest length."""

    encoder: int  # its weights, if features are computed live
    llm: dict[str, int]  # quantization -> bytes
    trained: int  # branches and LoRA, float32
    gradients: int
    moments: int  # of AdamW, for every phase
    dequantized: dict[str, int]  # quantization -> bytes
    utterance: dict[bool, int]  # checkpointing -> features, activations and logits of one utterance
    queued: int  # features of a whole step, in main memory
    shared: bool  # no GPU: the model is in main memory too

    def fixed(self, quantization: str) -> int:
        weights = self.encoder + self.llm[quantization] + self.trained
        optimizer = self.gradients + self.moments
        size = weights + optimizer + self.dequantized[quantization]
        return size + (self.queued if self.shared else 0)

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
    """Training on these utterances; `live`: with the encoder, `gpu`: on a GPU."""
    config = model.config
    frames = sorted((item.frames for item in measured), reverse=True)[: config.training.batch_size]
    once: dict[int, int] = {}  # parameters that several phases train have one gradient
    moments = 0
    for phase in phases_of(config.training):
        sizes = {id(p): p.nbytes for _, p in model.trained(phase)}
        once |= sizes
        moments += 2 * sum(sizes.values())
    llm, largest = {}, {}
    for level in ("none", *QUANTIZED):
        llm[level] = weights(model, level)
        largest[level] = dequantized(model, level)
    trained = sum(p.nbytes for name, p in model.named_parameters() if _is_trained(name))
    return Training(
        encoder=parameter_bytes(encoder.model) if live else 0,
        llm=llm,
        trained=trained,
        gradients=sum(once.values()),
        moments=moments,
        dequantized=largest,
        utterance={
            False: _heaviest(passes, measured, config, checkpointing=False),
            True: _heaviest(passes, measured, config, checkpointing=True),
        },
        queued=sum(frames) * encoder.layers * encoder.width * 4,
        shared=not gpu,
    )


def parameter_bytes(module: nn.Module) -> int:
    return sum(p.nbytes for p in module.parameters())


def _is_trained(name: str) -> bool:
    """True for the parameters of the branches and of LoRA."""
    return not name.startswith("llm.") or "lora_" in name


def _heaviest(
    passes: Weightless, measured: Sequence[Item], config: Config, checkpointing: bool
) -> int:
    """Bytes of the longest utterance in the phase that needs most.

    Half of a batch of two: the weighted sum copies a batch, but not a single utterance.
    """
    peaks = []
    for phase in phases_of(config.training):
        clips = [longest_clip(measured, phase, config)] * 2
        peaks.append(passes.train(clips, phase, checkpointing).peak)
    return max(peaks) // 2


def longest_clip(measured: Sequence[Item], phase: Phase, config: Config) -> Clip:
    """The utterance that needs most memory in a phase."""
    first = longest(measured, 1, phase, config)[0]
    return Clip(first.frames, first.target(phase))


def extraction(encoder: Encoder, config: Config, seconds: float) -> int:
    """Bytes of the encoder's weights and of a batch of recordings of `seconds`."""
    seconds = min(max(seconds, config.encoder.min_seconds), config.encoder.max_seconds)
    waves = max(1, int(config.encoder.batch_seconds // seconds)) if encoder.batchable else 1
    return (
        parameter_bytes(encoder.model)
        + trace.encode(encoder, waves, round(seconds * SAMPLE_RATE)).peak
    )


@dataclass(frozen=True)
class Decoding:
    """Bytes of decoding."""

    encoder: int
    llm: dict[str, int]
    trained: int
    dequantized: dict[str, int]
    cache: int  # keys and values of one utterance, up to the end of the longest response
    prompt: int  # activations of the prefill of one utterance
    posterior: int  # activations of the candidates of one utterance, computed one by one

    def peak(self, batch: int, quantization: str) -> int:
        activations = max(batch * (self.cache + self.prompt), self.posterior)
        weights = self.encoder + self.llm[quantization] + self.trained
        return weights + self.dequantized[quantization] + activations


def decoding(
    passes: Weightless, train: Training, measured: Sequence[Item], prompt: int, emotions: int
) -> Decoding:
    """Decoding of these utterances, with prompts of `prompt` tokens."""
    config = passes.model.config
    clip = longest_clip(measured, "descriptor", config)
    speech = passes.model.groups * (clip.frames // config.adapter.k)
    positions = prompt + speech + config.decoding.max_new_tokens
    llm_config = passes.model.llm.get_base_model().config  # type: ignore[operator]
    posterior = 0
    if count := candidates(config, emotions):
        posterior = passes.likelihoods(clip, count).peak
    return Decoding(
        encoder=train.encoder,
        llm=train.llm,
        trained=train.trained,
        dequantized=train.dequantized,
        cache=positions * kv_cache(llm_config, DTYPES[config.llm.dtype].itemsize),
        prompt=passes.decode([clip] * 2).peak // 2,
        posterior=posterior,
    )


def kv_cache(shape: Any, itemsize: int) -> int:
    """Bytes of the keys and values of one position."""
    head = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    return int(2 * shape.num_hidden_layers * shape.num_key_value_heads * head * itemsize)
