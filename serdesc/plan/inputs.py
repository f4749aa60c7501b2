"""The inputs of a plan: models without weights, and the lengths of the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from serdesc.config import Config
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.features.encoder import Encoder
from serdesc.models.describer import Describer
from serdesc.plan import lengths, shapes
from serdesc.plan.lengths import AssumedData, DataParts, Item


@dataclass(frozen=True)
class Inputs:
    """The inputs of the sections of a plan."""

    config: Config
    data: DataParts
    encoder: Encoder
    model: Describer
    slowest: list[Utterance]  # training utterances within max_seconds, each at its lowest speed
    train: list[Item]
    scale: float  # number of utterances per item of `train`
    test: list[Item]
    test_scale: float
    prompt: int  # tokens
    emotions: int  # classes of the posterior
    gpus: int  # processes of training, which share each batch

    @property
    def share(self) -> Config:
        """The configuration with the utterances of a batch that one process gets."""
        batch_size = -(-self.config.training.batch_size // self.gpus)
        return replace(self.config, training=replace(self.config.training, batch_size=batch_size))

    def with_longest(self, utterances: list[Utterance], measured: list[Item]) -> list[Item]:
        """The measured items, with the longest utterances added or replaced.

        A sample may lack the longest ones, and a copy at a lower speed is longer.
        """
        by_length = sorted(utterances, key=seconds_of)[-self.config.training.batch_size :]
        longest = {utt.uniq or utt.utt_id: utt for utt in by_length}
        others = [item for item in measured if item.utterance.utt_id not in longest]
        tokenizer = self.model.tokenizer
        items, _, _ = lengths.items([*longest.values()], self.encoder, tokenizer, self.config)
        return others + items


def inputs_of(
    config: Config, data: Path | AssumedData, gpus: int
) -> tuple[Inputs, dict[str, str], list[str]]:
    """The inputs, the sources of the models' shapes, and notes on assumptions."""
    if gpus > config.training.batch_size:
        raise UserError(
            f"--gpus {gpus}: more than the {config.training.batch_size} utterances of a batch"
            " (training.batch_size): use fewer, or a larger batch"
        )
    if config.model == "ssl_baseline":
        raise UserError(
            "model: 'ssl_baseline' has no LLM and no plan: `--config full` with the same encoder "
            "estimates its disk space and hours of extraction"
        )
    parts = lengths.data_parts(data, config)
    encoder, encoder_source = shapes.encoder(config.encoder)
    model_type = shapes.shape(config.llm.model).config.model_type
    tokenizer, note = lengths.tokenizer(config.llm.model, model_type)
    model, llm_source = shapes.describer(config, encoder.layers, encoder.width, tokenizer)
    short = [utt for utt in parts.train if seconds_of(utt) <= config.training.max_seconds]
    originals = datadir.originals(short)
    if not originals:
        raise UserError(
            f"{data}: no training utterance is shorter than training.max_seconds = "
            f"{config.training.max_seconds}"
        )
    train, scale, train_notes = lengths.items(originals, encoder, tokenizer, config)
    test, test_scale, test_notes = lengths.items(parts.test, encoder, tokenizer, config)
    emotions = set(map(_emotion, parts.test)) - {None}
    slowest = {utt.uniq or utt.utt_id: utt for utt in sorted(short, key=seconds_of)}
    inputs = Inputs(
        config=config,
        data=parts,
        encoder=encoder,
        model=model,
        slowest=[*slowest.values()],
        train=train,
        scale=scale,
        test=test,
        test_scale=test_scale,
        prompt=lengths.prompt_tokens(tokenizer, config),
        emotions=len(emotions),
        gpus=gpus,
    )
    shared = "one card, one process"
    if gpus > 1:
        shared = f"training: {gpus} processes share each batch; exchanging gradients takes no time"
    notes = dict.fromkeys([*parts.notes, shared, note, *train_notes, *test_notes])
    sources = {"encoder shape from": encoder_source, "llm shape from": llm_source}
    return inputs, sources, [line for line in notes if line]


def seconds_of(utt: Utterance) -> float:
    return utt.seconds or 0.0


def _emotion(utt: Utterance) -> str | None:
    return utt.labels.emotion if utt.labels else utt.emotion
