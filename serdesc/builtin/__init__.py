"""The small models that come with serdesc: one folder each, with a card. egs/builtin made them."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    return sorted(p.name for p in HERE.iterdir() if (p / "README.md").exists())


def resolve(model: str) -> str:
    """The folder of a built-in model; every other name (a folder, a Hugging Face id) as it is."""
    return str(HERE / model) if model in names() else model
