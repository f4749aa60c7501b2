"""Descriptors beyond the paper's seven: one module a trait, with its measure, values and phrases.

`measure.traits: [melody]` selects traits. They are measured, divided at the training part's
tertiles, written into captions, read from captions and scored, like pitch, energy and speed.
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
    """A descriptor with three values.

    A phrase must not contain a word that the reader reads as another field (tests check this).
    """

    values: tuple[str, str, str]  # from the lowest to the highest measured value
    phrases: Mapping[str, tuple[str, ...]]  # value -> clauses that state it
    measure: Callable[[np.ndarray], float | None]  # of (S,) samples at 16 kHz; None: not measurable


@cache
def by_name() -> dict[str, Trait]:
    """All traits; a trait's name is that of its file."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").TRAIT for name in names}
