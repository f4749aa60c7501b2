"""Runs the Java programs of the PTB tokenizer, METEOR and SPICE as subprocesses.

Locale and encoding are fixed. An error quotes the last lines of the program's output. The jars are
part of pycocoevalcap (Chen et al. 2015, https://github.com/salaniz/pycocoevalcap); its Python
wrappers are not used because they write into site-packages.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Sequence

from serdesc.errors import FailedError
from serdesc.files import file_digest

MIN_VERSION = 11
REMEDY = "any from 11 to 21 will do, on Debian `apt install default-jre-headless`"
FIXED = (
    "-Duser.country=US",
    "-Duser.language=en",
    "-Dfile.encoding=UTF-8",
    "-Dsun.jnu.encoding=UTF-8",
    "-Djava.awt.headless=true",
)


class NotComputed(Exception):
    """A metric cannot be computed here. The message has the reason and the next step.

    It is printed and stored in place of the value; the other metrics are computed.
    """


def program() -> str:
    """The path of java. Raises NotComputed if there is none, or if it is too old."""
    path = shutil.which("java")
    if not path:
        raise NotComputed(f"Java is not installed: {REMEDY}")
    major, version = _version(path)
    if major < MIN_VERSION:
        raise NotComputed(f"{path} is Java {version}, which is too old: {REMEDY}")
    return path


@cache
def _version(path: str) -> tuple[int, str]:
    """From `java -version`: 8 and "1.8.0_402", or 17 and "17.0.9".

    A program that prints no version is accepted; its own error message is then reported.
    """
    try:
        done = subprocess.run([path, "-version"], capture_output=True, timeout=60)
        output = done.stderr.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired):
        output = ""
    match = re.search(r'version "((?:1\.)?(\d+)[^"]*)"', output)
    return (int(match[2]), match[1]) if match else (MIN_VERSION, "")


@cache
def jars() -> Path:
    """The directory of pycocoevalcap. It is not imported: its modules start Java on import."""
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise NotComputed("the package pycocoevalcap is not installed: pip install pycocoevalcap")
    return Path(spec.submodule_search_locations[0])


@cache
def digest(*place: str) -> str:
    """Eight digits of the sha256 of a jar in `jars()`, for signatures; "none" if it is missing."""
    try:
        return file_digest(jars().joinpath(*place))[:8]
    except (NotComputed, OSError):
        return "none"


def run(
    arguments: Sequence[str],
    stdin: str,
    name: str,
    cwd: Path | None = None,
    memory: str = "2G",
    timeout: float = 3600.0,
) -> str:
    """The standard output of a Java program that reads `stdin`; `timeout` in seconds.

    Raises FailedError with the last lines of its output, and NotComputed if there is no Java.
    """
    command = [program(), *FIXED, f"-Xmx{memory}", *arguments]
    environment = {"LC_ALL": "C.UTF-8", "PATH": str(Path(command[0]).parent)}
    try:
        done = subprocess.run(
            command,
            input=stdin.encode(),
            capture_output=True,
            cwd=cwd,
            timeout=timeout,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise FailedError(
            f"{name}: not finished after {timeout:.0f} s (scoring.java_timeout). "
            f"Last lines of its output:\n{_last_lines(error.stderr)}"
        ) from None
    if done.returncode != 0:
        hint = ""
        if b"OutOfMemory" in done.stderr:
            hint = " Increase its memory with scoring.java_memory."
        raise FailedError(
            f"{name}: Java stopped with status {done.returncode}.{hint} Last lines of its output:\n"
            f"{_last_lines(done.stderr or done.stdout)}"
        )
    return done.stdout.decode("utf-8")


def _last_lines(output: bytes | None, count: int = 8) -> str:
    lines = (output or b"").decode("utf-8", "replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-count:])
