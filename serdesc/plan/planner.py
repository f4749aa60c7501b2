"""The plan of an experiment: resource estimates as one tree (JSON); show.py prints it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Iterator

import torch

from serdesc import runtime
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.features import batches, precision
from serdesc.features import store as stores
from serdesc.files import free_gb, write_json
from serdesc.models.adapter import token_count
from serdesc.models.describer import Phase
from serdesc.plan import calibrate, cards, choose, memory, shapes, show, trace, work
from serdesc.plan.cards import Speed
from serdesc.plan.inputs import Inputs, inputs_of, seconds_of
from serdesc.plan.lengths import AssumedData
from serdesc.plan.show import Tree

ASSUMED = (
    "every epoch costs what the first does, and responses are as long as the references",
    "GB are 10^9 bytes",
    "memory is that of one process and of the longest utterances of DATA together, with fused "
    "attention; bitsandbytes' own buffers are not counted",
)


def run(
    config: Config,
    data: Path | AssumedData,
    gpu: str,
    gpus: int,
    room: float | None,
    calibrated: bool,
    out: Path | None,
) -> None:
    """Print the plan, and write it to `out` as JSON if given."""
    device = runtime.start(config) if calibrated else None
    tree = plan(config, data, gpu, room, device, gpus)
    show.show(tree)
    if out:
        write_json(out, tree)


def plan(
    config: Config,
    data: Path | AssumedData,
    gpu: str = "",
    room: float | None = None,
    calibrated: torch.device | None = None,
    gpus: int = 1,
) -> Tree:
    """The resource estimates of an experiment.

    `room`: limit of memory in GB; by default that of the GPU or the machine. `calibrated`: the
    device to measure. Without `gpu` and `calibrated` there are no hours. `gpus`: processes of
    training (torchrun). Raises UserError for models without an LLM, unknown cards, more processes
    than utterances in a batch, and data without training utterances.
    """
    inputs, sources, notes = inputs_of(config, data, gpus)
    costs, curve = work.Costs.of(inputs.model), work.Curve.of(inputs.encoder)
    parameters = [part._asdict() for part in shapes.parts(inputs.encoder, inputs.model)]
    speed = _speed(inputs, gpu, calibrated)
    on_gpu = speed.gpu if speed else room is not None  # a given limit is taken as a GPU's memory
    limit = room or (speed.memory if speed else cards.here())
    spare = cards.CONTEXT if on_gpu else cards.PROGRAM
    live, feature_section = _features(inputs)
    train, decode = _peaks(inputs, live, on_gpu)
    choice = choose.choose(inputs.share, train, decode, (limit - spare) * 1e9, on_gpu)
    if gpu and choice.quantization != config.llm.quantization:
        llm = replace(config.llm, quantization=choice.quantization)  # type: ignore[arg-type]
        speed = cards.card(gpu, replace(config, llm=llm))
    hours = _hours(inputs, costs, curve, choice, speed, live) if speed else None
    speed_notes = speed.notes if speed else ()
    return {
        "models": {"encoder": config.encoder.model, "llm": config.llm.model, **sources},
        "parameters": parameters,
        "features": feature_section,
        "tokens": _tokens(inputs, costs, curve, choice),
        "memory": _memory(inputs, train, decode, choice, limit, spare),
        "settings": choice.settings(config),
        "fits": choice.fits,
        "hours": hours,
        "machine": speed.name if speed else None,
        "gpus": gpus,
        "assumed": [*ASSUMED, *notes, *speed_notes, *_weight_of_kl(config)],
    }


def _peaks(inputs: Inputs, live: bool, on_gpu: bool) -> tuple[memory.Training, memory.Decoding]:
    """Memory of training and decoding, for the longest utterances."""
    passes = trace.Weightless(inputs.model)
    training_items = inputs.with_longest(inputs.slowest, inputs.train)
    test_items = inputs.with_longest(inputs.data.test, inputs.test) or training_items
    train = memory.training(inputs.model, passes, training_items, inputs.encoder, live, on_gpu)
    return train, memory.decoding(passes, train, test_items, inputs.prompt, inputs.emotions)


def _weight_of_kl(config: Config) -> list[str]:
    """What beta amounts to for a latent dimension, and with the other reduction over K."""
    training, k = config.training, config.branch.latent
    if config.model != "describer" or not training.beta:
        return []
    weights = {"sum": training.beta, "mean": training.beta / k}
    other = {"sum": "mean", "mean": "sum"}[training.kl]
    over = "mean over frames" if training.loss == "mean" else "sum over frames (eq4)"
    return [
        f"KL: beta {training.beta:g}, {training.kl} over K = {k}, {over}: each latent dimension has"
        f" the weight {weights[training.kl]:.3g}; with training.kl={other} it would be"
        f" {weights[other]:.3g}"
    ]


def _speed(inputs: Inputs, gpu: str, calibrated: torch.device | None) -> Speed | None:
    if gpu and calibrated:
        raise UserError(
            f"--gpu {gpu} and --calibrate: the first names a card, the second measures this "
            "machine: use one of them"
        )
    if gpu:
        return cards.card(gpu, inputs.config)
    if calibrated is None:
        return None
    training = inputs.config.training
    part = -(-inputs.share.training.batch_size // training.gradient_accumulation_steps)
    return calibrate.measure_speed(
        inputs.config, inputs.train, inputs.model.tokenizer, inputs.encoder, part, calibrated
    )


def _features(inputs: Inputs) -> tuple[bool, Tree]:
    """Whether features must be computed live, and the size of the store in every precision."""
    store = inputs.config.store
    every, free = inputs.data.every, free_gb(Path.cwd())
    sizes: dict[str, int] = {}
    for dtype in precision.BYTES:
        variant = replace(store, dtype=dtype)  # type: ignore[arg-type]
        sizes[dtype] = stores.size(every, inputs.encoder, variant)
    live = sizes[store.dtype] / 1e9 > free
    hours = sum(map(seconds_of, every)) / 3600
    section = {
        "hours of speech": hours,
        "utterances": len(every),
        "bytes": sizes,
        "dtype": store.dtype,
        "free GB": free,
        "live": live,
    }
    return live, section


def _tokens(inputs: Inputs, costs: work.Costs, curve: work.Curve, choice: choose.Choice) -> Tree:
    """An epoch of each phase, and one decoding of the test part."""
    epochs: Tree = {}
    if inputs.config.training.pretrain.epochs:
        flops = work.pretraining(inputs.train, inputs.model)
        epochs["pretraining"] = _row(inputs, 0, 0, 0, flops)
    for phase in work.epochs(inputs.config):
        epochs[phase] = _epoch(inputs, costs, phase, choice)
    return {
        "epoch": epochs,
        "encoder": _encoder_flops(inputs, curve),
        "decoding": _decoding(inputs, costs),
    }


def _epoch(inputs: Inputs, costs: work.Costs, phase: Phase, choice: choose.Choice) -> Tree:
    """Tokens and FLOPs of one epoch of a phase."""
    target = sum(item.tokens(phase) for item in inputs.train)
    padded, flops = 0, work.Passes(0, 0)
    for shape, step in _steps(inputs, costs, phase, choice):
        padded += shape.b * shape.n
        flops += step
    return _row(inputs, inputs.prompt * len(inputs.train), target, padded, flops)


def _row(inputs: Inputs, prompt: int, target: int, padded: int, flops: work.Passes) -> Tree:
    k = inputs.config.adapter.k
    speech = inputs.model.groups * sum(token_count(item.frames, k) for item in inputs.train)
    return {
        "prompt": prompt * inputs.scale,
        "speech": speech * inputs.scale,
        "target": target * inputs.scale,
        "with padding": padded * inputs.scale,
        "forward": flops.forward * inputs.scale,
        "backward": flops.backward * inputs.scale,
    }


def _steps(
    inputs: Inputs, costs: work.Costs, phase: Phase, choice: choose.Choice
) -> Iterator[tuple[work.BatchShape, work.Passes]]:
    """Shape and FLOPs of each forward and backward pass of one epoch."""
    config, parts = inputs.config, inputs.gpus * choice.gradient_accumulation_steps
    for shape in work.epoch(inputs.train, inputs.prompt, phase, config, parts):
        checkpointing, lora = choice.gradient_checkpointing, config.training.lora
        yield shape, costs.step(shape, phase, checkpointing, lora)


def _encoder_flops(inputs: Inputs, curve: work.Curve) -> float:
    """FLOPs of the extraction, in the padded batches of the store."""
    shards = stores.shards(inputs.data.every, inputs.config.store.shard_seconds)
    return sum(work.encoding(list(map(seconds_of, s)), inputs.encoder, curve) for s in shards)


def _live_flops(inputs: Inputs, curve: work.Curve) -> float:
    """FLOPs to encode the training part once, in the batches of training."""
    config, items = inputs.config, [item.utterance for item in inputs.train]
    order = batches.epoch_batches(items, config.training.batch_size, config.seed, 1, 0)
    flops = sum(work.encoding(list(map(seconds_of, b)), inputs.encoder, curve) for b in order)
    return inputs.scale * flops


def _decoding(inputs: Inputs, costs: work.Costs) -> Tree:
    decoded = list(work.answers(inputs.test, inputs.prompt, inputs.config, inputs.emotions))
    prefill = sum(work.prefill(costs, batch) for batch in decoded)
    steps = sum(batch.steps for batch in decoded)
    return {
        "reading": prefill * inputs.test_scale,
        "steps": steps * inputs.test_scale,
        "utterances": len(inputs.data.test),
    }


def _memory(
    inputs: Inputs,
    train: memory.Training,
    decode: memory.Decoding,
    choice: choose.Choice,
    room: float,
    spare: float,
) -> Tree:
    config, part = inputs.share, choice.part(inputs.share)
    longest = max(map(seconds_of, inputs.data.every))
    accumulation_steps = config.training.gradient_accumulation_steps
    configured_part = -(-config.training.batch_size // accumulation_steps)
    quantization, checkpointing = choice.quantization, choice.gradient_checkpointing
    rows = {
        "LLM": train.llm[quantization] + train.dequantized[quantization],
        "branches and LoRA": train.trained,
        "their gradients": train.gradients,
        "AdamW": train.moments,
        "encoder, live": train.encoder,
        "features of a step, waiting": train.queued if train.shared else 0,
        "a part's features, activations, logits": part * train.utterance[checkpointing],
    }
    return {
        "part": part,
        "rows": rows,
        "training": train.peak(part, checkpointing, quantization),
        "as configured": train.peak(
            configured_part, config.llm.gradient_checkpointing, config.llm.quantization
        ),
        "with checkpointing": train.peak(part, True, quantization),
        "without checkpointing": train.peak(part, False, quantization),
        "features waiting in main memory": train.queued,
        "extraction": memory.extraction(inputs.encoder, config, longest),
        "decoding": decode.peak(choice.decoding_batch, quantization),
        "cache": choice.decoding_batch * decode.cache,
        "room GB": room,
        "spare GB": spare,
    }


def _hours(
    inputs: Inputs,
    costs: work.Costs,
    curve: work.Curve,
    choice: choose.Choice,
    speed: Speed,
    live: bool,
) -> Tree:
    """Hours of one fold, and of all folds with one extraction.

    Only training is shared by several processes.
    """
    llm = inputs.model.llm.get_base_model().config  # type: ignore[operator]
    launch = 3 * llm.num_hidden_layers * speed.launch
    training = 0.0
    epochs_of = work.epochs(inputs.config)
    for phase, epochs in epochs_of.items():
        seconds = 0.0
        for _, step in _steps(inputs, costs, phase, choice):
            seconds += max(step.both / speed.training, launch)
        training += epochs * inputs.scale * seconds / inputs.gpus
    if pretraining := inputs.config.training.pretrain.epochs:
        seconds = work.pretraining(inputs.train, inputs.model).both / speed.training
        training += pretraining * inputs.scale * seconds / inputs.gpus
    cost = _decoding(inputs, costs)
    bandwidth_bound = work.bytes_per_step(inputs.model) / speed.bandwidth
    token = max(bandwidth_bound, llm.num_hidden_layers * speed.launch)
    encoded = _encoder_flops(inputs, curve) / speed.encoding
    live_encoding = _live_flops(inputs, curve) / speed.encoding
    live_encoding *= (pretraining + sum(epochs_of.values())) / inputs.gpus
    fold = training + (live_encoding if live else 0.0)
    decoding = cost["reading"] / speed.reading + cost["steps"] * token
    extraction = 0.0 if live else encoded
    folds = inputs.data.folds
    return {
        "extraction": extraction / 3600,
        "training": fold / 3600,
        "decoding": decoding / 3600,
        "folds": folds,
        "all": (extraction + folds * (fold + decoding)) / 3600,
        "live adds": live_encoding / 3600,
    }
