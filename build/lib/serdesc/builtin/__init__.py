"""The built-in small models: one folder each, with a model card. egs/builtin trains them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the built-in models."""
    cards = FOLDER.glob("*/README.md")
    return sorted(card.parent.name for card in cards)


def resolve(model: str) -> str:
    """The folder of a built-in model; any other folder or Hugging Face id unchanged."""
    return str(FOLDER / model) if model in names() else model
