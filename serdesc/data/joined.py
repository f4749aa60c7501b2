"""Files that were joined with `cat`: several recordings in one, each with a header of its own."""

from __future__ import annotations

import mmap
import os
import re
from functools import lru_cache
from pathlib import Path

# First frame of an MP3 file that states its length: frame header, empty side information, name
_XING = re.compile(rb"\xff[\xe0-\xff].{2,4}\x00{9,32}(?:Xing|Info|VBRI)", re.DOTALL)
# Start of a file -> what stands in it once for each file that was joined
_STARTS = {
    b"RIFF": re.compile(rb"RIFF....WAVE", re.DOTALL),
    b"fLaC": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
    b"OggS": re.compile(rb"OggS\x00\x02"),
    b"ID3": _XING,
    b"\xff": _XING,
}


def start(path: str | Path) -> bytes:
    """The key of _STARTS with which a file starts, or nothing."""
    with open(path, "rb") as file:
        head = file.read(4)
    return next((known for known in _STARTS if head.startswith(known)), b"")


def count(path: str | Path) -> int:
    """Number of files that were joined to one; 1 for formats that are not joined.

    0 for an MP3 file without a Xing header, which has no length.
    """
    status = os.stat(path)
    return _starts(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _starts(path: str, size: int, modified: int) -> int:
    """The cache is for recordings with many segments; size and time (ns) are those of the file."""
    begins = start(path)
    if not begins:
        return 1
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return sum(1 for _ in _STARTS[begins].finditer(content))
