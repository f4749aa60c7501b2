"""The built-in small models: one folder each, with a model card. egs/builtin trains them.

Pretrained models that tools/get_models.sh fetched are found here, too.
"""

from __future__ import annotations

import os
from pathlib import Path

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
