"""The plan of an experiment: everything that is known of it before it runs, as one tree of numbers (JSON) that show.py prints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from serdesc import runtime
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.features import batches
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.files import free_gb, write_json
from serdesc.models.describer import Describer
from serdesc.plan import calibrate, cards, choose, lengths, memory, shapes, show, trace, work
from serdesc.plan.cards import Speed
from serdesc.plan.lengths import Corpus, Item
from serdesc.plan.show import Tree

ASSUMED = (
    "every epoch costs what the first does, and answers are as long as the references",
    "one card, one process; GB are 10^9 bytes",
    "memory is that of the longest utterances of DATA together, with fused attention; bitsandbytes' own buffers are not counted",
)


@dataclass(frozen=True)
class Setting:
    """What the sections of the plan are made from."""

    config: Config
    corpus: Corpus
    encoder: Encoder
    model: Describer
    short: list[Utterance]  # what is not too long to train on, each at its slowest
    train: list[Item]
    scale: float  # utterances that one of `train` stands for
    test: list[Item]
    test_scale: float
    prompt: int  # tokens
    emotions: int  # that a posterior is over

    def worst(self, utterances: list[Utterance], measured: list[Item]) -> list[Item]:
        """What was measured, with the longest in their place: a sample may have missed them, and a slower copy is longer."""
        last = {
            utt.uniq or utt.utt_id: utt
            for utt in sorted(utterances, key=_seconds)[-self.config.training.batch_size :]
        }
        others = [item for item in measured if item.utterance.utt_id not in last]
        return (
            others
            + lengths.items([*last.values()], self.encoder, self.model.tokenizer, self.config)[0]
        )


def tell(
    config: Config, data: Path, gpu: str, room: float | None, calibrated: bool, out: Path | None
) -> None:
    """The plan on the terminal, and as JSON where it is asked for."""
    device = runtime.start(config) if calibrated else None
    tree = plan(config, data, gpu, room, device)
    show.show(tree)
    if out:
        write_json(out, tree)


def plan(
    config: Config,
    data: Path,
    gpu: str = "",
    room: float | None = None,
    calibrated: torch.device | None = None,
) -> Tree:
    """`room`: GB to stay below; the machine's by default. Without a card and without calibration no hours are told."""
    setting, sources, notes = _setting(config, data)
    costs, curve = work.Costs.of(setting.model), work.Curve.of(setting.encoder)
    rows = shapes.parts(setting.encoder, setting.model)
    speed = _speed(setting, gpu, calibrated)
    on_gpu = speed.gpu if speed else room is not None  # who names a size has a card in mind
    within, spare = room or (speed.memory if speed else cards.here()), (
        cards.CONTEXT if on_gpu else cards.PROGRAM
    )
    live, told = _features(setting)
    passes = trace.Weightless(setting.model)
    heard = setting.worst(setting.short, setting.train)
    made = memory.training(setting.model, passes, heard, setting.encoder, live, on_gpu)
    decode = memory.decoding(
        passes,
        made,
        setting.worst(setting.corpus.test, setting.test) or heard,
        setting.prompt,
        setting.emotions,
    )
    choice = choose.choose(config, made, decode, (within - spare) * 1e9, on_gpu)
    if gpu and choice.quantization != config.llm.quantization:
        speed = cards.card(gpu, replace(config, llm=replace(config.llm, quantization=choice.quantization)))  # type: ignore[arg-type]
    return {
        "models": {"encoder": config.encoder.model, "llm": config.llm.model, **sources},
        "parameters": [row._asdict() for row in rows],
        "features": told,
        "tokens": _tokens(setting, costs, curve, choice),
        "memory": _memory(setting, made, decode, choice, within, spare),
        "settings": [*choice.settings(config)],
        "fits": choice.fits,
        "hours": _hours(setting, costs, curve, choice, speed, live) if speed else None,
        "machine": speed.name if speed else None,
        "assumed": [*ASSUMED, *notes, *(speed.notes if speed else ())],
    }


