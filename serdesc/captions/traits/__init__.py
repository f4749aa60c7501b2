"""Descriptors beyond the paper's seven: one module a trait, with its measure, values and phrases.

`measure.traits: [intonation]` selects traits. They are written into captions, read from captions
and scored, like pitch, energy and speed. A trait's function measures a number, which is divided at
the training part's tertiles, or names one of the trait's values itself.
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
    """A descriptor: three ordered values of a measured number, or classes that a function names.

    A phrase must not contain a word that the reader reads as another field (tests check this).
    """

    values: tuple[str, ...]  # from the lowest to the highest measured value, or classes
    phrases: Mapping[str, tuple[str, ...]]  # value -> clauses that state it
    # Of (S,) samples at 16 kHz: a number, or one of the values; None: not measurable.
    measure: Callable[[np.ndarray], float | str | None]
    ordered: bool = True  # false: classes without an order, which have no weighted kappa

    def __post_init__(self) -> None:
        if self.ordered and len(self.values) != 3:
            raise ValueError(f"{', '.join(self.values)}: a measured number has three values")


@cache
def by_name() -> dict[str, Trait]:
    """All traits; a trait's name is that of its file."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").TRAIT for name in names}
