"""Loading of pretrained models, with an error that says how to get them."""

from __future__ import annotations

from typing import Any

from serdesc.builtin import resolve
from serdesc.errors import UserError


def load_pretrained(auto: Any, model: str, **options: Any) -> Any:
    """`auto.from_pretrained` of a Hugging Face id, folder or built-in model.

    Raises UserError that explains how to get the model on a node without internet.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        return auto.from_pretrained(resolve(model), **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"model '{model}' could not be loaded: {reason}\n  For a node without internet,"
            f" download it on one with internet (huggingface-cli download {model}), set HF_HOME to"
            " that cache and HF_HUB_OFFLINE=1; or give the model's folder."
        ) from error
