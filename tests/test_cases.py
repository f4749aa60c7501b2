"""CASES.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_case_has_its_test() -> None:
    table = (ROOT / "tests/CASES.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (tests/[\w/]+\.py)(?:::(\w+))? \|", table)
    assert len(rows) == table.count("\n| ") - table.count("| tried |") and len(rows) > 40
    for path, name in rows:
        assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8"), (path, name)
