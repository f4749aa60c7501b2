"""The built-in models: one folder each, with a model card. egs/builtin trains them.

describer-base needs two pretrained models beside it, which tools/get_models.sh fetches.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent
# Name on the Hugging Face hub -> folder in SERDESC_MODELS or tools/models
PRETRAINED = {
    "openai/whisper-base": "whisper-base",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2-135m-instruct",
}


def names() -> list[str]:
    """Names of the built-in models."""
    cards = FOLDER.glob("*/README.md")
    return sorted(card.parent.name for card in cards)


def resolve(model: str) -> str:
    """The folder of a built-in model, or of a pretrained one that tools/get_models.sh fetched; any
    other folder or Hugging Face id unchanged.
    """
    if model in names():
        return str(FOLDER / model)
    if model in PRETRAINED:
        named = os.environ.get("SERDESC_MODELS") or str(FOLDER.parents[1] / "tools" / "models")
        for folder in named.split(":"):
            if (Path(folder) / PRETRAINED[model] / "config.json").exists():
                return str(Path(folder) / PRETRAINED[model])
    return model


def missing(model: str) -> list[str]:
    """The pretrained models of a built-in one that are not on this machine."""
    from huggingface_hub import try_to_load_from_cache

    config = yaml.safe_load((FOLDER / model / "config.yaml").read_text())
    absent = []
    for name in (config["encoder"]["model"], config["llm"]["model"]):
        cached = try_to_load_from_cache(name, "config.json")
        if resolve(name) == name and not isinstance(cached, str):
            absent.append(name)
    return absent


def describer() -> str:
    """The best describer whose models are on this machine."""
    return "describer-mini" if missing("describer-base") else "describer-base"


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
