"""The Java programs behind PTB tokens, METEOR and SPICE, each a subprocess of our own.

Locale and encoding are fixed, temporary files lie in a folder of ours, and a program that fails is told with the end of what it said.
pycocoevalcap brings the jars (Chen et al. 2015, https://github.com/salaniz/pycocoevalcap); its own wrappers write into site-packages.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Sequence

from serdesc.errors import FailedError

OLDEST = 11
REMEDY = "any from 11 to 21 will do, on Debian `apt install default-jre-headless`"
FIXED = (
    "-Duser.country=US",
    "-Duser.language=en",
    "-Dfile.encoding=UTF-8",
    "-Dsun.jnu.encoding=UTF-8",
    "-Djava.awt.headless=true",
)


class NotComputed(Exception):
    """A metric that cannot be had here, and what to do about it: told in its place, while the others go on."""


def program() -> str:
    """Java's path. Raises NotComputed where there is none, or one that is too old."""
    found = shutil.which("java")
    if not found:
        raise NotComputed(f"Java is not installed: {REMEDY}")
    major, version = _version(found)
    if major < OLDEST:
        raise NotComputed(f"{found} is Java {version}, which is too old: {REMEDY}")
    return found


@cache
def _version(path: str) -> tuple[int, str]:
    """What `java -version` says: 8 and "1.8.0_402", or 17 and "17.0.9". A program that says none is let through, to fail in its own words."""
    try:
        said = subprocess.run([path, "-version"], capture_output=True, timeout=60).stderr.decode(
            "utf-8", "replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    match = re.search(r'version "((?:1\.)?(\d+)[^"]*)"', said)
    return (int(match[2]), match[1]) if match else (OLDEST, "")


@cache
def jars() -> Path:
    """The folder of pycocoevalcap, which is not imported: its modules would start Java on their own."""
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise NotComputed("the package pycocoevalcap is not installed: pip install pycocoevalcap")
    return Path(spec.submodule_search_locations[0])


@cache
def digest(*place: str) -> str:
    """Eight digits of the sha256 of a jar in `jars()`, for the signature of what it computes; none where there is no such file."""
    try:
        return hashlib.sha256(jars().joinpath(*place).read_bytes()).hexdigest()[:8]
    except (NotComputed, OSError):
        return "none"


def run(
    arguments: Sequence[str],
    given: str,
    name: str,
    cwd: Path | None = None,
    memory: str = "2G",
    timeout: float = 3600.0,
) -> str:
    """What the program writes, called with `given` on its standard input. Raises FailedError with the end of its messages."""
    command = [program(), *FIXED, f"-Xmx{memory}", *arguments]
    environment = {"LC_ALL": "C.UTF-8", "PATH": str(Path(command[0]).parent)}
    try:
        done = subprocess.run(
            command,
            input=given.encode(),
            capture_output=True,
            cwd=cwd,
            timeout=timeout,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise FailedError(
            f"{name}: not done after {timeout:.0f} s (scoring.java_timeout). Its last words: {_end(error.stderr)}"
        ) from None
    if done.returncode != 0:
        hint = (
            " Give it more memory with scoring.java_memory."
            if b"OutOfMemory" in done.stderr
            else ""
        )
        raise FailedError(
            f"{name}: Java stopped with status {done.returncode}.{hint} Its last words:\n{_end(done.stderr or done.stdout)}"
        )
    return done.stdout.decode("utf-8")


def _end(said: bytes | None, lines: int = 8) -> str:
    return "\n".join(
        f"  {line}" for line in (said or b"").decode("utf-8", "replace").splitlines()[-lines:]
    )
