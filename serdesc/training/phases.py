"""The order of the phases, and each one's learning rate: Sections 2.1, 3.5 and 4.3, Table 3."""

from __future__ import annotations

import math
from dataclasses import dataclass

from serdesc.config import PhaseConfig, TrainingConfig
from serdesc.models.describer import Phase


@dataclass(frozen=True)
class PhaseEpoch:
    """One epoch of one phase. `epoch` counts within the phase, from 0."""

    phase: Phase
    epoch: int


# The turns of a block take steps by turns; a checkpoint is written after each block.
Block = tuple[PhaseEpoch, ...]


def phases_of(config: TrainingConfig) -> dict[Phase, PhaseConfig]:
    """The phases of a strategy. One-stage has no content phase and takes the descriptor phase's schedule."""
    if config.strategy == "one-stage":
        return {"joint": config.descriptor}
    return {"content": config.content, "descriptor": config.descriptor}


def schedule(config: TrainingConfig) -> list[Block]:
    """The whole training as blocks, in order."""
    turns: dict[Phase, list[PhaseEpoch]] = {
        phase: [PhaseEpoch(phase, epoch) for epoch in range(c.epochs)]
        for phase, c in phases_of(config).items()
    }
    if config.strategy != "alternating":  # one phase after the other
        return [(turn,) for phase_turns in turns.values() for turn in phase_turns]
    longest = max(len(phase_turns) for phase_turns in turns.values())
    pairs = [tuple(t[epoch] for t in turns.values() if epoch < len(t)) for epoch in range(longest)]
    if config.alternate == "step":
        return pairs
    return [(turn,) for pair in pairs for turn in pair]


def learning_rate(config: PhaseConfig, step: int, steps: int) -> float:
    """Learning rate of a phase's step (from 0) of so many: linear warm-up, then constant or cosine to zero."""
    warmup = max(1, round(config.warmup_ratio * steps))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
