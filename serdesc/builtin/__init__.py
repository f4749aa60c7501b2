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


def experiment(model: str) -> Path:
    """The folder of a built-in model, an experiment, or a shared model of the Hugging Face hub.

    The last are weights and YAML; only files of these kinds are fetched.
    """
    folder = Path(resolve(model))
    if folder.exists() or model.count("/") != 1 or model[0] in "./~":
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        kinds = ["*.yaml", "*.json", "*.safetensors", "README.md"]
        return Path(snapshot_download(model, allow_patterns=kinds))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError):
        return folder
