"""What a training starts from: its own checkpoint or training.init; what may change meanwhile."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from serdesc import config as configs
from serdesc import configfile
from serdesc.builtin import resolve
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.features.live import Features
from serdesc.models import Model, checkpoint

# Keys (or beginnings of keys) that may differ between two starts of one training: they act on
# memory, speed, or what comes after training, and change results by rounding at most.
MAY_CHANGE = (
    "decoding.",
    "scoring.",
    "translation.",
    "report.",
    "encoder.batch_seconds",
    "llm.gradient_checkpointing",
    "training.gradient_accumulation_steps",
    "training.save_",
    "training.sharding",
    "training.tensorboard",
    "threads",
    "device",
    "deterministic",
)
# These change results: train.jsonl has the old and the new value in the first row after it.
NOTED = ("training.content.lr", "training.descriptor.lr")
Changes = dict[str, list[float]]  # key -> [old value, new value]


def noted_values(config: Config) -> dict[str, float]:
    """The values of the keys in NOTED."""
    values = dict(configfile.leaves(dataclasses.asdict(config)))
    return {key: values[key] for key in NOTED}


def changes(before: dict[str, float], config: Config) -> Changes:
    """The keys of `before` that have other values now."""
    now = noted_values(config)
    return {key: [value, now[key]] for key, value in before.items() if value != now[key]}


def repair(exp: Path, config: Config) -> None:
    """Repair interrupted replacements of checkpoints; for one process, before others read them."""
    checkpoint.find(exp)
    if config.training.init:
        checkpoint.find(Path(resolve(config.training.init)))


def check_config(exp: Path, config: Config) -> Changes:
    """Changes of the configuration of a started experiment that are noted in train.jsonl.

    Raises UserError for others that change results, and for every one of a finished training.
    """
    saved, found = exp / "config.yaml", checkpoint.find(exp)
    if found is None:
        return {}
    recorded = configs.load(saved)
    ignore: tuple[str, ...] = MAY_CHANGE
    if not checkpoint.read_state(found).finished:
        ignore += NOTED
    refused = configs.differences(recorded, config, ignore)
    if refused:
        raise UserError(
            f"{saved}: the experiment was trained with another configuration: "
            f"{'; '.join(refused)}. Use the recorded values, another --tag for the new"
            f" ones, or remove {exp} to train from the start."
        )
    return changes(noted_values(recorded), config)


def to_record(exp: Path, config: Config) -> Config:
    """The configuration for config.yaml; of a finished training, the one it was trained with, and
    new settings of what comes after it.
    """
    found = checkpoint.find(exp)
    if found is None or not checkpoint.read_state(found).finished:
        return config
    return dataclasses.replace(
        configs.load(exp / "config.yaml"),
        decoding=config.decoding,
        translation=config.translation,
        scoring=config.scoring,
        report=config.report,
        threads=config.threads,
        device=config.device,
    )


def load_checkpoint(
    exp: Path,
    model: Model,
    features: Features,
    optimizers: checkpoint.Optimizers,
    blocks: int,
    inputs: str,
) -> checkpoint.State | None:
    """Load the experiment's checkpoint; None if it has none.

    blocks: of the schedule. inputs: as State.inputs. Raises UserError if others were recorded.
    """
    found = checkpoint.find(exp)
    if found is None:
        return None
    state = checkpoint.load(found, model, features.made_by, optimizers)
    if state.blocks != blocks:
        raise UserError(
            f"{found}: has a schedule of {state.blocks} blocks, the configuration one of "
            f"{blocks}: use another --tag"
        )
    if state.inputs and state.inputs != inputs:
        same_data = state.inputs.split()[0] == inputs.split()[0]
        changed = "other data, or other labels or captions"
        if same_data:
            changed = "features in another precision"
        raise UserError(
            f"{found}: was trained on {changed}. Use another --tag, or remove {exp} to "
            "train from the start"
        )
    return state


def load_init(model: Model, features: Features, name: str) -> None:
    """Start from the weights of the experiment or built-in model `name`, training.init."""
    init = Path(resolve(name))
    found = checkpoint.find(init)
    if found is None:
        raise UserError(
            f"training.init: no checkpoint in {init}. Train it, or name another experiment"
        )
    state = checkpoint.read_state(found)
    if not state.finished:
        raise UserError(
            f"training.init: {init} is trained to block {state.done} of {state.blocks}: finish"
            " it with `serdesc train` first"
        )
    checkpoint.load(found, model, features.made_by)
