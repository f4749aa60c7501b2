"""The feature store on disk, and the choice between a store and live features.

A store is a folder of safetensors shards, `header.json` (how the features were made) and
`feats.scp` (utterance -> shard). Shards and encoder batches depend on the data alone, so any number
of jobs writes the same bytes. Utterances without usable audio are listed in `rejected.tsv`; the
next `serdesc extract` tries them again.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from serdesc.config import Config, StoreConfig
from serdesc.data import audio, rejections
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.features import precision
from serdesc.features.encoder import Encoder
from serdesc.features.live import Features, Live, encode, load_wave
from serdesc.files import (
    apply_umask,
    atomic_path,
    free_gb,
    modified_at,
    read_json,
    read_lines,
    write_json,
    write_text,
)

FORMAT = 1
REJECTED = "rejected"  # key of a shard's metadata: utterance -> why its audio cannot be used
CHECKSUMS = "checksums"  # utterance -> checksum of its tensors
PACKAGES = ("torch", "transformers", "safetensors")


# ---- writing -------------------------------------------------------------------------------------


def shards(utterances: Sequence[Utterance], seconds: float) -> list[list[Utterance]]:
    """The utterances in order of id, in shards of at most that many seconds."""
    groups: list[list[Utterance]] = []
    total = 0.0
    for utt in sorted(utterances, key=lambda utt: utt.utt_id):
        if not groups or total + (utt.seconds or 0.0) > seconds:
            groups.append([])
            total = 0.0
        groups[-1].append(utt)
        total += utt.seconds or 0.0
    return groups


def write(
    folder: Path,
    utterances: Sequence[Utterance],
    encoder: Encoder,
    config: StoreConfig,
    job: tuple[int, int] = (1, 1),
    advance: Callable[[int], None] = lambda n: None,
) -> list[audio.AudioError]:
    """Write the missing shards of job i of n, and the index if all shards are complete.

    advance: called with the number of utterances of each finished shard. Returns the errors of
    utterances that this job rejected.
    """
    header = _header(folder, encoder, config)
    groups = shards(utterances, config.shard_seconds)
    paths = [folder / f"shard-{number:05d}.safetensors" for number in range(len(groups))]
    rejected: list[audio.AudioError] = []
    for number, (path, group) in enumerate(zip(paths, groups)):
        if number % job[1] == job[0] - 1:
            if not _up_to_date(path, group, encoder):
                rejected += _write_shard(path, group, encoder, config.dtype, header)
            advance(len(group))
    contents = {path.name: _metadata(path, group) for path, group in zip(paths, groups)}
    if all(contents.values()):
        _write_index(folder, utterances, {name: about for name, about in contents.items() if about})
    return rejected


def _up_to_date(path: Path, group: list[Utterance], encoder: Encoder) -> bool:
    """Whether a shard is complete, without rejected utterances, and of the present audio."""
    metadata = _metadata(path, group)
    if metadata is None or metadata.get(REJECTED):
        return False
    return not _is_stale(path, metadata, group, encoder)


def _write_index(
    folder: Path, utterances: Sequence[Utterance], contents: dict[str, dict[str, Any]]
) -> None:
    """rejected.tsv if utterances were rejected, and feats.scp, which marks completion."""
    shard_of: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for name, metadata in contents.items():
        shard_of.update(dict.fromkeys(metadata["utterances"], name))
        reasons.update(metadata.get(REJECTED, {}))
    if not shard_of:
        raise UserError(
            f"{folder}: none of {len(reasons)} utterances has usable audio; the first is "
            f"{min(reasons.items())}. Check wav.scp"
        )
    if reasons:
        wavs = {utt.utt_id: utt.wav for utt in utterances}
        rows = ((utt_id, wavs[utt_id], reason) for utt_id, reason in reasons.items())
        rejections.write(folder, rows)
    else:
        (folder / rejections.NAME).unlink(missing_ok=True)
    lines = [f"{utt_id} {shard_of[utt_id]}\n" for utt_id in sorted(shard_of)]
    write_text(folder / "feats.scp", "".join(lines))


def _header(folder: Path, encoder: Encoder, config: StoreConfig) -> dict[str, Any]:
    """The store's header; a new store's is written now, an existing store's must agree."""
    header = {"format": FORMAT, **encoder.identity(), "dtype": config.dtype}
    _refuse_other_features(folder)
    path = folder / "header.json"
    if path.exists() and not is_live(folder):
        existing: dict[str, Any] = read_json(path)
        check_header(folder, existing, header)
        return existing
    header["versions"] = {package: version(package) for package in PACKAGES}
    write_json(path, header)
    return header


