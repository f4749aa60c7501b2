"""The layout and the published values of the paper's Tables 1 to 3 (paper.yaml)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serdesc.errors import UserError

LAYOUT = Path(__file__).with_name("paper.yaml")


def layout(number: int) -> dict[str, Any]:
    """Title, columns, marks and rows of a table. Raises UserError for an unknown number."""
    tables = layouts()
    if str(number) not in tables:
        raise UserError(f"table {number}: the paper has {', '.join(tables)}")
    return tables[str(number)]


def layouts() -> dict[str, dict[str, Any]]:
    """Number -> layout; all values are strings, as printed in the paper (67.0 is not 67)."""
    import yaml

    tables: dict[str, dict[str, Any]] = yaml.load(
        LAYOUT.read_text(encoding="utf-8"), yaml.BaseLoader
    )
    return tables


def systems() -> set[str]:
    """The names of all systems that are a row of a table."""
    rows = [row for table in layouts().values() for row in table["rows"]]
    return {row["system"] for row in rows if "system" in row}


def is_corpus(published: str, name: str) -> bool:
    """True if `name`, of a directory of experiments, is the corpus of a published column."""
    return name.lower() == published.lower()
