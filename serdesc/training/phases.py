"""Order of the phases and their learning-rate schedules: Sections 2.1, 3.5 and 4.3, Table 3."""

from __future__ import annotations

import math
from dataclasses import dataclass

from serdesc.config import PhaseConfig, TrainingConfig
from serdesc.models.describer import Phase


@dataclass(frozen=True)
class PhaseEpoch:
    """One epoch of one phase; `epoch` counts within the phase from 0."""

    phase: Phase
    epoch: int


# Epochs whose steps alternate; a checkpoint is written after each block.
Block = tuple[PhaseEpoch, ...]


def phases_of(config: TrainingConfig) -> dict[Phase, PhaseConfig]:
    """The phases of a strategy. One-stage has one phase, with the descriptor phase's schedule."""
    if config.strategy == "one-stage":
        return {"joint": config.descriptor}
    return {"content": config.content, "descriptor": config.descriptor}


def schedule(config: TrainingConfig) -> list[Block]:
    """The whole training as blocks, in order."""
    epochs: dict[Phase, list[PhaseEpoch]] = {}
    for phase, phase_config in phases_of(config).items():
        epochs[phase] = [PhaseEpoch(phase, epoch) for epoch in range(phase_config.epochs)]
    if config.strategy != "alternating":  # one phase after the other
        return [(epoch,) for phase_epochs in epochs.values() for epoch in phase_epochs]
    blocks: list[Block] = []
    for number in range(max(len(phase_epochs) for phase_epochs in epochs.values())):
        pair = [phase_epochs[number : number + 1] for phase_epochs in epochs.values()]
        alternating = tuple(epoch for one in pair for epoch in one)
        if config.alternate == "step":
            blocks.append(alternating)
        else:
            blocks += [(epoch,) for epoch in alternating]
    return blocks


def learning_rate(config: PhaseConfig, step: int, steps: int) -> float:
    """lr of a step (from 0) of a phase: linear warm-up, then constant or cosine decay to zero."""
    warmup = max(1, round(config.warmup_ratio * steps))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "constant":
        return config.lr
    progress = (step - warmup) / max(1, steps - warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def note_untrained_lora(training: TrainingConfig) -> None:
    """Print a note if the LLM will not have learnt to write captions."""
    if not training.init and not any(phase.epochs for phase in phases_of(training).values()):
        print(
            "note: training.content.epochs and training.descriptor.epochs are 0, and training.init"
            " is empty: LoRA stays untrained, and the LLM writes no captions"
        )