def _setting(config: Config, data: Path) -> tuple[Setting, dict[str, str], list[str]]:
    if config.model == "ssl_baseline":
        raise UserError(
            "model: 'ssl_baseline' has no LLM and no plan: `--config full` on the same encoder says its disk and hours of extraction"
        )
    corpus = lengths.corpus(data, config)
    encoder, heard_of = shapes.encoder(config.encoder)
    found = shapes.shape(config.llm.model)
    words, note = lengths.tokenizer(config.llm.model, found.config.model_type)
    model, read_of = shapes.describer(config, encoder.layers, encoder.width, words)
    short = [utt for utt in corpus.train if _seconds(utt) <= config.training.max_seconds]
    if not (originals := datadir.originals(short)):
        raise UserError(
            f"{data}: no training utterance is shorter than training.max_seconds = {config.training.max_seconds}"
        )
    train, scale, notes = lengths.items(originals, encoder, words, config)
    test, test_scale, more = lengths.items(corpus.test, encoder, words, config)
    emotions = len(
        {utt.labels.emotion if utt.labels else utt.emotion for utt in corpus.test} - {None}
    )
    slowest = [*{utt.uniq or utt.utt_id: utt for utt in sorted(short, key=_seconds)}.values()]
    setting = Setting(
        config,
        corpus,
        encoder,
        model,
        slowest,
        train,
        scale,
        test,
        test_scale,
        lengths.prompt_tokens(words, config),
        emotions,
    )
    said = dict.fromkeys([*corpus.notes, note, *notes, *more])
    return (
        setting,
        {"encoder shape from": heard_of, "llm shape from": read_of},
        [line for line in said if line],
    )


def _seconds(utt: Utterance) -> float:
    return utt.seconds or 0.0


def _speed(setting: Setting, gpu: str, calibrated: torch.device | None) -> Speed | None:
    if gpu and calibrated:
        raise UserError(
            f"--gpu {gpu} and --calibrate: a card is looked up, this machine is measured: take one of them"
        )
    if gpu:
        return cards.card(gpu, setting.config)
    if calibrated is None:
        return None
    part = -(
        -setting.config.training.batch_size // setting.config.training.gradient_accumulation_steps
    )
    return calibrate.measure(
        setting.config, setting.train, setting.model.tokenizer, setting.encoder, part, calibrated
    )


def _features(setting: Setting) -> tuple[bool, Tree]:
    """Bytes in every precision of the store, and whether the configured one has room; else features are computed live."""
    store = setting.config.store
    every, free = setting.corpus.every, free_gb(Path.cwd())
    sizes = {dtype: stores.size(every, setting.encoder, replace(store, dtype=dtype)) for dtype in stores.BYTES}  # type: ignore[arg-type]
    live = sizes[store.dtype] / 1e9 > free
    hours = sum(utt.seconds or 0.0 for utt in every) / 3600
    told = {
        "hours of speech": hours,
        "utterances": len(every),
        "bytes": sizes,
        "dtype": store.dtype,
        "free GB": free,
        "live": live,
    }
    return live, told


def _tokens(setting: Setting, costs: work.Costs, curve: work.Curve, choice: choose.Choice) -> Tree:
    """An epoch of each phase, and one decoding of the test part."""
    config, out = setting.config, {}
    for phase in work.epochs(config):
        shapes_of = work.epoch(
            setting.train, setting.prompt, phase, config, choice.gradient_accumulation_steps
        )
        step = sum(
            (
                costs.step(s, phase, choice.gradient_checkpointing, config.training.lora)
                for s in shapes_of
            ),
            work.Passes(0, 0),
        )
        out[phase] = {
            "prompt": setting.prompt * len(setting.train) * setting.scale,
            "speech": setting.model.groups
            * sum(lengths.speech_tokens(item.frames, config) for item in setting.train)
            * setting.scale,
            "target": sum(item.tokens(phase) for item in setting.train) * setting.scale,
            "with padding": sum(s.b * s.n for s in shapes_of) * setting.scale,
            "forward": step.forward * setting.scale,
            "backward": step.backward * setting.scale,
        }
    return {
        "epoch": out,
        "encoder": _encoder_flops(setting, curve),
        "decoding": _decoding(setting, costs),
    }


