"""Results that cost much to get, kept between runs: a JSON line each, under a key of all that it depends on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping


class ResultCache:
    """What `path` holds, and what is added to it. Several processes may add at once; a line that a kill cut off counts as absent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = {}
        for line in (
            path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ()
        ):
            try:
                row = json.loads(line)
                self.known[row["key"]] = row["value"]
            except (ValueError, KeyError, TypeError):  # cut off, or by an older version
                continue

    def add(self, found: Mapping[str, Any]) -> None:
        """One write for all of them, at the end of the file."""
        self.known.update(found)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(
            json.dumps({"key": name, "value": value}) + "\n" for name, value in found.items()
        )
        with self.path.open("ab") as file:
            file.write((b"" if self._ends_well() else b"\n") + lines.encode())

    def _ends_well(self) -> bool:
        with self.path.open("rb") as file:
            if not file.seek(0, 2):
                return True
            file.seek(-1, 2)
            return file.read() == b"\n"