def _refuse_other_features(folder: Path) -> None:
    """Raises UserError for a folder with a feats.scp that is not of a store, as Kaldi's."""
    if (folder / "feats.scp").exists() and not (folder / "header.json").exists():
        raise UserError(
            f"{folder}: its feats.scp is of another toolkit (no header.json beside it). Features of"
            " serdesc go to a folder of their own: serdesc extract DATA STORE"
        )


def size(utterances: Sequence[Utterance], encoder: Encoder, config: StoreConfig) -> int:
    """Bytes of the features of the utterances, by their seconds, without the shards' headers."""
    samples = [round((utt.seconds or 0.0) * audio.SAMPLE_RATE) for utt in utterances]
    bytes_per_frame = encoder.width * precision.BYTES[config.dtype]
    ranges = 0
    if config.dtype == "int8":
        bytes_per_frame += 4  # its scale
        ranges = len(samples) * encoder.layers * encoder.width * 4
    return sum(encoder.lengths(samples)) * encoder.layers * bytes_per_frame + ranges


def mark_live(folder: Path, encoder: Encoder, config: StoreConfig) -> None:
    """Record in `folder` that its features are computed live. Raises UserError for a store."""
    if (folder / "header.json").exists() and not is_live(folder):
        raise UserError(
            f"{folder}: is a feature store already. Run without --max-disk to continue it, or"
            " remove the folder"
        )
    header = {"format": FORMAT, "live": True, **encoder.identity(), "dtype": config.dtype}
    write_json(folder / "header.json", header)


def is_live(folder: Path) -> bool:
    """Whether `serdesc extract --max-disk` recorded that the features of `folder` are computed
    live.
    """
    return (folder / "header.json").exists() and bool(read_json(folder / "header.json").get("live"))