def _encoder_flops(setting: Setting, curve: work.Curve) -> float:
    """FLOPs to hear all of the data once, in the padded batches of the store; utterances that training skips are heard too."""
    config = setting.config
    groups = stores.shards(setting.corpus.every, config.store.shard_seconds)
    return sum(
        work.hearing([utt.seconds or 0.0 for utt in group], setting.encoder, curve)
        for group in groups
    )


def _live_flops(setting: Setting, curve: work.Curve) -> float:
    """FLOPs to hear the training part once, in the batches that are trained on."""
    config, items = setting.config, [item.utterance for item in setting.train]
    order = batches.epoch_batches(items, config.training.batch_size, config.seed, 1, 0)
    return setting.scale * sum(
        work.hearing([utt.seconds or 0.0 for utt in batch], setting.encoder, curve)
        for batch in order
    )


def _decoding(setting: Setting, costs: work.Costs) -> Tree:
    asked = list(work.answers(setting.test, setting.prompt, setting.config, setting.emotions))
    return {
        "reading": sum(work.reading(costs, batch) for batch in asked) * setting.test_scale,
        "steps": sum(batch.steps for batch in asked) * setting.test_scale,
        "utterances": len(setting.corpus.test),
    }


def _memory(
    setting: Setting,
    made: memory.Training,
    decode: memory.Decoding,
    choice: choose.Choice,
    room: float,
    spare: float,
) -> Tree:
    config, part = setting.config, choice.part(setting.config)
    longest = max(utt.seconds or 0.0 for utt in setting.corpus.every)
    return {
        "part": part,
        "rows": {
            "LLM": made.llm[choice.quantization] + made.unpacked[choice.quantization], "branches and LoRA": made.trained, "their gradients": made.gradients,
            "AdamW": made.moments, "encoder, live": made.encoder, "features of a step, waiting": made.waiting if made.shared else 0,
            "a part's features, activations, logits": part * made.utterance[choice.gradient_checkpointing],
        },
        "training": made.peak(part, choice.gradient_checkpointing, choice.quantization),
        "as configured": made.peak(-(-config.training.batch_size // config.training.gradient_accumulation_steps), config.llm.gradient_checkpointing, config.llm.quantization),
        "with checkpointing": made.peak(part, True, choice.quantization),
        "without checkpointing": made.peak(part, False, choice.quantization),
        "features waiting in main memory": made.waiting,
        "extraction": memory.extraction(setting.encoder, config, longest),
        "decoding": decode.peak(choice.decoding_batch, choice.quantization),
        "cache": choice.decoding_batch * decode.cache,
        "room GB": room,
        "spare GB": spare,
    }  # fmt: skip


def _hours(
    setting: Setting,
    costs: work.Costs,
    curve: work.Curve,
    choice: choose.Choice,
    speed: Speed,
    live: bool,
) -> Tree:
    """Of one fold, and of all of them; extraction is done once."""
    config, llm = setting.config, setting.model.llm.get_base_model().config  # type: ignore[operator]
    least = 3 * llm.num_hidden_layers * speed.launch
    training = 0.0
    for phase, epochs in work.epochs(config).items():
        shapes_of = work.epoch(
            setting.train, setting.prompt, phase, config, choice.gradient_accumulation_steps
        )
        seconds = [
            costs.step(s, phase, choice.gradient_checkpointing, config.training.lora).both
            / speed.training
            for s in shapes_of
        ]
        training += epochs * setting.scale * sum(max(s, least) for s in seconds)
    cost = _decoding(setting, costs)
    token = max(work.written(setting.model) / speed.bandwidth, llm.num_hidden_layers * speed.launch)
    heard = _encoder_flops(setting, curve) / speed.encoding
    again = _live_flops(setting, curve) / speed.encoding * sum(work.epochs(config).values())
    fold = training + (again if live else 0.0)
    decoding = cost["reading"] / speed.reading + cost["steps"] * token
    return {
        "extraction": 0.0 if live else heard / 3600, "training": fold / 3600, "decoding": decoding / 3600, "folds": setting.corpus.folds,
        "all": ((0.0 if live else heard) + setting.corpus.folds * (fold + decoding)) / 3600, "live adds": again / 3600,
    }  # fmt: skip
