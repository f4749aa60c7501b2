"""Explainable speech emotion recognition: speech to one caption with transcript and descriptors.

    import serdesc

    serdesc.describe("voice.wav").caption
    serdesc.read_caption("A woman with low pitch says 'no', sounding sad.").emotion

The functions are in serdesc/api.py; they return dataclasses or DataFrames, print nothing, and raise
UserError or FailedError. Importing serdesc imports neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.5.0"
__all__ = [
    "FailedError",
    "UserError",
    "describe",
    "load",
    "load_data",
    "load_experiment",
    "read_caption",
    "render_caption",
    "score",
]

if TYPE_CHECKING:
    from serdesc.api import (
        describe,
        load,
        load_data,
        load_experiment,
        read_caption,
        render_caption,
        score,
    )
    from serdesc.errors import FailedError, UserError


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import serdesc` is fast."""
    if name not in __all__:
        raise AttributeError(f"module 'serdesc' has no attribute '{name}'")
    from serdesc import api

    return getattr(api, name)
