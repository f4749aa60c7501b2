"""SPIDEr: the mean of CIDEr-D and SPICE of each caption (x 100); Liu et al. 2017.

As audio captioning reports it, where the scale is 0 to 5.5 (here 0 to 550). Not computed where one
of the two is not, for the same reason. Pooled folds have CIDEr of the whole set, and their SPICE.
"""

from __future__ import annotations

from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, mean_of
from serdesc.scoring.metrics import cider, spice


def _count(captions: Captions) -> list[Counts]:
    return _mean(captions, spice.count(captions))


def _pool(captions: Captions, of_folds: list[Counts]) -> list[Counts]:
    return _mean(captions, [{"sum": counts["spice"]} for counts in of_folds])


def _mean(captions: Captions, of_spice: list[Counts]) -> list[Counts]:
    """The counts of each caption; `spice` is kept for pooling."""
    rows: list[Counts] = []
    for one, other in zip(cider.count(captions), of_spice, strict=True):
        rows.append({"n": 1, "sum": (one["sum"] + other["sum"]) / 2, "spice": other["sum"]})
    return rows


METRICS = [
    mean_of(
        "spider",
        "SPIDEr",
        _count,
        column=26,
        of_set=True,
        pool=_pool,
        signs=spice.signs,
        bounds=(0, 550),
    )
]
