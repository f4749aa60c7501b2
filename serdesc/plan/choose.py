"""Settings that fit a card: first those that change no result (parts of a batch, recomputing), then fewer bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from serdesc.config import Config, TrainingConfig
from serdesc.plan.memory import Decoding, Training

BITS = ("none", "8bit", "4bit")


@dataclass(frozen=True)
class Choice:
    accumulate: int
    checkpointing: bool
    quantise: str
    decoding_batch: int
    fits: bool

    def part(self, config: Config) -> int:
        """Utterances that are worked off together."""
        return -(-config.training.batch_size // self.accumulate)

    def settings(self, config: Config) -> list[str]:
        """What differs from the configuration, as `--set` takes it."""
        wanted = {
            "training.accumulate": (self.accumulate, config.training.accumulate),
            "llm.checkpointing": (str(self.checkpointing).lower(), str(config.llm.checkpointing).lower()),
            "llm.quantise": (self.quantise, config.llm.quantise),
            "decoding.batch_size": (self.decoding_batch, config.decoding.batch_size),
        }
        return [f"{key}={new}" for key, (new, old) in wanted.items() if new != old]


def ways(config: Config, gpu: bool) -> Iterator[tuple[str, bool, int]]:
    """quantise, checkpointing and accumulate: first as configured, then what costs least time and changes least."""
    bits = BITS[BITS.index(config.llm.quantise) :] if gpu else (config.llm.quantise,)
    for quantise in bits:
        for checkpointing in (True,) if config.llm.checkpointing else (False, True):
            for accumulate in accumulations(config.training):
                yield quantise, checkpointing, accumulate


def accumulations(training: TrainingConfig) -> list[int]:
    """The configured one, then more parts, all of one size."""
    batch, own = training.batch_size, training.accumulate
    return [own, *(n for n in range(own + 1, batch + 1) if batch % n == 0)]


def choose(config: Config, made: Training, decode: Decoding, room: float, gpu: bool) -> Choice:
    """The first way that leaves no need beyond `room` bytes; the smallest there is where none does."""
    batch = config.training.batch_size
    for quantise, checkpointing, accumulate in ways(config, gpu):
        if made.peak(-(-batch // accumulate), checkpointing, quantise) <= room and decode.peak(1, quantise) <= room:
            return Choice(accumulate, checkpointing, quantise, _together(config, decode, quantise, room), True)
    return Choice(accumulate, checkpointing, quantise, 1, False)


def _together(config: Config, decode: Decoding, quantise: str, room: float) -> int:
    """Utterances of a decoding batch: the configured number, halved until it fits."""
    size = config.decoding.batch_size
    while size > 1 and decode.peak(size, quantise) > room:
        size //= 2
    return size
