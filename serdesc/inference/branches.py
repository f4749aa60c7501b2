"""What the branches did with each utterance, beside hyp.jsonl: KL per frame and layer weights.

hyp.branches.safetensors:
    kl_<branch>             (values,) float16, nats a frame and latent dimension: means over K and
                            over the frames of each 1/25 s, all utterances in a row
    ends                    (utterances,) int64, where the values of each utterance end
    layer_weights_<branch>  (L,) float32, after the softmax; `speech` for models of one branch
    metadata                `utterances`: JSON with utt_ids, and rate in values a second
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
from torch import Tensor

from serdesc.files import apply_umask, atomic_path
from serdesc.models import Model

RATE = 25  # values a second
FRAMES = 2  # encoder frames (50 a second) of a value
Row = dict[str, Any]  # of an utterance, in the file of finished batches


def path_of(hyp: Path) -> Path:
    """hyp.branches.safetensors beside hyp.jsonl."""
    return hyp.with_suffix(".branches.safetensors")


def rows(
    model: Model,
    x: Tensor,
    frames: Tensor,
    utt_ids: Sequence[str],
    first: Sequence[int] | None = None,
) -> list[Row]:
    """One row per utterance: its id, and the KL of each branch as base64 of float16.

    first: frames of each recording that were not encoded; their KL is 0.
    """
    kl = model.kl_per_frame(x, frames)  # branch -> (B, T)
    found = []
    for i, utt_id in enumerate(utt_ids):
        row: Row = {"utt_id": utt_id}
        for branch, values in kl.items():
            encoded = values[i, : int(frames[i])].float().cpu().numpy()
            curve = means(encoded, first[i] if first else 0)
            row[branch] = base64.b64encode(curve.astype("<f2").tobytes()).decode()
        found.append(row)
    return found


def means(values: np.ndarray, first: int = 0) -> np.ndarray:
    """(T,) values of frames -> (ceil((first + T) / FRAMES),) means; the last of fewer frames.

    first: frames before these, which were not encoded and count as 0.
    """
    values = np.concatenate([np.zeros(first, values.dtype), values])
    starts = np.arange(0, len(values), FRAMES)
    counts = np.minimum(FRAMES, len(values) - starts)
    return np.asarray(np.add.reduceat(values, starts) / counts)


def write(hyp: Path, model: Model, found: Mapping[str, Row], utt_ids: Sequence[str]) -> None:
    """Write hyp.branches.safetensors of the utterances, as far as a run has found their rows."""
    from safetensors.numpy import save_file

    present = [utt_id for utt_id in utt_ids if utt_id in found]
    values: dict[str, list[np.ndarray]] = {}
    ends = [0]
    for utt_id in present:
        length = 0
        for branch, text in found[utt_id].items():
            if branch != "utt_id":
                values.setdefault(branch, []).append(_decoded(text))
                length = len(values[branch][-1])
        ends.append(ends[-1] + length)
    tensors = {"ends": np.asarray(ends[1:], np.int64)}
    for branch, pieces in values.items():
        tensors[f"kl_{branch}"] = np.concatenate(pieces)
    for branch, weights in model.weights_of_layers("joint").items():
        tensors[f"layer_weights_{branch}"] = weights.float().cpu().numpy()
    # one entry: safetensors writes several in any order, and the bytes of equal runs are equal
    metadata = {"utterances": json.dumps({"utt_ids": present, "rate": RATE})}
    with atomic_path(path_of(hyp)) as temporary:
        save_file(tensors, temporary, metadata)
        apply_umask(temporary)


def _decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f2")
