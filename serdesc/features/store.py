"""Features for utterances, kept on disk or computed live, behind one interface: `features.load(utterances)`.

A store is a folder of safetensors shards, `header.json` (what made them) and `feats.scp` (utterance -> shard). Which utterance
lies in which shard, and which are encoded together, depends on the data alone, so any number of jobs makes the same bytes.
Utterances whose audio cannot be used are left out and stand in `rejected.tsv`; the next `extract` tries them again.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable, Protocol, Sequence

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from serdesc.config import StoreConfig
from serdesc.data import audio, datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.features.encoder import Encoder
from serdesc.files import (
    modified_at,
    free_gb,
    read_json,
    share,
    write_json,
    write_text,
    written_aside,
)
from serdesc.runtime import DTYPES

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
FORMAT = 1
LEFT_OUT = "rejected"  # in what a shard says of itself: utterance -> why its audio cannot be used
SCALE = "#scale"  # behind an utterance's id: the scales of its 8-bit values


class Features(Protocol):
    """Where features come from."""

    layers: int
    width: int
    made_by: dict[str, Any]  # the encoder's identity
    precision: str  # in which they come: a store's dtype, or live
    rejected: dict[
        str, str
    ]  # utterances that were left out, as far as is known before they are asked for, and why

    def load(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """x (L, T, D) of each utterance, float32 on the CPU. Raises AudioError of the first whose audio cannot be used."""
        ...


class Live:
    """Features computed when they are asked for."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.layers, self.width, self.made_by = (
            encoder,
            encoder.layers,
            encoder.width,
            encoder.identity(),
        )
        self.rejected: dict[str, str] = {}
        self.precision = "live"

    def load(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        return encode(self.encoder, [load_wave(utt, self.encoder) for utt in utterances])


def load_wave(utt: Utterance, encoder: Encoder) -> np.ndarray:
    return audio.load(utt.wav, encoder.config.max_seconds, utt.span, utt.utt_id)


def encode(encoder: Encoder, waves: list[np.ndarray]) -> list[Tensor]:
    """x of each wave, in the order given; neighbours in length are encoded together."""
    out: dict[int, Tensor] = {}
    for batch in together([len(wave) for wave in waves], encoder):
        out.update(zip(batch, encoder([waves[i] for i in batch])))
    return [out[i] for i in range(len(waves))]


def together(samples: Sequence[int], encoder: Encoder) -> list[list[int]]:
    """Indices grouped so that a padded batch holds at most `batch_seconds` of audio."""
    limit = encoder.config.batch_seconds * audio.SAMPLE_RATE if encoder.batchable else 0
    batches: list[list[int]] = []
    for i in sorted(range(len(samples)), key=lambda i: (samples[i], i)):
        if batches and samples[i] * (len(batches[-1]) + 1) <= limit:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


# ---- writing -------------------------------------------------------------------------------------------------------------


def shards(utterances: Sequence[Utterance], seconds: float) -> list[list[Utterance]]:
    """The utterances in order of id, cut into shards of about so many seconds."""
    out: list[list[Utterance]] = []
    held = 0.0
    for utt in sorted(utterances, key=lambda utt: utt.utt_id):
        if not out or held + (utt.seconds or 0.0) > seconds:
            out.append([])
            held = 0.0
        out[-1].append(utt)
        held += utt.seconds or 0.0
    return out


def write(
    folder: Path, utterances: Sequence[Utterance], encoder: Encoder, config: StoreConfig, job: tuple[int, int] = (1, 1),
    done: Callable[[int], None] = lambda n: None,
) -> list[audio.AudioError]:  # fmt: skip
    """Write the shards of job i of n that are not there yet, and the index once all are. `done(n)` is told of n utterances.

    Returns what was left out of this job's shards.
    """
    header = _header(folder, encoder, config)
    groups = shards(utterances, config.shard_seconds)
    names = [f"shard-{number:05d}.safetensors" for number in range(len(groups))]
    unusable: list[audio.AudioError] = []
    for number, (name, group) in enumerate(zip(names, groups)):
        if number % job[1] == job[0] - 1:
            held = _held(folder / name, group)
            if held is None or held.get(LEFT_OUT) or _stale(folder / name, held, group, encoder):
                unusable += _write_shard(folder / name, group, encoder, config.dtype, header)
            done(len(group))
    shards_held = [_held(folder / name, group) for name, group in zip(names, groups)]
    if all(shards_held):
        _write_index(
            folder, utterances, {name: held for name, held in zip(names, shards_held) if held}
        )
    return unusable


def _write_index(
    folder: Path, utterances: Sequence[Utterance], held: dict[str, dict[str, Any]]
) -> None:
    """rejected.tsv, where something was left out, and then feats.scp."""
    index = {utt_id: name for name, about in held.items() for utt_id in about["utterances"]}
    reasons = {
        utt_id: reason
        for about in held.values()
        for utt_id, reason in about.get(LEFT_OUT, {}).items()
    }
    if not index:
        raise UserError(
            f"{folder}: the audio of none of {len(reasons)} utterances can be used; the first is {min(reasons.items())}. Look at wav.scp"
        )
    if reasons:
        wavs = {utt.utt_id: utt.wav for utt in utterances}
        datadir.write_rejected(
            folder, ((utt_id, wavs[utt_id], reason) for utt_id, reason in reasons.items())
        )
    else:
        (folder / datadir.REJECTED).unlink(missing_ok=True)
    write_text(
        folder / "feats.scp", "".join(f"{utt_id} {index[utt_id]}\n" for utt_id in sorted(index))
    )


def _header(folder: Path, encoder: Encoder, config: StoreConfig) -> dict[str, Any]:
    """The store's header, written now if there is none; an existing one must fit."""
    header = {"format": FORMAT, **encoder.identity(), "dtype": config.dtype}
    path = folder / "header.json"
    if path.exists() and not is_live(folder):
        _check(folder, read_json(path), header)
        found: dict[str, Any] = read_json(path)
        return found
    header["versions"] = {
        package: version(package) for package in ("torch", "transformers", "safetensors")
    }
    write_json(path, header)
    return header


def size(utterances: Sequence[Utterance], encoder: Encoder, config: StoreConfig) -> int:
    """Bytes that the features of the utterances take: the frames of each by its seconds; shards add a header."""
    frames = sum(
        encoder.lengths([round((utt.seconds or 0.0) * audio.SAMPLE_RATE) for utt in utterances])
    )
    return (
        frames
        * encoder.layers
        * (encoder.width * BYTES[config.dtype] + (4 if config.dtype == "int8" else 0))
    )


def mark_live(folder: Path, encoder: Encoder, config: StoreConfig) -> None:
    """Make `folder` stand for features that are computed when they are asked for."""
    if (folder / "header.json").exists() and not is_live(folder):
        raise UserError(
            f"{folder}: features are stored there already. Leave --max-disk out to go on with them, or remove the folder"
        )
    write_json(
        folder / "header.json",
        {"format": FORMAT, "live": True, **encoder.identity(), "dtype": config.dtype},
    )


def is_live(folder: Path) -> bool:
    """Whether `serdesc extract --max-disk` decided against storing features there."""
    return (folder / "header.json").exists() and bool(read_json(folder / "header.json").get("live"))


def _check(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    differ = [
        f"{key} is {found.get(key)!r}, wanted {value!r}"
        for key, value in wanted.items()
        if found.get(key) != value
    ]
    if differ:
        raise UserError(
            f"{folder}: this store was made otherwise: {'; '.join(differ)}.\n  Extract into another folder, or remove this one "
            f"and run `serdesc extract` again; or set the configuration to what the store holds."
        )


def _held(path: Path, group: list[Utterance]) -> dict[str, Any] | None:
    """What the shard says of itself, where it is there, whole, and of these utterances."""
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads(file.metadata()["serdesc"])
            return (
                about
                if sorted([*about["utterances"], *about.get(LEFT_OUT, {})])
                == [utt.utt_id for utt in group]
                else None
            )
    except (OSError, SafetensorError, KeyError):
        return None


def _stale(path: Path, held: dict[str, Any], group: list[Utterance], encoder: Encoder) -> bool:
    """Whether audio that was put in its place after the shard was written is another than it was made of."""
    made = modified_at(path)
    for utt in group:
        try:
            if (
                Path(utt.wav).exists()
                and modified_at(utt.wav) > made
                and held["audio"].get(utt.utt_id) != _digest(load_wave(utt, encoder))
            ):
                return True
        except audio.AudioError:  # what was heard before it was damaged stays
            continue
    return False


def _digest(wave: np.ndarray) -> str:
    return hashlib.sha256(wave.tobytes()).hexdigest()[:16]


def _write_shard(
    path: Path, group: list[Utterance], encoder: Encoder, dtype: str, header: dict[str, Any]
) -> list[audio.AudioError]:
    """Returns what was left out of it."""
    waves: dict[str, np.ndarray] = {}
    unusable: list[audio.AudioError] = []
    for utt in group:
        try:
            waves[utt.utt_id] = load_wave(utt, encoder)
        except audio.AudioError as error:
            unusable.append(error)
    tensors: dict[str, Tensor] = {}
    for utt_id, x in zip(waves, encode(encoder, list(waves.values()))):
        tensors.update(_packed(utt_id, x, dtype))
    about = {
        "header": header,
        "utterances": list(waves),
        "audio": {utt_id: _digest(wave) for utt_id, wave in waves.items()},
    }
    if unusable:
        about[LEFT_OUT] = {error.utt_id: str(error) for error in unusable}
    need = sum(x.nbytes for x in tensors.values()) / 1e9
    if free_gb(path.parent) < need:
        raise FailedError(
            f"{path}: needs {need:.2f} GB, and {free_gb(path.parent):.2f} GB are free there. Shards written so far are kept: make "
            "room and run the same command again, or compute features live (STORE `live`)."
        )
    with written_aside(path) as aside:
        # One key with sorted JSON: safetensors would write several in random order.
        save_file(tensors, aside, metadata={"serdesc": json.dumps(about, sort_keys=True)})
        share(aside)
    return unusable


def _packed(utt_id: str, x: Tensor, dtype: str) -> dict[str, Tensor]:
    """x (L, T, D) as it is kept; cloned, for it is cut from a whole batch."""
    if dtype != "int8":
        return {utt_id: x.to(DTYPES[dtype]).clone()}
    scale = x.abs().amax(dim=-1).clamp_min(1e-8) / 127  # (L, T)
    return {utt_id: (x / scale[..., None]).round().to(torch.int8), utt_id + SCALE: scale}


# ---- reading -------------------------------------------------------------------------------------------------------------


class Store:
    """Features on disk, memory-mapped."""

    def __init__(self, folder: Path, wanted: dict[str, Any] | None = None) -> None:
        """Open a store; `wanted` (an encoder's identity) must agree with its header."""
        if is_live(folder):
            raise UserError(
                f"{folder}: its features are computed live (extract --max-disk); there is nothing stored to read or to check"
            )
        if not (folder / "feats.scp").exists():
            raise UserError(
                f"{folder}: no finished feature store (feats.scp is missing). Run: serdesc extract DATA {folder}"
            )
        header = read_json(folder / "header.json")
        _check(folder, header, {"format": FORMAT, **(wanted or {})})
        self.folder = folder
        self.header = header
        self.layers, self.width, self.precision = (
            int(header["layer_count"]),
            int(header["width"]),
            str(header["dtype"]),
        )
        self.made_by = {
            key: value
            for key, value in header.items()
            if key not in ("format", "dtype", "versions")
        }
        self._shard_of = dict(
            line.split(" ", 1) for line in (folder / "feats.scp").read_text().splitlines()
        )
        self.rejected = {utt_id: reason for utt_id, _, reason in datadir.rejected(folder)}
        self._open = lru_cache(maxsize=64)(self._open_shard)

    def _open_shard(self, name: str) -> Any:
        return safe_open(self.folder / name, framework="pt")

    def verify(self) -> int:
        """Read every utterance once; the number of them. Raises where a shard is damaged or values are not numbers."""
        for utt_id, name in self._shard_of.items():
            x = self._tensor(utt_id, name)
            if (
                not bool(x.isfinite().all())
                or x.shape[0] != self.layers
                or x.shape[2] != self.width
            ):
                raise UserError(
                    f"{self.folder / name}: features of '{utt_id}' are damaged ({tuple(x.shape)}). Remove the shard and extract again."
                )
        return len(self._shard_of)

    def _tensor(self, utt_id: str, name: str) -> Tensor:
        try:
            file = self._open(name)
            x: Tensor = file.get_tensor(utt_id).float()
            return (
                x * file.get_tensor(utt_id + SCALE)[..., None]
                if self.header["dtype"] == "int8"
                else x
            )
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{self.folder / name}: damaged shard ({error}). Remove it and run `serdesc extract` again."
            ) from error

    def load(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        out = []
        for utt in utterances:
            if reason := self.rejected.get(utt.utt_id):
                raise audio.AudioError(reason).at(utt.wav, utt.utt_id)
            if utt.utt_id not in self._shard_of:
                raise UserError(
                    f"{self.folder}: no features of '{utt.utt_id}'. Run `serdesc extract` on the data directory that has it."
                )
            out.append(self._tensor(utt.utt_id, self._shard_of[utt.utt_id]))
        return out


def open_features(
    store: str, config: Any, device: torch.device, any_length: bool = False
) -> Features:
    """`live`, or the store in a folder, checked against the configuration's encoder where that can be done without loading it.

    With `any_length` the store decides how much of a recording is heard: a trained model takes what it gets.
    """
    if store == "live":
        return Live(Encoder.load(config.encoder, device))
    if is_live(Path(store)):
        live = Live(Encoder.load(config.encoder, device))
        _check(
            Path(store), read_json(Path(store) / "header.json"), {"format": FORMAT, **live.made_by}
        )
        return live
    wanted = {"encoder": config.encoder.model, "layers": config.encoder.layers}
    if not any_length:
        wanted |= {
            "min_seconds": config.encoder.min_seconds,
            "max_seconds": config.encoder.max_seconds,
        }
    return Store(Path(store), wanted)
