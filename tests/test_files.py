"""Locks name their holder, end with it, and hold where the file system has none."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from serdesc.errors import FailedError, UserError
from serdesc.files import exclusive_lock, read_jsonl, write_errors

HOLD = """
import fcntl, sys, time
from pathlib import Path
from serdesc.files import exclusive_lock
def without_locks(*_):
    raise OSError(38, "Function not implemented")
if sys.argv[2] == "none":
    fcntl.flock = without_locks
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["locks", "none"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One with locks and one without, as Lustre mounted without them."""
    if request.param == "none":

        def flock(*_: Any) -> None:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(fcntl, "flock", flock)
    return str(request.param)


def record(path: Path, **changes: Any) -> Path:
    """The lock file of this process, with changes."""
    lock = path.with_name(f".{path.name}.lock")
    with exclusive_lock(path):
        owner = json.loads(lock.read_text())
    assert lock.read_text() == ""
    lock.write_text(json.dumps(owner | changes))
    return lock


def test_a_second_process_is_refused_until_the_first_is_gone(
    tmp_path: Path, file_system: str
) -> None:
    exp = tmp_path / "fold1"
    command = [sys.executable, "-c", HOLD, str(exp), file_system]
    env = {**os.environ, "SLURM_JOB_ID": "4711"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        with pytest.raises(UserError) as refused, exclusive_lock(exp):
            pass
        day, host = time.strftime("%Y-%m-%d"), os.uname().nodename
        assert f"process {first.pid} on {host} (since {day}" in str(refused.value)
        assert "Slurm job 4711" in str(refused.value) and "Wait for it to end" in str(refused.value)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert "4711" in (tmp_path / ".fold1.lock").read_text()  # it could not remove its record
    with exclusive_lock(exp):
        pass


@pytest.mark.parametrize("file_system", ["none"], indirect=True)
def test_without_locks_the_record_decides(
    tmp_path: Path, file_system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exp = tmp_path / "fold1"
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    lock = record(exp, ticks="1")  # the number of the process was given to another
    with exclusive_lock(exp):
        pass
    record(exp, host="node7")  # an earlier start of the same job, elsewhere
    with exclusive_lock(exp):
        pass
    record(exp, host="node7", job="11")
    with pytest.raises(UserError, match="on node7 .*Slurm job 11.* if it has ended, remove .*lock"):
        with exclusive_lock(exp):
            pass
    lock.unlink()
    with exclusive_lock(exp):
        pass
    lock.write_text("process 7 on node7")  # of an earlier version
    with exclusive_lock(exp):
        pass


def test_a_growing_file_is_read_up_to_its_last_line_feed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a": "\xc3')
    assert read_jsonl(path, growing=True) == [{"a": 1}, {"a": 2}]
    with pytest.raises(UserError, match="not UTF-8"):
        read_jsonl(path)
    path.write_bytes(b'{"a": 1}')
    assert read_jsonl(path, growing=True) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_and_a_used_up_quota_are_named(tmp_path: Path, code: int) -> None:
    with pytest.raises(FailedError) as raised:
        with write_errors(tmp_path / "feats.scp"):
            raise OSError(code, os.strerror(code))
    text = str(raised.value)
    assert text.startswith(f"{tmp_path / 'feats.scp'}: could not be written ({os.strerror(code)})")
    assert "run the same command again" in text
