"""Cache of expensive results between runs: one JSON line per result, its key covers all inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping


class ResultCache:
    """The results in the file `path`, by key. Several processes may append at the same time.

    A line that is truncated (the process was killed) or has another format counts as absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[str, Any] = {}
        if not path.exists():
            return
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                row = json.loads(line)
                self.results[row["key"]] = row["value"]
            except (ValueError, KeyError, TypeError):  # truncated, or from an older version
                continue

    def add(self, results: Mapping[str, Any]) -> None:
        """Append the results in a single write."""
        self.results.update(results)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [json.dumps({"key": key, "value": value}) + "\n" for key, value in results.items()]
        with self.path.open("ab") as file:
            separator = b"" if self._ends_with_newline() else b"\n"
            file.write(separator + "".join(rows).encode())

    def _ends_with_newline(self) -> bool:
        """True for an empty file too."""
        with self.path.open("rb") as file:
            if not file.seek(0, 2):
                return True
            file.seek(-1, 2)
            return file.read() == b"\n"