def check_header(folder: Path, header: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raises UserError if a store's header differs from the expected values."""
    differences = []
    for key, value in expected.items():
        if header.get(key) != value:
            differences.append(f"{key} is {header.get(key)!r}, expected {value!r}")
    if differences:
        raise UserError(
            f"{folder}: the store was made with other settings: {'; '.join(differences)}.\n "
            " Extract into another folder, or remove this one and run `serdesc extract` again; or"
            " configure what the store contains."
        )


def _metadata(path: Path, group: list[Utterance]) -> dict[str, Any] | None:
    """A shard's metadata, or None if the shard is missing, damaged or of other utterances."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = json.loads(file.metadata()["serdesc"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    ids = sorted([*metadata["utterances"], *metadata.get(REJECTED, {})])
    if ids != [utt.utt_id for utt in group]:
        return None
    return metadata


def _is_stale(
    path: Path, metadata: dict[str, Any], group: list[Utterance], encoder: Encoder
) -> bool:
    """Whether audio has changed since the shard was written; unreadable audio does not count."""
    written = modified_at(path)
    for utt in group:
        if not Path(utt.wav).exists() or modified_at(utt.wav) <= written:
            continue
        try:
            hash_now = _hash(load_wave(utt, encoder))
        except audio.AudioError:
            continue
        if metadata["audio"].get(utt.utt_id) != hash_now:
            return True
    return False


def _hash(wave: np.ndarray) -> str:
    return hashlib.sha256(wave.tobytes()).hexdigest()[:16]


def _write_shard(
    path: Path, group: list[Utterance], encoder: Encoder, dtype: str, header: dict[str, Any]
) -> list[audio.AudioError]:
    """Encode and write a shard; returns the errors of its rejected utterances."""
    waves: dict[str, np.ndarray] = {}
    rejected: list[audio.AudioError] = []
    for utt in group:
        try:
            waves[utt.utt_id] = load_wave(utt, encoder)
        except audio.AudioError as error:
            rejected.append(error)
    tensors: dict[str, Tensor] = {}
    checksums: dict[str, int] = {}
    for utt_id, x in zip(waves, encode(encoder, list(waves.values()))):
        of_utterance = precision.stored(utt_id, x, dtype)
        checksums[utt_id] = precision.checksum(*of_utterance.values())
        tensors.update(of_utterance)
    metadata = {
        "header": header,
        "utterances": list(waves),
        CHECKSUMS: checksums,
        "audio": {utt_id: _hash(wave) for utt_id, wave in waves.items()},
    }
    if rejected:
        metadata[REJECTED] = {error.utt_id: str(error) for error in rejected}
    _check_free_space(path, sum(x.nbytes for x in tensors.values()) / 1e9)
    with atomic_path(path) as temporary:
        # One key with sorted JSON: safetensors writes several keys in random order.
        text = json.dumps(metadata, sort_keys=True)
        save_file(tensors, temporary, metadata={"serdesc": text})
        apply_umask(temporary)
    return rejected


def _check_free_space(path: Path, needed: float) -> None:
    """Raises FailedError if fewer than `needed` GB are free."""
    if (free := free_gb(path.parent)) < needed:
        raise FailedError(
            f"{path}: needs {needed:.2f} GB, and {free:.2f} GB are free there. Finished shards are"
            " kept: make room and run the same command again, or compute features live (STORE"
            " `live`)."
        )


# ---- reading -------------------------------------------------------------------------------------


class Store:
    """Features on disk, memory-mapped."""

    def __init__(self, folder: Path, expected: dict[str, Any] | None = None) -> None:
        """Open a store. Raises UserError if its header differs from `expected`."""
        if is_live(folder):
            raise UserError(
                f"{folder}: its features are computed live (extract --max-disk), none are stored. "
                "Extract without --max-disk into another folder to store them"
            )
        if not (folder / "feats.scp").exists():
            raise UserError(
                f"{folder}: no finished feature store (feats.scp is missing). "
                f"Run: serdesc extract DATA {folder}"
            )
        _refuse_other_features(folder)
        self.folder = folder
        self.header = read_json(folder / "header.json")
        check_header(folder, self.header, {"format": FORMAT, **(expected or {})})
        self.layers, self.width = int(self.header["layer_count"]), int(self.header["width"])
        self.precision = str(self.header["dtype"])
        self.made_by = dict(self.header)
        for key in ("format", "dtype", "versions"):
            self.made_by.pop(key, None)
        lines = read_lines(folder / "feats.scp")
        self._shard_of = dict(line.split(" ", 1) for line in lines)
        self.rejected = {utt_id: reason for utt_id, _, reason in rejections.read(folder)}
        self._open = lru_cache(maxsize=64)(self._open_shard)

    def _open_shard(self, name: str) -> tuple[Any, dict[str, int]]:
        """The open shard and its checksums."""
        file = safe_open(self.folder / name, framework="pt")
        try:
            return file, json.loads(file.metadata()["serdesc"]).get(CHECKSUMS, {})
        except (KeyError, ValueError, TypeError) as error:
            raise precision.Damaged("its header cannot be read") from error

    def verify(self) -> int:
        """Read every utterance; returns their number. Raises UserError for a damaged shard."""
        for utt_id, name in self._shard_of.items():
            x = self._tensor(utt_id, name)
            shape_fits = (x.shape[0], x.shape[2]) == (self.layers, self.width)
            if not shape_fits or not bool(x.isfinite().all()):
                raise UserError(
                    f"{self.folder / name}: features of '{utt_id}' are damaged ({tuple(x.shape)}). "
                    "Remove the shard and extract again."
                )
        return len(self._shard_of)

    def _tensor(self, utt_id: str, name: str) -> Tensor:
        """x (L, T, D) in float32."""
        try:
            return precision.restored(utt_id, *self._open(name))
        except (OSError, SafetensorError, precision.Damaged) as error:
            raise UserError(
                f"{self.folder / name}: damaged shard, at '{utt_id}' ({error}). Remove it and run"
                " `serdesc extract` again."
            ) from error

    def load(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        features = []
        for utt in utterances:
            if reason := self.rejected.get(utt.utt_id):
                raise audio.AudioError(reason).at(utt.wav, utt.utt_id)
            if utt.utt_id not in self._shard_of:
                raise UserError(
                    f"{self.folder}: no features of '{utt.utt_id}'. Run `serdesc extract` on the"
                    " data directory that contains it."
                )
            features.append(self._tensor(utt.utt_id, self._shard_of[utt.utt_id]))
        return features


def open_features(
    store: str, config: Config, device: torch.device, any_length: bool = False
) -> Features:
    """`live`, or the store in a folder, checked against the configured encoder.

    any_length: accept a store with other min_seconds and max_seconds, for decoding with a trained
    model.
    """
    if store == "live":
        return Live(Encoder.load(config.encoder, device))
    folder = Path(store)
    if is_live(folder):
        live = Live(Encoder.load(config.encoder, device))
        header = read_json(folder / "header.json")
        check_header(folder, header, {"format": FORMAT, **live.made_by})
        return live
    expected: dict[str, Any] = {"encoder": config.encoder.model, "layers": config.encoder.layers}
    if not any_length:
        expected["min_seconds"] = config.encoder.min_seconds
        expected["max_seconds"] = config.encoder.max_seconds
    return Store(folder, expected)
