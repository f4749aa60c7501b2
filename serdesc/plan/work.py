"""FLOPs (2 per multiply-add) of training, extraction and decoding, from the shapes of the batches.

A frozen weight costs one product forward and one backward, through the activations; a trained
weight costs one more. An 8B LLM with LoRA costs about 32 GFLOP per token. Attention is counted over
all pairs of positions, as a fused kernel with a mask computes it; its backward pass has five
products, its forward pass two. Norms, activations and the optimizer are omitted: they cost
bandwidth, not products.
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
from serdesc.models.adapter import token_count
from serdesc.models.describer import TRAINED, Describer, Phase
from serdesc.models.words import vocabulary_of
from serdesc.plan import trace
from serdesc.plan.lengths import Item, candidates, groups, in_order
from serdesc.training.phases import phases_of


class BatchShape(NamedTuple):
    """A padded batch: B rows of N positions, T frames, U speech tokens; labels without padding."""

    b: int
    n: int
    t: int
    u: int
    labels: int


class Passes(NamedTuple):
    """FLOPs of one batch, or summed over batches."""

    forward: float
    backward: float

    def __add__(self, other: tuple[float, ...]) -> Passes:  # type: ignore[override]
        return Passes(self.forward + other[0], self.backward + other[1])

    @property
    def both(self) -> float:
        return self.forward + self.backward


def matrices(module: nn.Module, included: Callable[[str], bool]) -> int:
    """Number of weights of the linear layers whose names are included."""
    named = module.named_parameters()
    return sum(p.numel() for name, p in named if p.ndim == 2 and included(name))


def _is_frozen(name: str) -> bool:
    return "lora_" not in name and "embed_tokens" not in name


def _is_last(name: str) -> bool:
    return "down_proj" in name and "lora_" not in name


def _is_lora(name: str) -> bool:
    return "lora_" in name


def _is_bottleneck(name: str) -> bool:
    return ".bottleneck." in name


def _is_adapter(name: str) -> bool:
    return "adapter.layers." in name and not name.startswith("llm.")


@dataclass(frozen=True)
class Costs:
    """FLOPs of a forward pass per unit of the quantities it grows with."""

    token: float  # an LLM position through the frozen weights
    last: float  # part of `token`: the last product of every layer, which recomputation skips
    lora: float  # an LLM position through LoRA
    pair: float  # a pair of positions, in attention
    label: float  # a label token over the vocabulary
    frame: float  # a frame through a bottleneck
    layers: float  # a frame in the weighted sum of the layers
    speech: float  # a speech token through an adapter
    groups: int  # groups of speech tokens, each with a bottleneck and an adapter

    @classmethod
    def of(cls, model: Describer) -> Costs:
        llm = model.llm.get_base_model()  # type: ignore[operator]
        shape = llm.config
        head = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
        return cls(
            token=2.0 * matrices(llm.model, _is_frozen),
            last=2.0 * matrices(llm.model, _is_last),
            lora=2.0 * matrices(llm.model, _is_lora),
            pair=4.0 * shape.num_attention_heads * head * shape.num_hidden_layers,
            label=2.0 * llm.lm_head.weight.numel(),
            frame=2.0 * matrices(model, _is_bottleneck) / model.groups,
            layers=2.0 * model.layers * model.width,
            speech=2.0 * matrices(model, _is_adapter) / model.groups,
            groups=model.groups,
        )

    def speech_group(self, shape: BatchShape) -> float:
        """One group of speech tokens, forward."""
        return shape.b * (shape.t * (self.frame + self.layers) + shape.u * self.speech)

    def body(self, shape: BatchShape) -> float:
        """The LLM's layers, forward."""
        return shape.b * shape.n * (self.token + self.lora + shape.n * self.pair)

    def branches(self, shape: BatchShape, phase: Phase) -> Passes:
        """A training step on one batch, without the LLM."""
        group = self.speech_group(shape)
        speech = group * (1 if phase == "content" else self.groups)
        # The features have no gradient, so the weighted sum has one product less.
        trained = 2 * group - shape.b * shape.t * self.layers
        trained *= min(self.groups, len(TRAINED[phase]))
        return Passes(speech, trained)

    def step(
        self, shape: BatchShape, phase: Phase, checkpointing: bool = False, lora: bool = True
    ) -> Passes:
        """A training step on one batch."""
        speech, trained = self.branches(shape, phase)
        lora_products = 2 if lora else 1
        position = self.token + self.lora * lora_products + 2.5 * shape.n * self.pair
        backward = shape.b * shape.n * position
        recomputed = self.body(shape) - shape.b * shape.n * self.last if checkpointing else 0.0
        head = shape.labels * self.label
        return Passes(speech + self.body(shape) + head, trained + backward + recomputed + head)


# ---- batches -------------------------------------------------------------------------------------


def padded(batch: Sequence[Item], prompt: int, phase: Phase, config: Config) -> BatchShape:
    """The shape of a batch with its padding; `prompt`: tokens of the prompt."""
    longest = t = labels = 0
    for item in batch:
        speech = groups(config) * token_count(item.frames, config.adapter.k)
        longest = max(longest, prompt + speech + item.tokens(phase))
        t = max(t, item.frames)
        labels += item.tokens(phase)
    return BatchShape(len(batch), longest, t, token_count(t, config.adapter.k), labels)


