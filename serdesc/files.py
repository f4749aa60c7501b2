"""Atomic files: written under a temporary name, synchronised, then renamed; locks, hashes, JSON."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterable, Iterator, TextIO

from serdesc.errors import FailedError, UserError

# Errors of libraries that write, also on a full disk
WRITERS = ("LibsndfileError", "SafetensorError")
NESTED = "JSON that is nested too deeply to be read: correct or remove it."


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it replaces `path` at the end of the block, or is removed on
    error.

    Raises UserError if `path` is a folder, FailedError if it cannot be written.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file, for example {path / 'out.json'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with write_errors(path):
            yield temporary
            synchronise(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turns an error of the system or of a writing library in the block into a FailedError."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__name__ not in WRITERS:
            raise
        reason = getattr(error, "strerror", None) or error
        raise FailedError(
            f"{path}: could not be written ({reason}); {free_gb(path.parent):.1f} GB are free"
            " there. Finished work is kept: make room and run the same command again."
        ) from error


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """One process at a time in such a block for `path`, an experiment or a file; else UserError.

    `.NAME.lock` beside it records who is in the block. On a file system without locks, the record
    alone decides: a process that has ended on this host, or an earlier start of this Slurm job,
    counts no longer.
    """
    lock = path.with_name(f".{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{path}: {_owner_text(_owner(file))} is writing to it. Wait for it to end, or stop"
                " it"
            ) from None
        except OSError:
            owner = _owner(file)
            if _may_be_running(owner):
                raise UserError(
                    f"{path}: {_owner_text(owner)} is writing to it. Wait for it to end, or stop"
                    f" it; if it has ended, remove {lock} (this file system has no locks)"
                ) from None
        with write_errors(lock):
            file.truncate(0)
            json.dump(_this_process(), file)
            file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _this_process() -> dict[str, Any]:
    return {
        "process": os.getpid(),
        "host": os.uname().nodename,
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "ticks": _start_ticks(os.getpid()),
    }


def _owner(file: TextIO) -> dict[str, Any]:
    """The record in a lock file; empty if it has none, or one of an earlier version."""
    file.seek(0)
    try:
        owner = json.loads(file.read())
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _owner_text(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    job = f", Slurm job {owner['job']}" if owner.get("job") else ""
    return (
        f"process {owner.get('process')} on {owner.get('host')} (since {owner.get('since')}{job})"
    )


def _may_be_running(owner: dict[str, Any]) -> bool:
    here = _this_process()
    if not owner:
        return False
    if owner.get("host") == here["host"]:
        return owner.get("ticks") == _start_ticks(int(owner.get("process", 0)))
    return not here["job"] or owner.get("job") != here["job"]


def _start_ticks(process: int) -> str:
    """When a process began, in clock ticks: distinguishes reused numbers. Empty: it ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]  # after the name, which may contain spaces


def file_name(utt_id: str) -> str:
    """A file name of an id: it leaves no folder, and is at most 200 bytes long."""
    name = utt_id.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    name = "%2E" + name[1:] if name.startswith(".") else name
    encoded = name.encode("utf-8", "surrogateescape")
    return name if len(encoded) <= 200 else hashlib.sha256(encoded).hexdigest()


def partial_of(path: Path) -> Path:
    """File of the lines that an interrupted run finished, of a file that is written at the end."""
    return path.with_name(f".{path.name}.partial")


def synchronise(path: Path) -> None:
    """Wait until the bytes of a file are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def digest(*parts: Any) -> str:
    """A hash of JSON values: everything that a stored result depends on, with a code version."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


_PIPES: dict[Path, bytes] = {}


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Those of a pipe, as /dev/stdin, are read once and kept."""
    if path.is_file():
        return path.read_bytes()
    if path not in _PIPES:
        _PIPES[path] = path.read_bytes()
    return _PIPES[path]


def modified_at(path: str | Path) -> float:
    """Time of the last change of the content or of the directory entry, seconds since the epoch."""
    status = Path(path).stat()
    return max(status.st_mtime, status.st_ctime)


def apply_umask(path: Path) -> None:
    """Permissions by the umask: safetensors' own allow nobody else to read, and clusters are
    shared.
    """
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def free_gb(folder: Path) -> float:
    """Free space, 10^9 bytes, of the file system that has, or will have, `folder`."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, each with its line feed, as the iterable yields them."""
    with atomic_path(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)


def write_text(path: Path, text: str) -> None:
    write_lines(path, [text])


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    write_lines(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_text(path: Path) -> str:
    """The text of a UTF-8 file without a byte order mark, lines ending in a line feed.

    Raises UserError for another encoding.
    """
    return decode_text(path, read_bytes(path))


def decode_text(path: Path, raw: bytes) -> str:
    """As read_text, of the bytes of the file."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}, as in"
            " Latin-1 or Windows-1252. Convert the file, for example: iconv -f WINDOWS-1252 -t"
            f" UTF-8 {path.name}"
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file. Only a line feed ends one: other separators stand in texts."""
    return read_text(path).removesuffix("\n").split("\n") if path.stat().st_size else []


def read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except RecursionError as error:
        raise UserError(f"{path}: {NESTED}") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not JSON ({error.msg}): remove the file and make it again."
        ) from error


def read_jsonl(path: Path, growing: bool = False) -> list[Any]:
    """Values of JSON lines. growing: a last line without a line feed, which is being written or was
    cut off by a kill, is left out.
    """
    raw = read_bytes(path)
    if growing:
        raw = raw[: raw.rfind(b"\n") + 1]
    return [row for _, row in parse_jsonl(path, decode_text(path, raw))]


def parse_jsonl(path: Path, text: str) -> list[tuple[int, Any]]:
    """Line numbers and values of JSON lines; `path` is the location for errors.

    Blank lines are skipped. Only a line feed ends a line: a string may contain U+2028.
    """
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append((number, json.loads(line)))
        except RecursionError as error:
            raise UserError(f"{path}:{number}: {NESTED}") from error
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{number}: not a JSON object ({error.msg}): correct or remove that line."
            ) from error
    return rows
