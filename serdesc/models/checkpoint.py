"""Checkpoints: safetensors and JSON only, complete or absent, sufficient to resume training.

checkpoint/model.safetensors        weights of the branches, and Describer.vocabulary if it has one
checkpoint/lora/                    LoRA in PEFT's format; absent for a model without an LLM
checkpoint/optimizer.safetensors    moments of every phase's optimiser; removed when training ends
checkpoint/state.json               progress and a hash of each file; written last

What is a function of the step (order, noise, dropout) is not stored.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from serdesc import config as configs
from serdesc import models
from serdesc.builtin import resolve
from serdesc.config import Config
from serdesc.errors import FailedError, UserError
from serdesc.features.live import Features
from serdesc.files import apply_umask, file_digest, read_json, synchronise, write_errors, write_json
from serdesc.models import Model
from serdesc.models.describer import Describer
from serdesc.models import llm as llms

NAME = "checkpoint"
Optimizers = dict[str, torch.optim.Optimizer]  # phase -> optimiser


@dataclass(frozen=True)
class State:
    done: int  # finished blocks of the schedule
    blocks: int  # blocks of the schedule
    encoder: dict[str, Any]  # identity of the encoder of its features
    inputs: str = ""  # hash of the data, and the precision of its features; empty: not recorded
    steps: int = 0  # optimiser steps taken in the block that follows
    # Values of the keys whose changes are noted in train.jsonl; empty: not recorded.
    settings: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.done == self.blocks


def save(folder: Path, model: Model, optimizers: Optimizers, state: State) -> None:
    """Write a new checkpoint beside the old one, then replace it: one of the two is always
    complete.
    """
    new, old = folder / f"{NAME}.new", folder / f"{NAME}.old"
    shutil.rmtree(new, ignore_errors=True)
    try:
        with write_errors(new):
            _write(new, model, optimizers, state)
    except FailedError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if (folder / NAME).exists():
        shutil.rmtree(old, ignore_errors=True)
        (folder / NAME).rename(old)
    new.rename(folder / NAME)
    shutil.rmtree(old, ignore_errors=True)


def _write(folder: Path, model: Model, optimizers: Optimizers, state: State) -> None:
    folder.mkdir(parents=True)
    weights = {name: p.detach().cpu().contiguous() for name, p in _branch_parameters(model).items()}
    if vocabulary := getattr(model, "vocabulary", None):
        weights["vocabulary"] = torch.tensor(vocabulary, dtype=torch.int32)
    save_file(weights, folder / "model.safetensors")
    if model.llm is not None:
        # Without embedding layers PEFT does not look the LLM up on the hub.
        lora: Any = model.llm
        lora.save_pretrained(folder / "lora", save_embedding_layers=False)
        (folder / "lora" / "README.md").unlink(missing_ok=True)
    if not state.finished:
        save_file(_moments(optimizers), folder / "optimizer.safetensors")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        apply_umask(path)
        synchronise(path)
    hashes = {str(path.relative_to(folder)): _hash(path) for path in files}
    write_json(folder / "state.json", {**asdict(state), "files": hashes})


def find(folder: Path) -> Path | None:
    """The newest complete checkpoint of an experiment; repairs an interrupted replacement."""
    for name in (NAME, f"{NAME}.new", f"{NAME}.old"):
        if (folder / name / "state.json").exists():
            if name != NAME:
                shutil.rmtree(folder / NAME, ignore_errors=True)
                (folder / name).rename(folder / NAME)
            return folder / NAME
    return None


def read_state(checkpoint: Path) -> State:
    return _state(read_json(checkpoint / "state.json"))


def _state(record: dict[str, Any]) -> State:
    return State(
        record["done"],
        record["blocks"],
        record["encoder"],
        record.get("inputs", ""),
        record.get("steps", 0),
        record.get("settings", {}),
    )


def verify(checkpoint: Path) -> State:
    """The state of a checkpoint. Raises UserError if a file is missing or differs from its hash."""
    record = read_json(checkpoint / "state.json")
    for name, digest in record["files"].items():
        path = checkpoint / name
        if not path.exists() or _hash(path) != digest:
            raise UserError(
                f"{path}: missing, cut off or changed since it was written. Restore the file, or "
                f"remove {checkpoint} and train again."
            )
    return _state(record)


def load(
    checkpoint: Path, model: Model, encoder: dict[str, Any], optimizers: Optimizers | None = None
) -> State:
    """Load a checkpoint's weights into `model`, and the moments into `optimizers`.

    encoder: identity of the encoder of the present features. Raises UserError for a damaged
    checkpoint, another encoder or a model of other shapes.
    """
    state = verify(checkpoint)
    _check_encoder(checkpoint, state.encoder, encoder)
    weights = load_file(checkpoint / "model.safetensors")
    parameters = _branch_parameters(model)
    if "vocabulary" in weights and isinstance(model, Describer):
        model.vocabulary = weights.pop("vocabulary").tolist()
    _check_shapes(checkpoint, weights, parameters)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    if model.llm is not None:
        llms.load_adapter(model.llm, checkpoint / "lora")
    moments = checkpoint / "optimizer.safetensors"
    if optimizers is not None and moments.exists():
        _restore(optimizers, load_file(moments))
    return state


def _branch_parameters(model: Model) -> dict[str, torch.nn.Parameter]:
    """Parameters outside the LLM."""
    return {name: p for name, p in model.named_parameters() if not name.startswith("llm.")}


def _check_encoder(checkpoint: Path, trained: dict[str, Any], here: dict[str, Any]) -> None:
    differences = []
    for key in ("weights", "layers"):  # describer-base has no digest of weights: two editions fit
        if key in trained and trained[key] != here.get(key):
            differences.append(f"{key} {trained.get(key)!r}, here {here.get(key)!r}")
    if differences:
        raise UserError(
            f"{checkpoint}: trained on features of {trained.get('encoder')}"
            f" ({'; '.join(differences)}; here {here.get('encoder')}). Give a store of that"
            " encoder, or `live` with encoder.model set to it."
        )


def _check_shapes(
    checkpoint: Path, weights: dict[str, Tensor], parameters: dict[str, torch.nn.Parameter]
) -> None:
    for name in sorted(weights.keys() | parameters.keys()):
        shapes = []
        for tensors in (weights, parameters):
            shapes.append(str(tuple(tensors[name].shape)) if name in tensors else "absent")
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{checkpoint}: made for another model: {name} is {shapes[0]} and {shapes[1]} here."
                " Use the encoder, LLM, branch and adapter settings that it was trained with"
                " (config.yaml beside it)."
            )


def experiment(exp: Path, option: str = "") -> Path:
    """The folder of a fold or built-in model. Raises UserError, which names the option, if there
    is none.
    """
    folder = Path(resolve(str(exp)))
    if not (folder / "config.yaml").exists():
        raise UserError(
            f"{option}{exp}: no experiment there (config.yaml is missing): name a fold's folder,"
            " for example exp/mini/fold1"
        )
    return folder


def finished(exp: Path) -> Path:
    """The checkpoint of a finished experiment. Raises UserError if training is not finished."""
    checkpoint = find(exp)
    if checkpoint is None or not read_state(checkpoint).finished:
        raise UserError(
            f"{exp}: training is not finished there. Run: serdesc train DATA STORE {exp}"
        )
    return checkpoint


def load_model(
    exp: Path, features: Features, device: torch.device, settings: list[str] | None = None
) -> tuple[Model, Config]:
    """The model of a finished experiment or built-in model, and its configuration."""
    config = configs.load(exp / "config.yaml", settings)
    checkpoint = finished(exp)
    model = models.initialise(config, features, device)
    load(checkpoint, model, features.made_by)
    return model, config


def _hash(path: Path) -> str:
    return file_digest(path)[:16]


def _moments(optimizers: Optimizers) -> dict[str, Tensor]:
    """AdamW's state as <phase>.<parameter number>.<exp_avg | exp_avg_sq | step>."""
    moments: dict[str, Tensor] = {}
    for phase, optimizer in optimizers.items():
        for number, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                moments[f"{phase}.{number}.{key}"] = value.detach().cpu().contiguous()
    return moments


def _restore(optimizers: Optimizers, moments: dict[str, Tensor]) -> None:
    for phase, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in moments.items():
            owner, number, key = name.split(".")
            if owner == phase:
                state.setdefault(int(number), {})[key] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
