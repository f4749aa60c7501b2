"""FLOPs (2 for each multiply-add) of training, extraction and decoding, by the shapes that the batches really have.

A frozen weight costs one product forward and one backward, through the activations; a trained weight one more. So an 8B LLM with LoRA costs
about 32 GFLOP a token. Attention is counted over all pairs of positions, as a fused kernel with a mask computes it; its backward pass has five
products where the forward pass has two. Norms, activations and the optimizer are left out: they cost bandwidth, not products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, NamedTuple, Sequence

from torch import nn

from serdesc.config import Config
from serdesc.data.audio import SAMPLE_RATE
from serdesc.features import batches
from serdesc.features.encoder import Encoder
from serdesc.features.live import batch_by_length
from serdesc.models.describer import TRAINED, Describer, Phase
from serdesc.plan import trace
from serdesc.plan.lengths import Item, groups, in_order, speech_tokens
from serdesc.training.phases import phases_of


class Shape(NamedTuple):
    """A batch with its padding: B rows of N positions, T frames and U speech tokens; labels are counted without padding."""

    b: int
    n: int
    t: int
    u: int
    labels: int


class Passes(NamedTuple):
    """FLOPs of one batch, or of many."""

    forward: float
    backward: float

    def __add__(self, other: tuple[float, ...]) -> Passes:  # type: ignore[override]
        return Passes(self.forward + other[0], self.backward + other[1])

    @property
    def both(self) -> float:
        return self.forward + self.backward


def matrices(module: nn.Module, wanted: Callable[[str], bool] = lambda name: True) -> int:
    """Parameters that are multiplied with: weights of linear layers."""
    return sum(p.numel() for name, p in module.named_parameters() if p.ndim == 2 and wanted(name))


@dataclass(frozen=True)
class Costs:
    """FLOPs of one pass forward, by what it grows with."""

    token: float  # an LLM position through the frozen weights
    last: float  # of it, the last product of every layer, whose result recomputing does not need
    lora: float  # and through LoRA
    pair: float  # a pair of positions, in attention
    label: float  # a label token over the vocabulary
    frame: float  # a frame through a bottleneck
    layers: float  # and its weighted sum
    speech: float  # a speech token through an adapter
    groups: int  # of speech tokens, each with its own bottleneck and adapter

    @classmethod
    def of(cls, model: Describer) -> Costs:
        llm = model.llm.get_base_model()  # type: ignore[operator]
        shape = llm.config
        head = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
        return cls(
            token=2.0
            * matrices(llm.model, lambda name: "lora_" not in name and "embed_tokens" not in name),
            last=2.0
            * matrices(llm.model, lambda name: "down_proj" in name and "lora_" not in name),
            lora=2.0 * matrices(llm.model, lambda name: "lora_" in name),
            pair=4.0 * shape.num_attention_heads * head * shape.num_hidden_layers,
            label=2.0 * llm.lm_head.weight.numel(),
            frame=2.0 * matrices(model, lambda name: ".bottleneck." in name) / model.groups,
            layers=2.0 * model.layers * model.width,
            speech=2.0
            * matrices(
                model, lambda name: "adapter.layers." in name and not name.startswith("llm.")
            )
            / model.groups,
            groups=model.groups,
        )

    def heard(self, shape: Shape) -> float:
        """One group of speech tokens, forward."""
        return shape.b * (shape.t * (self.frame + self.layers) + shape.u * self.speech)

    def body(self, shape: Shape) -> float:
        """The LLM's layers, forward."""
        return shape.b * shape.n * (self.token + self.lora + shape.n * self.pair)

    def step(
        self, shape: Shape, phase: Phase, checkpointing: bool = False, lora: bool = True
    ) -> Passes:
        """A training step on one batch."""
        heard = self.heard(shape) * (1 if phase == "content" else self.groups)
        trained = (2 * self.heard(shape) - shape.b * shape.t * self.layers) * min(
            self.groups, len(TRAINED[phase])
        )  # features take no gradient
        back = (
            shape.b
            * shape.n
            * (self.token + self.lora * (2 if lora else 1) + 2.5 * shape.n * self.pair)
        )
        again = self.body(shape) - shape.b * shape.n * self.last if checkpointing else 0.0
        head = shape.labels * self.label
        return Passes(heard + self.body(shape) + head, trained + back + again + head)


# ---- batches -------------------------------------------------------------------------------------------------------------


