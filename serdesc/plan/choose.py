"""Settings that fit into memory.

First those that change no result (gradient accumulation, checkpointing), then quantization.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from serdesc.config import Config, TrainingConfig
from serdesc.plan.memory import Decoding, Training

BITS = ("none", "8bit", "4bit")


@dataclass(frozen=True)
class Choice:
    """The settings that fit, or the smallest ones if none do."""

    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    quantization: str
    decoding_batch: int
    fits: bool

    def part(self, config: Config) -> int:
        """Utterances per forward pass in training."""
        return -(-config.training.batch_size // self.gradient_accumulation_steps)

    def settings(self, config: Config) -> list[str]:
        """The settings that differ from the configuration, in the format of `--set`."""
        values = {
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
        return [f"{key}={new}" for key, (new, old) in values.items() if new != old]


def candidates(config: Config, gpu: bool) -> Iterator[tuple[str, bool, int]]:
    """(quantization, checkpointing, accumulation steps): as configured, then by cost in time."""
    bits = BITS[BITS.index(config.llm.quantization) :] if gpu else (config.llm.quantization,)
    for quantization in bits:
        for checkpointing in (True,) if config.llm.gradient_checkpointing else (False, True):
            for accumulation_steps in accumulations(config.training):
                yield quantization, checkpointing, accumulation_steps


def accumulations(training: TrainingConfig) -> list[int]:
    """The configured number of steps, then larger ones that divide the batch evenly."""
    batch, configured = training.batch_size, training.gradient_accumulation_steps
    return [configured, *(n for n in range(configured + 1, batch + 1) if batch % n == 0)]


def choose(config: Config, training: Training, decode: Decoding, room: float, gpu: bool) -> Choice:
    """The first candidate that fits into `room` bytes; the smallest one if none fits.

    The batch of `config` is that of one process.
    """
    batch = config.training.batch_size
    for quantization, checkpointing, accumulation_steps in candidates(config, gpu):
        part = -(-batch // accumulation_steps)
        trains = training.peak(part, checkpointing, quantization) <= room
        if trains and decode.peak(1, quantization) <= room:
            size = _decoding_batch(config, decode, quantization, room)
            return Choice(accumulation_steps, checkpointing, quantization, size, True)
    return Choice(accumulation_steps, checkpointing, quantization, 1, False)


def _decoding_batch(config: Config, decode: Decoding, quantization: str, room: float) -> int:
    """The configured decoding batch size, halved until it fits."""
    size = config.decoding.batch_size
    while size > 1 and decode.peak(size, quantization) > room:
        size //= 2
    return size
