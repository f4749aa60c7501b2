"""KL per frame and layer weights of the branches, from hyp.branches.safetensors."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from serdesc.data.curves import SPEECH

Row = dict[str, Any]


def read(hyp: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, list[float]]]:
    """Utterance -> branch -> KL (values,), and branch -> layer weights (L,); empty without a file.

    Raises ModuleNotFoundError if the file exists and safetensors is not installed.
    """
    path = hyp.with_suffix(".branches.safetensors")
    if not path.exists():
        return {}, {}
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        utt_ids = json.loads(file.metadata()["utterances"])["utt_ids"]
    weights, curves = {}, {}
    for name, tensor in tensors.items():
        kind, _, branch = name.rpartition("_")
        if kind == "layer_weights":
            weights[branch] = [round(float(weight), 5) for weight in tensor]
        elif kind == "kl":
            curves[branch] = tensor.astype(np.float32)
    kl: dict[str, dict[str, np.ndarray]] = {}
    starts = [0, *tensors["ends"].tolist()]
    for utt_id, start, end in zip(utt_ids, starts, starts[1:]):
        kl[utt_id] = {branch: values[start:end] for branch, values in curves.items()}
    return kl, weights


def largest(curves: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Largest KL that the page draws of each branch: the 99.9th percentile of all values."""
    found = {}
    for branch in _branches(curves):
        values = np.concatenate([one["kl"][branch] for one in curves if branch in one["kl"]])
        top = np.percentile(values, 99.9) if len(values) else 0.0
        found[branch] = float(f"{max(1e-4, top):.3g}")
    return found


def _branches(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for one in curves:
        names |= dict.fromkeys(one["kl"])
    return list(names)


def by_emotion(rows: Sequence[Row], curves: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Of each branch, the mean KL of each reference emotion, in speech and in pauses."""
    table = []
    for branch in _branches(curves):
        groups: dict[str, list[np.ndarray]] = {}
        for row, one in zip(rows, curves):
            values = one["kl"].get(branch)
            if values is None or not len(values):
                continue
            groups.setdefault("emotion:" + row["ref"].get("emotion", "none"), []).append(values)
            if "level" in one:
                speech = _speech(one["level"], len(values))
                groups.setdefault("in speech", []).append(values[speech])
                groups.setdefault("in pauses", []).append(values[~speech])
        means = {}
        for name, pieces in groups.items():
            joined = np.concatenate(pieces)
            if len(joined):
                means[name] = float(f"{joined.mean():.4g}")
        table.append({"branch": branch, "means": means})
    return table


def _speech(level: str, count: int) -> np.ndarray:
    """(count,) whether each value is in speech, by the codes of the level."""
    codes = np.frombuffer(base64.b64decode(level), np.uint8).astype(float)
    within = codes > np.percentile(codes, 95) - SPEECH
    return np.resize(np.append(within, False), count) if len(within) < count else within[:count]
