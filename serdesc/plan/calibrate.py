"""Measures the speed of this machine with real steps of the configured LLM and encoder.

A step with n layers takes t0 + n t1 seconds. Measurements with two and four layers give both, and
so the time with all layers; FLOPs grow in the same way. Weights are constants: matrix products take
as long, and drawing 8 billion random numbers would take longer than the measurement.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
import torch
from torch import nn

from serdesc.config import Config
from serdesc.data.audio import SAMPLE_RATE
from serdesc.features.batches import pad
from serdesc.features.encoder import Encoder
from serdesc.models.adapter import token_count
from serdesc.models.describer import Describer, Phase
from serdesc.models.speech import SpeechTokens, noise
from serdesc.plan import cards, shapes, trace
from serdesc.plan.cards import Speed
from serdesc.plan.lengths import Item
from serdesc.plan.work import BatchShape, Costs, bytes_per_step, padded
from serdesc.training.phases import phases_of

SECONDS = 4.0  # duration of each measurement, after one warm-up run
CLOCK = time.perf_counter
DEPTHS = (2, 4)
MAX_FLOPS = 1e12  # of a training step with few layers; a larger batch is halved
TOKENS = (1, 21)  # response lengths: their difference gives the time of a token


class Timed(NamedTuple):
    seconds: float
    flops: float

    @property
    def rate(self) -> float:
        return self.flops / self.seconds


def measure_speed(
    config: Config,
    measured: Sequence[Item],
    words: Any,
    encoder: Encoder,
    part: int,
    device: torch.device,
) -> Speed:
    """The speed of `device` in this process, with its number of threads."""
    depth = int(shapes.shape(config.llm.model).config.num_hidden_layers)
    depths = _depths(depth)
    timings = [_time_llm(config, measured, words, encoder, part, device, n) for n in depths]
    training = _all_layers([row["train"] for row in timings], depths, depth)
    reading = _all_layers([row["read"] for row in timings], depths, depth)
    writing = _all_layers([row["write"] for row in timings], depths, depth)
    encoding = _time_encoder(config, measured, encoder, device)
    notes: tuple[str, ...] = (
        f"calibrated with {' and '.join(map(str, depths))} of the LLM's {depth} layers: "
        f"with all of them {training.seconds:.3g} s for a part of a step of "
        f"{training.flops / 1e12:.3g} TFLOP, {writing.seconds:.3g} s for a token of "
        f"{config.decoding.batch_size} responses",
        "nothing else runs on the machine; reading features from disk is no bottleneck",
    )
    slower = cards.SLOWER[config.llm.quantization]
    if slower < 1:
        notes += (f"measured in {config.llm.dtype}; {cards.dequantized(config)}",)
    name = f"this machine ({device}, {torch.get_num_threads()} threads)"
    gpu = device.type == "cuda"
    memory = torch.cuda.get_device_properties(device).total_memory / 1e9 if gpu else cards.here()
    return Speed(
        name=name,
        memory=memory,
        gpu=gpu,
        training=training.rate * slower,
        encoding=encoding.rate,
        reading=reading.rate * slower,
        bandwidth=writing.rate,
        launch=0.0,
        notes=notes,
    )


def _depths(depth: int) -> list[int]:
    return sorted({min(n, depth) for n in DEPTHS})


def _all_layers(timed: Sequence[Timed], depths: Sequence[int], depth: int) -> Timed:
    """Extrapolation to all layers, by the line through two depths."""
    if len(timed) == 1:
        return timed[0]
    (a, b), step = timed, depths[1] - depths[0]
    extrapolated = [low + (high - low) / step * (depth - depths[0]) for low, high in zip(a, b)]
    return Timed(*map(max, extrapolated, b))


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    """The median over at least three runs of `work`, for SECONDS in all."""
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
    """Move a module from the meta device to a real one; every weight is the same constant."""
    module.to_empty(device=device)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(0.01)


# ---- LLM -----------------------------------------------------------------------------------------


def _time_llm(
    config: Config,
    measured: Sequence[Item],
    words: Any,
    encoder: Encoder,
    part: int,
    device: torch.device,
    depth: int,
) -> dict[str, Timed]:
    """A training step, the prefill of the same rows and a decoding step, with `depth` layers."""
    model, _ = shapes.describer(
        config, encoder.layers, encoder.width, words, num_hidden_layers=depth
    )
    _filled(model, device)
    last_token = int(model.llm.get_base_model().config.vocab_size) - 1  # type: ignore[operator]
    model.prompt = replace(model.prompt, end=last_token)  # never predicted
    phase = list(phases_of(config.training))[-1]
    batch = _middle(measured, part)
    parts = (model.prompt.before, model.prompt.between, model.prompt.after)
    prompt, costs = sum(map(len, parts)), Costs.of(model)
    while (
        len(batch) > 1 and costs.step(padded(batch, prompt, phase, config), phase).both > MAX_FLOPS
    ):
        batch = batch[: len(batch) // 2]
    shape = padded(batch, prompt, phase, config)
    step = costs.step(shape, phase, config.llm.gradient_checkpointing, config.training.lora).both
    return {
        "train": Timed(_train(model, batch, phase, device), step),
        **_answer(model, costs, batch[0], prompt, device),
    }


def _middle(measured: Sequence[Item], part: int) -> list[Item]:
    """A batch of `part` utterances of about the median length."""
    ordered = sorted(measured, key=lambda item: item.frames)
    start = max(0, min(len(ordered) // 2 - part // 2, len(ordered) - part))
    return ordered[start : start + part]


def _train(model: Describer, batch: Sequence[Item], phase: Phase, device: torch.device) -> float:
    """Seconds of forward, backward and optimizer step."""
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
    """Prefill of a decoding batch, and one decoding step (with bytes in place of FLOPs)."""
    model.eval()
    u, b = token_count(item.frames, model.config.adapter.k), model.config.decoding.batch_size
    with torch.inference_mode():
        s = torch.full((b, u, model.llm_width), 0.01, device=device)
        speech = SpeechTokens(s, s if model.groups == 2 else None, s.new_zeros(()))
        rows = model.build_rows(model.prompt, speech, [u] * b, [None] * b, padding="left")
        few, many = (_seconds(partial(model.decode_rows, rows, count), device) for count in TOKENS)
    token = max(many - few, 1e-6) / (TOKENS[1] - TOKENS[0])
    prefill = costs.body(BatchShape(b, prompt + model.groups * u, 0, u, b)) + b * costs.label
    return {"read": Timed(max(few, token), prefill), "write": Timed(token, bytes_per_step(model))}


# ---- encoder -------------------------------------------------------------------------------------


def _time_encoder(
    config: Config, measured: Sequence[Item], encoder: Encoder, device: torch.device
) -> Timed:
    """The encoder on a batch of recordings of median length."""
    seconds = float(np.median([item.utterance.seconds or 0.0 for item in measured]))
    seconds = min(max(seconds, config.encoder.min_seconds), config.encoder.max_seconds)
    waves = max(1, min(8, int(config.encoder.batch_seconds // seconds))) if encoder.batchable else 1
    depth = int(encoder.model.config.num_hidden_layers)
    timings = [
        _time_encoding(config, waves, round(seconds * SAMPLE_RATE), device, n)
        for n in _depths(depth)
    ]
    return _all_layers(timings, _depths(depth), depth)


def _time_encoding(
    config: Config, waves: int, samples: int, device: torch.device, depth: int
) -> Timed:
    def built() -> Encoder:
        shape = shapes.shape(config.encoder.model).config
        shape.num_hidden_layers = depth
        return Encoder.without_weights(shape, config.encoder, shapes.META)

    flops = trace.encode(built(), waves, samples).forward
    real = built()
    _filled(real.model, device)
    real.device = device
    noises = list(np.random.default_rng(0).normal(0, 0.1, (waves, samples)).astype(np.float32))
    return Timed(_seconds(lambda: real(noises), device), flops)
