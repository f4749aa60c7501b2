"""How fast this machine is, by real steps of the configured shapes: the LLM with two and four of its layers, the encoder likewise.

A step with n layers takes t0 + n t1 seconds: two measurements give both, and so the time with all layers. FLOPs grow in the same way.
Weights are constants: products take as long, and drawing 8 billion numbers would take longer than the measurement.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
import torch
from torch import nn

from serdesc.config import Config
from serdesc.data.audio import SAMPLE_RATE
from serdesc.features.batches import pad
from serdesc.features.encoder import Encoder
from serdesc.models.describer import Describer, Phase, noise
from serdesc.plan import cards, shapes, trace
from serdesc.plan.cards import Speed
from serdesc.plan.lengths import Item, speech_tokens
from serdesc.plan.work import Costs, Shape, padded, written
from serdesc.training.phases import phases_of

SECONDS = 4.0  # that each measurement goes on for, after a run that is not counted
CLOCK = time.perf_counter
DEPTHS = (2, 4)
MOST = 1e12  # FLOPs of a training step with few layers: a larger batch is halved until it takes no more
TOKENS = (1, 21)  # answers of so many tokens: their difference is the time of a token


class Timed(NamedTuple):
    seconds: float
    flops: float

    @property
    def rate(self) -> float:
        return self.flops / self.seconds


def measure(
    config: Config,
    measured: Sequence[Item],
    words: Any,
    heard: Encoder,
    part: int,
    device: torch.device,
) -> Speed:
    """The speeds of `device` in this process, with its threads."""
    depth = int(shapes.shape(config.llm.model).config.num_hidden_layers)
    tried = [_llm(config, measured, words, heard, part, device, n) for n in _depths(depth)]
    training, reading, writing = (
        _whole([row[name] for row in tried], _depths(depth), depth)
        for name in ("train", "read", "write")
    )
    encoding = encoder(config, measured, heard, device)
    notes: tuple[str, ...] = (
        f"calibrated with {' and '.join(map(str, _depths(depth)))} of the LLM's {depth} layers: with all of them {training.seconds:.3g} s for a part "
        f"of a step of {training.flops / 1e12:.3g} TFLOP, {writing.seconds:.3g} s for a token of {config.decoding.batch_size} answers",
        "nothing else runs on the machine; reading features from disk keeps up",
    )
    slower = cards.SLOWER[config.llm.quantization]
    if slower < 1:
        notes += (
            f"measured in {config.llm.dtype}; {config.llm.quantization} weights are unpacked for each product: {slower:g} times the speed",
        )
    name = f"this machine ({device}, {torch.get_num_threads()} threads)"
    gpu = device.type == "cuda"
    memory = torch.cuda.get_device_properties(device).total_memory / 1e9 if gpu else cards.here()
    return Speed(
        name,
        memory,
        gpu,
        training.rate * slower,
        encoding.rate,
        reading.rate * slower,
        writing.rate,
        0.0,
        notes,
    )


def _depths(depth: int) -> list[int]:
    return sorted({min(n, depth) for n in DEPTHS})


def _whole(timed: Sequence[Timed], depths: Sequence[int], depth: int) -> Timed:
    """What it would be with all layers, by the line through two depths."""
    if len(timed) == 1:
        return timed[0]
    (a, b), step = timed, depths[1] - depths[0]
    return Timed(
        *(max(low + (high - low) / step * (depth - depths[0]), high) for low, high in zip(a, b))
    )


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    """The median over the runs that fit into the time, three at least."""
    runs: list[float] = []
    work()
    while len(runs) < 3 or sum(runs) < SECONDS:
        start = CLOCK()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        runs.append(CLOCK() - start)
    return float(np.median(runs))


def _filled(module: nn.Module, device: torch.device) -> None:
    """From the meta device to a real one, every number a constant."""
    module.to_empty(device=device)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(0.01)


# ---- the LLM -------------------------------------------------------------------------------------------------------------


def _llm(
    config: Config,
    measured: Sequence[Item],
    words: Any,
    heard: Encoder,
    part: int,
    device: torch.device,
    depth: int,
) -> dict[str, Timed]:
    """A training step, a reading of the same rows, and a token of answers, with so many layers."""
    model, _ = shapes.describer(config, heard.layers, heard.width, words, num_hidden_layers=depth)
    _filled(model, device)
    model.prompt = replace(model.prompt, end=int(model.llm.get_base_model().config.vocab_size) - 1)  # type: ignore[operator]  # never said
    phase = list(phases_of(config.training))[-1]
    batch = _middle(measured, part)
    prompt, costs = len(model.prompt.before) + len(model.prompt.between) + len(
        model.prompt.after
    ), Costs.of(model)
    while len(batch) > 1 and costs.step(padded(batch, prompt, phase, config), phase).both > MOST:
        batch = batch[: len(batch) // 2]
    shape = padded(batch, prompt, phase, config)
    step = costs.step(shape, phase, config.llm.gradient_checkpointing, config.training.lora).both
    return {
        "train": Timed(_train(model, batch, phase, device), step),
        **_answer(model, costs, batch[0], prompt, device),
    }


def _middle(measured: Sequence[Item], part: int) -> list[Item]:
    """Neighbours of the median utterance in length."""
    ordered = sorted(measured, key=lambda item: item.frames)
    start = max(0, min(len(ordered) // 2 - part // 2, len(ordered) - part))
    return ordered[start : start + part]


def _train(model: Describer, batch: Sequence[Item], phase: Phase, device: torch.device) -> float:
    """Forward, backward, and the optimizer's step."""
    model.train_phase(phase)
    parameters = [p for _, p in model.trained(phase)]
    optimizer = torch.optim.AdamW(parameters, lr=1e-6)
    forward = _forward(model, batch, phase)

    def step() -> None:
        optimizer.zero_grad()
        forward().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return _seconds(step, device)


