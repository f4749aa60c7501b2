"""Files of `<id> <value>` lines, Kaldi's `segments`, and what else Kaldi's wav.scp may contain.

https://kaldi-asr.org/doc/data_prep.html
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Iterable

from serdesc.data import audio
from serdesc.files import read_lines, write_lines

Segment = tuple[str, float, float, int | None]  # recording, start, end in seconds, channel
_TO_FILES = (
    "mkdir audio; python3 -c \"import kaldiio, soundfile; [soundfile.write(f'audio/{k}.wav', x, r)"
    " for k, (r, x) in kaldiio.load_scp('wav.scp').items()]\""
)
_ARCHIVE = re.compile(r"\.ark(:\d+)?(\[[\d:]*\])?$")


def remedies(unexpected: Iterable[str], expected: Iterable[str]) -> dict[str, str]:
    """What to do with each id that is not expected."""
    others = {unicodedata.normalize("NFC", key) for key in expected}
    found = {}
    for key in unexpected:
        found[key] = "remove that line"
        if unicodedata.normalize("NFC", key) in others:
            found[key] = (
                "it is there in another Unicode normalisation (NFC and NFD, as macOS writes names):"
                " convert both files with `uconv -x nfc`"
            )
    return found


def check_wavs(path: Path, wavs: dict[str, str], errors: list[str]) -> None:
    """Append an error for values that are no files, as Kaldi's commands and archives."""
    others = []
    for number, (key, wav) in enumerate(wavs.items(), start=1):
        if not wav:
            errors.append(f"{path}:{number}: '{key}' has no file: name it")
        elif wav.endswith("|") or _ARCHIVE.search(wav):
            others.append((number, key, wav))
    if others:
        number, key, wav = others[0]
        errors.append(
            f"{path}:{number}: '{key} {wav}', one of {len(others)} lines with a command, which"
            " serdesc does not run, or a position in a Kaldi archive. Write the sound to files and"
            f" list those, for example with kaldiio: {_TO_FILES}"
        )


def read_segments(path: Path, wavs: dict[str, str], errors: list[str]) -> dict[str, Segment]:
    segments: dict[str, Segment] = {}
    for key, value in read_table(path, errors).items():
        parts = value.split()
        try:
            recording, start, end = parts[0], float(parts[1]), float(parts[2])
            channel = int(parts[3]) if parts[3:] else None
        except (IndexError, ValueError):
            errors.append(
                f"{path}: '{key} {value}' where `utterance recording start end` is expected, in"
                " seconds, and in a fifth column a channel, 0 or higher"
            )
            segments[key] = ("", 0.0, 0.0, None)  # so that no other file is reported for it
            continue
        if recording not in wavs:
            errors.append(
                f"{path}: recording '{recording}' of '{key}' is not in wav.scp: add it there"
            )
        elif end == -1:  # to the end of the recording
            end = audio.seconds_or_none(wavs[recording]) or -1.0
        if not 0 <= start < end:
            errors.append(
                f"{path}: '{key}' goes from {start:g} to {end:g} s: it must start at 0 or later"
                " and end after its start, or at -1: the end of a recording that can be read"
            )
        segments[key] = (recording, start, end, channel)
    return segments


def read_table(path: Path, errors: list[str]) -> dict[str, str]:
    table: dict[str, str] = {}
    lines: dict[str, int] = {}
    previous, unsorted = "", False
    for number, line in enumerate(read_lines(path), start=1):
        key, *rest = line.split(None, 1) or [""]  # at a space, a TAB or a no-break space
        value = rest[0] if rest else ""
        if not key:
            errors.append(f"{path}:{number}: empty line: remove it")
        elif key in table:
            errors.append(
                f"{path}:{number}: '{key}' is listed twice, in line {lines[key]} too: remove one of"
                " the lines"
            )
        elif key < previous and not unsorted:
            unsorted = True
            errors.append(
                f"{path}:{number}: '{key}' after '{previous}': sort the file with LC_ALL=C sort"
            )
        table[key], lines[key] = value.strip(), number
        previous = max(previous, key)
    return table


def write_table(path: Path, table: dict[str, str]) -> None:
    if table:
        write_lines(path, (f"{key} {table[key]}".rstrip() + "\n" for key in sorted(table)))
    else:
        path.unlink(missing_ok=True)
