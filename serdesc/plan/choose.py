"""Settings that fit a card: first those that change no result (parts of a batch, recomputing), then fewer bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from serdesc.config import Config, TrainingConfig
from serdesc.plan.memory import Decoding, Training

BITS = ("none", "8bit", "4bit")


@dataclass(frozen=True)
class Choice:
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    quantization: str
    decoding_batch: int
    fits: bool

    def part(self, config: Config) -> int:
        """Utterances that are worked off together."""
        return -(-config.training.batch_size // self.gradient_accumulation_steps)

    def settings(self, config: Config) -> list[str]:
        """What differs from the configuration, as `--set` takes it."""
        wanted = {
            "training.gradient_accumulation_steps": (
                self.gradient_accumulation_steps,
                config.training.gradient_accumulation_steps,
            ),
            "llm.gradient_checkpointing": (
                str(self.gradient_checkpointing).lower(),
                str(config.llm.gradient_checkpointing).lower(),
            ),
            "llm.quantization": (self.quantization, config.llm.quantization),
            "decoding.batch_size": (self.decoding_batch, config.decoding.batch_size),
        }
        return [f"{key}={new}" for key, (new, old) in wanted.items() if new != old]


def ways(config: Config, gpu: bool) -> Iterator[tuple[str, bool, int]]:
    """quantization, checkpointing and accumulation_steps: first as configured, then what costs least time and changes least."""
    bits = BITS[BITS.index(config.llm.quantization) :] if gpu else (config.llm.quantization,)
    for quantization in bits:
        for checkpointing in (True,) if config.llm.gradient_checkpointing else (False, True):
            for accumulation_steps in accumulations(config.training):
                yield quantization, checkpointing, accumulation_steps


def accumulations(training: TrainingConfig) -> list[int]:
    """The configured one, then more parts, all of one size."""
    batch, own = training.batch_size, training.gradient_accumulation_steps
    return [own, *(n for n in range(own + 1, batch + 1) if batch % n == 0)]


def choose(config: Config, made: Training, decode: Decoding, room: float, gpu: bool) -> Choice:
    """The first way that leaves no need beyond `room` bytes; the smallest there is where none does."""
    batch = config.training.batch_size
    for quantization, checkpointing, accumulation_steps in ways(config, gpu):
        if (
            made.peak(-(-batch // accumulation_steps), checkpointing, quantization) <= room
            and decode.peak(1, quantization) <= room
        ):
            return Choice(
                accumulation_steps,
                checkpointing,
                quantization,
                _together(config, decode, quantization, room),
                True,
            )
    return Choice(accumulation_steps, checkpointing, quantization, 1, False)


def _together(config: Config, decode: Decoding, quantization: str, room: float) -> int:
    """Utterances of a decoding batch: the configured number, halved until it fits."""
    size = config.decoding.batch_size
    while size > 1 and decode.peak(size, quantization) > room:
        size //= 2
    return size