def _forward(model: Describer, batch: Sequence[Item], phase: Phase) -> Callable[[], Any]:
    x, frames = pad([torch.full((model.layers, item.frames, model.width), 0.01) for item in batch])
    latent = model.config.branch.latent

    def run() -> Any:
        eps = {
            name: noise(latent, frames.tolist(), range(len(batch)))
            for name in model.sampled_branches(phase)
        }
        loss = model(x, frames, [item.target(phase) for item in batch], phase, eps)
        return loss.llm / loss.tokens + loss.kl / max(1, loss.frames)

    return run


def _answer(
    model: Describer, costs: Costs, item: Item, prompt: int, device: torch.device
) -> dict[str, Timed]:
    """Reading the prompts of a decoding batch, and one more token of its answers (bytes in the place of FLOPs)."""
    model.eval()
    u, b = speech_tokens(item.frames, model.config), model.config.decoding.batch_size
    with torch.inference_mode():
        s = torch.full((u, model.llm_width), 0.01, device=device)
        rows = [model.build_row(model.prompt, s, s if model.groups == 2 else None, None)] * b
        few, many = (_seconds(lambda count=count: model.decode_rows(rows, count), device) for count in TOKENS)  # type: ignore[misc]
    token = max(many - few, 1e-6) / (TOKENS[1] - TOKENS[0])
    read = costs.body(Shape(b, prompt + model.groups * u, 0, u, b)) + b * costs.label
    return {"read": Timed(max(few, token), read), "write": Timed(token, written(model))}


# ---- the encoder ---------------------------------------------------------------------------------------------------------


def encoder(
    config: Config, measured: Sequence[Item], heard: Encoder, device: torch.device
) -> Timed:
    """A batch of recordings of median length."""
    seconds = float(np.median([item.utterance.seconds or 0.0 for item in measured]))
    seconds = min(max(seconds, config.encoder.min_seconds), config.encoder.max_seconds)
    waves = max(1, min(8, int(config.encoder.batch_seconds // seconds))) if heard.batchable else 1
    depth = int(heard.model.config.num_hidden_layers)
    tried = [
        _encode(config, waves, round(seconds * SAMPLE_RATE), device, n) for n in _depths(depth)
    ]
    return _whole(tried, _depths(depth), depth)


def _encode(config: Config, waves: int, samples: int, device: torch.device, depth: int) -> Timed:
    from transformers import AutoModel, Wav2Vec2FeatureExtractor

    def built() -> Encoder:
        shape = shapes.shape(config.encoder.model).config
        shape.num_hidden_layers = depth
        with shapes.META:
            model = AutoModel.from_config(shape)
            extractor = Wav2Vec2FeatureExtractor(
                do_normalize=True, return_attention_mask=shape.feat_extract_norm == "layer"
            )
            return Encoder(model, extractor, config.encoder, shapes.META)

    flops = trace.encode(built(), waves, samples).forward
    real = built()
    _filled(real.model, device)
    real.device = device
    noises = list(np.random.default_rng(0).normal(0, 0.1, (waves, samples)).astype(np.float32))
    return Timed(_seconds(lambda: real(noises), device), flops)
