"""manifest.json: the hash of each finished file of a folder, and the command that wrote it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from serdesc.files import file_digest, read_json, write_json

NAME = "manifest.json"
OF_TRAINING = ("config.yaml", "env.json", "targets.json", "skipped.jsonl", "train.jsonl")
OF_DECODING = ("hyp.jsonl", "hyp.made.json", "hyp.branches.safetensors")


def is_decoded(folder: Path) -> bool:
    """Whether a folder is of an experiment's answers, EXP/fold1/decode_PART."""
    return folder.absolute().name.startswith("decode_")


def command_line() -> str:
    """The command of this process, quoted for a shell."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def record(folder: Path, *names: str) -> None:
    """Record files of `folder` as they are now; those that do not exist are no longer listed."""
    listed = read(folder)
    for name in names:
        listed.pop(name, None)
        if (folder / name).exists():
            sha256 = file_digest(folder / name)
            listed[name] = {"sha256": sha256, "command": command_line()}
    write_json(folder / NAME, dict(sorted(listed.items())))


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """File -> sha256 and command; empty for a folder without a record."""
    path = folder / NAME
    found: dict[str, dict[str, Any]] = read_json(path) if path.exists() else {}
    return found


def changed(folder: Path) -> list[str]:
    """What differs from the record: `FILE: missing`, or `FILE: changed since COMMAND wrote it`."""
    found = []
    for name, written in read(folder).items():
        path = folder / name
        if not path.exists():
            found.append(f"{path}: missing; written by: {written['command']}")
        elif file_digest(path) != written["sha256"]:
            found.append(
                f"{path}: changed or damaged since it was written by: {written['command']}"
            )
    return found


def commands(folder: Path) -> list[str]:
    """The commands that wrote the files, each once."""
    return list(dict.fromkeys(written["command"] for written in read(folder).values()))