def parts(batch: Sequence[Item], accumulation_steps: int) -> list[Sequence[Item]]:
    """The parts of a batch that the trainer accumulates gradients over."""
    return [batch[i::accumulation_steps] for i in range(min(accumulation_steps, len(batch)))]


def epoch(
    measured: Sequence[Item], prompt: int, phase: Phase, config: Config, accumulation_steps: int
) -> list[BatchShape]:
    """The batch shapes of one epoch of a phase, for the order of its first epoch."""
    utterances = [item.utterance for item in measured]
    order = batches.epoch_batches(utterances, config.training.batch_size, config.seed, 1, phase, 0)
    shapes: list[BatchShape] = []
    for batch in in_order(measured, order):
        shapes += [padded(part, prompt, phase, config) for part in parts(batch, accumulation_steps)]
    return shapes


def pretraining(measured: Sequence[Item], model: Describer) -> Passes:
    """An epoch of training.pretrain: the branches, and a score of every token of the transcripts
    for every content token; few fields have few words.
    """
    config, costs = model.config, Costs.of(model)
    known = len(vocabulary_of(model.tokenizer, (item.transcript for item in measured)))
    utterances, size = [item.utterance for item in measured], config.training.pretrain.batch_size
    order = batches.epoch_batches(utterances, size, config.seed, "pretrain", 0)
    flops = Passes(0, 0)
    for batch in in_order(measured, order):
        shape = padded(batch, 0, "joint", config)
        scores = 2.0 * shape.b * shape.u * known * model.llm_width
        flops += costs.branches(shape, "joint") + (scores, scores)
    return flops


def epochs(config: Config) -> dict[Phase, int]:
    return {phase: settings.epochs for phase, settings in phases_of(config.training).items()}


# ---- encoder -------------------------------------------------------------------------------------


class Curve(NamedTuple):
    """FLOPs of the encoder for a recording of s seconds: a s + b s^2 (attention is quadratic)."""

    a: float
    b: float

    @classmethod
    def of(cls, encoder: Encoder, short: float = 2.0, long: float = 20.0) -> Curve:
        rate_short = trace.encode(encoder, 1, round(SAMPLE_RATE * short)).forward / short
        rate_long = trace.encode(encoder, 1, round(SAMPLE_RATE * long)).forward / long
        slope = (rate_long - rate_short) / (long - short)
        return cls(rate_short - slope * short, slope)

    def __call__(self, seconds: float) -> float:
        return self.a * seconds + self.b * seconds**2


def encoding(seconds: Sequence[float], encoder: Encoder, curve: Curve) -> float:
    """FLOPs to encode recordings of these lengths, each encoder batch padded to its longest."""
    least, most = encoder.config.min_seconds, encoder.config.max_seconds
    encoded = [min(max(length, least), most) for length in seconds]
    encoder_batches = batch_by_length([round(length * SAMPLE_RATE) for length in encoded], encoder)
    flops = 0.0
    for batch in encoder_batches:
        flops += len(batch) * curve(max(encoded[i] for i in batch))
    return flops


# ---- decoding ------------------------------------------------------------------------------------


class Answers(NamedTuple):
    """A decoding batch: prefill of its prompts, decoding steps, and candidates of the posterior."""

    prompts: BatchShape
    steps: int  # tokens of the longest response
    candidates: Sequence[BatchShape]


def answers(
    measured: Sequence[Item], prompt: int, config: Config, emotions: int
) -> Iterator[Answers]:
    """The decoding batches; responses are assumed to be as long as the references."""
    order = batches.decoding_batches(
        [item.utterance for item in measured], config.decoding.batch_size
    )
    for batch in in_order(measured, order):
        shape = padded(batch, prompt, "descriptor", config)
        longest = max(item.caption_tokens for item in batch)
        prompts = shape._replace(n=shape.n - longest, labels=len(batch))
        each: list[BatchShape] = []
        if count := candidates(config, emotions):
            for item in batch:
                each += _candidates(item, prompt, config, count)
        yield Answers(prompts, min(config.decoding.max_new_tokens, longest), each)


def _candidates(item: Item, prompt: int, config: Config, emotions: int) -> list[BatchShape]:
    """The response of one utterance with each emotion, whose phrase is taken to be in its middle:
    what precedes it passes once, the rest once for each emotion.
    """
    whole = padded([item], prompt, "descriptor", config)
    rest = item.caption_tokens // 2
    common = item.caption_tokens - rest
    return [
        whole._replace(n=whole.n - rest, labels=common),
        whole._replace(b=emotions, n=rest, labels=emotions * rest),
    ]


def prefill(costs: Costs, batch: Answers) -> float:
    """FLOPs of the passes over whole rows: the prompts, and the candidates of the posterior."""
    speech = costs.groups * costs.speech_group(batch.prompts)
    prompts = speech + costs.body(batch.prompts) + batch.prompts.labels * costs.label
    encoded_again = speech if batch.candidates else 0.0
    candidates = 0.0
    for shape in batch.candidates:
        candidates += costs.body(shape) + shape.labels * costs.label
    return prompts + encoded_again + candidates


def bytes_per_step(model: Describer) -> float:
    """Bytes that a decoding step reads: all weights of the LLM's layers and of its head."""
    llm = model.llm.get_base_model()  # type: ignore[operator]
    return float(sum(p.nbytes for p in llm.model.layers.parameters()) + llm.lm_head.weight.nbytes)
