"""The folder of a report: report.html, its assets, data in script files, and audio.

A page that is opened from a file cannot fetch, so data are scripts that call `serdesc.receive`. All
values are JSON in which < > & and line separators are escaped; the page shows them as text.
"""

from __future__ import annotations

import base64
import html
import json
import os
import shutil
from pathlib import Path
from typing import Any, Mapping, Sequence
from urllib.parse import quote

import numpy as np

from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import atomic_path, write_text
from serdesc.report import packing

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "dom.js unpack.js charts.js overview.js timeline.js filters.js list.js tracks.js card.js app.js"
).split()
AUDIO_MODES = ("link", "copy", "embed")
CHUNK = 250  # utterances whose curves are in one script
# What browsers play; other formats are copied as FLAC.
PLAYABLE = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
MARK = "report.html"  # a folder with it may be replaced


def as_json(value: Any) -> str:
    """JSON that may stand in a script: nothing in it can end the script or begin a tag."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPED).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Site:
    """A folder that a report is written to; report.html is written last."""

    def __init__(self, folder: Path, audio: str) -> None:
        """audio: one of AUDIO_MODES.

        Raises UserError for another, or if `folder` has files that are no report's.
        """
        if audio not in AUDIO_MODES:
            raise UserError(f"--audio {audio}: write one of {', '.join(AUDIO_MODES)}")
        check_folder(folder)
        self.folder, self.audio = folder, audio

    def clear(self) -> None:
        """Remove the report that the folder has."""
        (self.folder / MARK).unlink(missing_ok=True)  # an incomplete folder has none
        for name in ("assets", "data", "audio"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def write(self, title: str, summary: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Path:
        """Write the page of a summary and its rows (rows.py); `add_curves` comes before it."""
        for path in sorted(ASSETS.iterdir()):
            if path.suffix in (".js", ".css"):
                write_text(self.folder / "assets" / path.name, path.read_text(encoding="utf-8"))
        packer = packing.Packer(rows)
        summary = {**summary, "chunk": CHUNK, "tables": packer.tables()}
        self._data("summary", "summary", 0, summary)
        self._data("rows", "rows", 0, [packer.row(row) for row in rows])
        scripts = [f"assets/{name}" for name in SCRIPTS]
        scripts += ["data/summary.js", "data/rows.js"]
        tags = "\n".join(f'<script defer src="{name}"></script>' for name in scripts)
        page = (ASSETS / "page.html").read_text(encoding="utf-8")
        page = page.replace("{{title}}", html.escape(title)).replace("{{scripts}}", tags)
        write_text(self.folder / MARK, page)
        return self.folder / MARK

    def add_curves(self, curves: Sequence[dict[str, Any]], largest: Mapping[str, float]) -> None:
        """Write the curves of all rows; `largest` KL of each branch (latents.largest)."""
        branches = list(largest)
        for number, start in enumerate(range(0, len(curves), CHUNK)):
            chunk = curves[start : start + CHUNK]
            packed = [packing.curves(one, branches, largest) for one in chunk]
            self._data(f"curves-{number}", "curves", number, packed)

    def _data(self, name: str, kind: str, number: int, value: Any) -> None:
        text = f"serdesc.receive({json.dumps(kind)},{number},{as_json(value)});\n"
        write_text(self.folder / "data" / f"{name}.js", text)

    # ---- audio -----------------------------------------------------------------------------------

    def audio_of(self, utt: Utterance, number: int) -> str:
        """The source of an utterance's audio for the page: a link, or the number of its script."""
        path = Path(utt.wav)
        if not path.exists():
            return ""
        if self.audio == "link":
            relative = os.path.relpath(path.resolve(), self.folder.resolve())
            times = f"#t={utt.span[0]:.3f},{utt.span[1]:.3f}" if utt.span else ""
            return quote(Path(relative).as_posix()) + times
        content, suffix = _content(utt, path)
        if self.audio == "copy":
            name = f"audio/{number:06d}{suffix}"
            with atomic_path(self.folder / name) as temporary:
                temporary.write_bytes(content)
            return name
        encoded = base64.b64encode(content).decode()
        self._data(f"audio-{number}", "audio", number, f"data:{PLAYABLE[suffix]};base64,{encoded}")
        return f"embedded:{number}"


def check_folder(folder: Path) -> None:
    """Raises UserError if a report cannot be written to `folder` without loss."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder for --html")
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if found and MARK not in found and not found <= {"assets", "data", "audio"}:
        raise UserError(f"{folder}: is not empty and no report; name another folder for --html")


def _content(utt: Utterance, path: Path) -> tuple[bytes, str]:
    """The bytes of an utterance's audio and their suffix; segments and other formats as FLAC."""
    suffix = path.suffix.lower()
    if suffix in PLAYABLE and utt.span is None and utt.channel is None:
        return path.read_bytes(), suffix
    return flac(utt.load_audio()), ".flac"


def flac(wave: np.ndarray) -> bytes:
    """16-bit FLAC of (S,) samples at 16 kHz."""
    import io

    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, wave, 16_000, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
