"""Descriptors beyond the paper's seven: one module a trait, which says how it is measured, what its thirds are called, and how captions say them.

`measure.traits: [melody]` takes some of them up: they are measured, cut into thirds at the training part's percentiles, written into captions,
read from them and scored, like pitch, energy and speed.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Callable, Mapping

from serdesc import plugins

if TYPE_CHECKING:
    import numpy as np

__path__ += plugins.folders("traits")


@dataclass(frozen=True)
class Trait:
    """`phrases` gives each value the clauses that say it. None may hold a word that another field is read from: a test tries them all."""

    values: tuple[str, str, str]  # from the least to the most of what is measured
    phrases: Mapping[str, tuple[str, ...]]
    measure: Callable[
        [np.ndarray], float | None
    ]  # of a wave at 16 kHz; None where it cannot be taken


@cache
def every() -> dict[str, Trait]:
    """Trait of each name, the name being that of its file."""
    return {
        name: importlib.import_module(f"{__name__}.{name}").TRAIT
        for name in sorted(m.name for m in pkgutil.iter_modules(__path__))
    }
