"""train.jsonl: one row per optimiser step. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serdesc.files import read_jsonl


def read_log(path: Path) -> list[dict[str, Any]]:
    """Rows of train.jsonl, none if it is absent; version 0.1 wrote the learning rate as `rate`."""
    rows = []
    for row in read_jsonl(path) if path.exists() else ():
        if "rate" in row:
            row["lr"] = row.pop("rate")
        rows.append(row)
    return rows
