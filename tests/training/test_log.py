"""TensorBoard's event files."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from serdesc.errors import UserError
from serdesc.training.log import Log


def events(folder: Path) -> Iterator[Any]:
    """Events of a folder, read as TensorBoard's records: length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            yield Event.FromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4


def row(step: int) -> dict[str, Any]:
    return {"block": 0, "phase": "content", "step": step, "llm_loss": 2.0 - step, "lr": 0.5}


def test_event_files_hold_the_rows_and_a_restart_hides_later_ones(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    log = Log(tmp_path / "train.jsonl", 0, 0, tensorboard=True)
    for step in range(3):
        log.append(row(step))
    log.close()
    log = Log(tmp_path / "train.jsonl", 0, 2, tensorboard=True)  # after a kill at step 3
    log.append(row(2) | {"llm_loss": 9.0})
    log.close()
    scalars, restarted = [], []
    for event in events(tmp_path / "tensorboard"):
        if event.HasField("session_log"):
            restarted.append(event.step)
        for value in event.summary.value:
            scalars.append((value.tag, event.step, value.simple_value))
    losses = [one[1:] for one in scalars if one[0] == "content/llm_loss"]
    assert losses == [(0, 2.0), (1, 1.0), (2, 0.0), (2, 9.0)]
    assert restarted[-1] == 2  # TensorBoard drops what is from this step on
    assert ("content/lr", 1, 0.5) in scalars


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r'pip install "serdesc\[tensorboard\]"'):
        Log(tmp_path / "train.jsonl", 0, 0, tensorboard=True)
