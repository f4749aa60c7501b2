"""Files that are either complete or absent: written aside, flushed, then renamed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterable, Iterator

from serdesc.errors import FailedError, UserError

WRITERS = ("LibsndfileError", "SafetensorError")  # what libraries raise, a full disk included


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the block ends well and disappears when it does not."""
    if path.is_dir():
        raise UserError(f"{path}: a folder is there; name a file, for example {path / 'out.json'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing(path):
            yield aside
            with open(aside, "rb") as file:
                os.fsync(file.fileno())
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What goes wrong in the block, by the system or by a library that writes, is told as a FailedError about `path`."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__name__ not in WRITERS:
            raise
        raise FailedError(
            f"{path}: could not be written ({getattr(error, 'strerror', None) or error}). What was finished before is kept: "
            f"make room ({free_gb(path.parent):.1f} GB are free there) and run the same command again."
        ) from error


@contextmanager
def exclusive_lock(place: Path) -> Iterator[None]:
    """Nobody else is in such a block of the same place, an experiment or a file. Raises UserError where somebody is."""
    path = place.with_name(f".{place.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{place}: {file.read().strip() or 'another process'} is at work on it. Wait for that, or stop it"
            ) from None
        except OSError:  # a file system without locks
            pass
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield


def digest(*parts: Any) -> str:
    """A hash of what a result depends on: values of JSON, a version of what computes it among them."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def modified_at(path: str | Path) -> float:
    """When a file was written, or put there, last."""
    about = Path(path).stat()
    return max(about.st_mtime, about.st_ctime)


def share(path: Path) -> None:
    """Let others read a file as the umask allows: safetensors makes its own for nobody else, and clusters are shared."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def free_gb(folder: Path) -> float:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, each with its line feed, as they come."""
    with written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)


def write_text(path: Path, text: str) -> None:
    write_lines(path, [text])


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    write_lines(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, a byte order mark at its head left out. Raises UserError where it is of another encoding."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}, as in Latin-1 or Windows-1252. Convert the file, "
            f"for example: iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not JSON ({error.msg}): remove the file and make it again."
        ) from error


def read_jsonl(path: Path) -> list[Any]:
    return [row for _, row in parse_jsonl(path, read_text(path))]


def parse_jsonl(path: Path, text: str) -> list[tuple[int, Any]]:
    """The objects of the text that was read from `path`, with their lines; blank ones are passed over.

    Lines end in a line feed alone: a string may hold what else breaks one (U+2028).
    """
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append((number, json.loads(line)))
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{number}: not a JSON object ({error.msg}): mend or remove that line."
            ) from error
    return rows