def padded(batch: Sequence[Item], prompt: int, phase: Phase, config: Config) -> Shape:
    rows = [
        prompt + groups(config) * speech_tokens(item.frames, config) + item.tokens(phase)
        for item in batch
    ]
    t = max(item.frames for item in batch)
    return Shape(
        len(batch),
        max(rows),
        t,
        speech_tokens(t, config),
        sum(item.tokens(phase) for item in batch),
    )


def parts(batch: Sequence[Item], accumulation_steps: int) -> list[Sequence[Item]]:
    """What the trainer works off one after another."""
    return [batch[i::accumulation_steps] for i in range(min(accumulation_steps, len(batch)))]


def epoch(
    measured: Sequence[Item], prompt: int, phase: Phase, config: Config, accumulation_steps: int
) -> list[Shape]:
    """The shapes of an epoch of a phase, in the batches of the first."""
    order = batches.epoch_batches(
        [item.utterance for item in measured], config.training.batch_size, config.seed, 1, phase, 0
    )
    return [
        padded(part, prompt, phase, config)
        for batch in in_order(measured, order)
        for part in parts(batch, accumulation_steps)
    ]


def epochs(config: Config) -> dict[Phase, int]:
    return {phase: settings.epochs for phase, settings in phases_of(config.training).items()}


# ---- encoder -------------------------------------------------------------------------------------------------------------


class Curve(NamedTuple):
    """FLOPs of the encoder for so many seconds: a s + b s^2, attention being the square."""

    a: float
    b: float

    @classmethod
    def of(cls, encoder: Encoder, short: float = 2.0, long: float = 20.0) -> Curve:
        at = [
            trace.encode(encoder, 1, round(SAMPLE_RATE * seconds)).forward / seconds
            for seconds in (short, long)
        ]
        slope = (at[1] - at[0]) / (long - short)
        return cls(at[0] - slope * short, slope)

    def __call__(self, seconds: float) -> float:
        return self.a * seconds + self.b * seconds**2


def hearing(seconds: Sequence[float], encoder: Encoder, curve: Curve) -> float:
    """FLOPs to encode recordings that are there together, each batch padded to its longest."""
    heard = [
        min(max(one, encoder.config.min_seconds), encoder.config.max_seconds) for one in seconds
    ]
    grouped = batch_by_length([round(one * SAMPLE_RATE) for one in heard], encoder)
    return sum(len(batch) * curve(max(heard[i] for i in batch)) for batch in grouped)


# ---- decoding ------------------------------------------------------------------------------------------------------------


class Answers(NamedTuple):
    """A decoding batch: what is read of its prompts, tokens that are written one after another, and forms for the posterior."""

    prompts: Shape
    steps: int  # until its longest answer ends
    forms: Sequence[Shape]


def answers(
    measured: Sequence[Item], prompt: int, config: Config, emotions: int
) -> Iterator[Answers]:
    """The decoding batches; answers are taken to be as long as the references."""
    order = batches.decoding_batches(
        [item.utterance for item in measured], config.decoding.batch_size
    )
    for batch in in_order(measured, order):
        shape = padded(batch, prompt, "descriptor", config)
        steps = min(config.decoding.max_new_tokens, max(item.caption_tokens for item in batch))
        forms = (
            [_forms(item, prompt, config, emotions) for item in batch]
            if config.decoding.posterior and emotions > 1
            else []
        )
        yield Answers(
            shape._replace(
                n=shape.n - max(item.caption_tokens for item in batch), labels=len(batch)
            ),
            steps,
            forms,
        )


def _forms(item: Item, prompt: int, config: Config, emotions: int) -> Shape:
    alone = padded([item], prompt, "descriptor", config)
    return alone._replace(b=emotions, labels=emotions * item.caption_tokens)


def reading(costs: Costs, batch: Answers) -> float:
    """FLOPs of the passes over whole rows: the prompts, and every form of every answer."""
    first = (
        costs.groups * costs.heard(batch.prompts)
        + costs.body(batch.prompts)
        + batch.prompts.labels * costs.label
    )
    again = costs.groups * costs.heard(batch.prompts) if batch.forms else 0.0
    return first + again + sum(costs.body(form) + form.labels * costs.label for form in batch.forms)


def written(model: Describer) -> float:
    """Bytes that a token of decoding reads: every weight of the LLM's layers and of its head."""
    llm = model.llm.get_base_model()  # type: ignore[operator]
    return float(sum(p.nbytes for p in llm.model.layers.parameters()) + llm.lm_head.weight.nbytes)
