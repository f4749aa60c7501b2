"""Checkpoints: safetensors and JSON only, complete or absent, and enough to go on as if nothing had happened.

checkpoint/model.safetensors        both branches
checkpoint/lora/                    the LoRA part, as PEFT writes and reads it; absent of a model without LLM
checkpoint/optimizer.safetensors    moments of every phase's optimizer; gone when training is finished
checkpoint/state.json               blocks done and in all, and a hash of each file; written last
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from serdesc import config as configs
from serdesc import models
from serdesc.config import Config
from serdesc.errors import FailedError, UserError
from serdesc.features.store import Features
from serdesc.files import apply_umask, read_json, write_json, write_errors
from serdesc.models import Model
from serdesc.models import llm as llms

NAME = "checkpoint"


@dataclass(frozen=True)
class State:
    done: int  # blocks
    blocks: int
    encoder: dict[str, Any]  # identity of the encoder whose features it was trained on
    inputs: str = ""  # a hash of the data, and the precision of its features; empty: not noted

    @property
    def finished(self) -> bool:
        return self.done == self.blocks


def save(
    folder: Path, model: Model, optimizers: dict[str, torch.optim.Optimizer], state: State
) -> None:
    """Write beside the previous checkpoint, then take its place: at any moment one of the two is complete."""
    new, old = folder / f"{NAME}.new", folder / f"{NAME}.old"
    shutil.rmtree(new, ignore_errors=True)
    try:
        with write_errors(new):
            new.mkdir(parents=True)
            branches = {
                n: p.detach().cpu().contiguous()
                for n, p in model.named_parameters()
                if not n.startswith("llm.")
            }
            save_file(branches, new / "model.safetensors")
            if model.llm is not None:
                model.llm.save_pretrained(new / "lora", save_embedding_layers=False)  # type: ignore[operator]
                (new / "lora" / "README.md").unlink(missing_ok=True)
            if not state.finished:
                save_file(_moments(optimizers), new / "optimizer.safetensors")
            files = sorted(p for p in new.rglob("*") if p.is_file())
            for path in files:
                apply_umask(path)
            hashes = {str(p.relative_to(new)): _hash(p) for p in files}
            write_json(new / "state.json", {**asdict(state), "files": hashes})
    except FailedError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if (folder / NAME).exists():
        shutil.rmtree(old, ignore_errors=True)
        (folder / NAME).rename(old)
    new.rename(folder / NAME)
    shutil.rmtree(old, ignore_errors=True)


def find(folder: Path) -> Path | None:
    """The experiment's newest complete checkpoint; what a kill between two renames left is put right."""
    for name in (NAME, f"{NAME}.new", f"{NAME}.old"):
        if (folder / name / "state.json").exists():
            if name != NAME:
                shutil.rmtree(folder / NAME, ignore_errors=True)
                (folder / name).rename(folder / NAME)
            return folder / NAME
    return None


def state(checkpoint: Path) -> State:
    return _state(read_json(checkpoint / "state.json"))


def _state(about: dict[str, Any]) -> State:
    return State(about["done"], about["blocks"], about["encoder"], about.get("inputs", ""))


def verify(checkpoint: Path) -> State:
    """The state of a checkpoint whose files are all as they were written; refuses a damaged one."""
    about = read_json(checkpoint / "state.json")
    for name, digest in about["files"].items():
        if not (checkpoint / name).exists() or _hash(checkpoint / name) != digest:
            raise UserError(
                f"{checkpoint / name}: missing, cut off or changed since it was written. Restore the file, or remove {checkpoint} and train again."
            )
    return _state(about)


def load(
    checkpoint: Path,
    model: Model,
    encoder: dict[str, Any],
    optimizers: dict[str, torch.optim.Optimizer] | None = None,
) -> State:
    """Put a checkpoint's weights, and its optimizers' moments where they are given, in place.

    Refuses a damaged checkpoint, and one that was trained on another encoder's features than those of `encoder`.
    """
    state = verify(checkpoint)
    differ = [
        f"{key} {state.encoder.get(key)!r}, here {encoder.get(key)!r}"
        for key in ("weights", "layers")
        if state.encoder.get(key) != encoder.get(key)
    ]
    if differ:
        raise UserError(
            f"{checkpoint}: trained on features of {state.encoder.get('encoder')} ({'; '.join(differ)}; here {encoder.get('encoder')}). Give a store "
            "of that encoder, or `live` with encoder.model set to it."
        )
    branches = load_file(checkpoint / "model.safetensors")
    own = {n: p for n, p in model.named_parameters() if not n.startswith("llm.")}
    differ = [
        n
        for n in sorted(own.keys() | branches.keys())
        if n not in own or n not in branches or own[n].shape != branches[n].shape
    ]
    if differ:
        shapes = " and ".join(
            str(tuple(t[differ[0]].shape)) if differ[0] in t else "absent" for t in (branches, own)
        )
        raise UserError(
            f"{checkpoint}: made for another model: {differ[0]} is {shapes} here. Take the encoder, LLM, branch and adapter settings "
            "that it was trained with (config.yaml beside it)."
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(branches[name])
    if model.llm is not None:
        llms.load_adapter(model.llm, checkpoint / "lora")
    if optimizers is not None and (checkpoint / "optimizer.safetensors").exists():
        _restore(optimizers, load_file(checkpoint / "optimizer.safetensors"))
    return state


def finished(exp: Path) -> Path:
    """The checkpoint of a finished experiment. Raises UserError where training is not finished."""
    found = find(exp)
    if found is None or not state(found).finished:
        raise UserError(
            f"{exp}: training is not finished there. Run: serdesc train DATA STORE {exp}"
        )
    return found


def load_model(
    exp: Path, features: Features, device: torch.device, settings: list[str] | None = None
) -> tuple[Model, Config]:
    """The model of a finished experiment or of a built-in model, and the configuration it was trained with."""
    config = configs.load(exp / "config.yaml", settings)
    found = finished(exp)
    model = models.initialise(config, features, device)
    load(found, model, features.made_by)
    return model, config


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _moments(optimizers: dict[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """AdamW's state as flat names: <phase>.<parameter number>.<exp_avg | exp_avg_sq | step>."""
    out: dict[str, Tensor] = {}
    for phase, optimizer in optimizers.items():
        for number, values in optimizer.state_dict()["state"].items():
            out.update(
                {
                    f"{phase}.{number}.{key}": value.detach().cpu().contiguous()
                    for key, value in values.items()
                }
            )
    return out


def _restore(optimizers: dict[str, torch.optim.Optimizer], moments: dict[str, Tensor]) -> None:
    for phase, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in moments.items():
            owner, number, key = name.split(".")
            if owner == phase:
                state.setdefault(int(number), {})[key] = value
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )
