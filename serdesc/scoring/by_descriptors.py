"""Accuracy of the emotion by right descriptors of the caption.

A correlation, not a cause: an utterance that is easy has right descriptors and the right emotion.
dependence.py tests the cause. A descriptor counts if reference and caption both have it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Iterable, Mapping

from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.scoring import metrics, typeset
from serdesc.scoring.bootstrap import Rows, total
from serdesc.scoring.classes import agreement_by_chance
from serdesc.scoring.intervals import interval
from serdesc.scoring.metric import Counts, Metric
from serdesc.scoring.metrics import descriptors

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTORS = (*descriptors.FIELDS, "emphasis")  # metrics that count `right` and `unread`
Answer = tuple[Utterance, Mapping[str, Counts]]  # counts of one answer by metric


@dataclass(frozen=True)
class ByNumber:
    """The emotion of the utterances with this number of right descriptors, in percent."""

    right: int
    n: int
    accuracy: float
    interval: tuple[float, float] | None  # 95 %, of the accuracy
    chance: float  # accuracy if the group's predictions were assigned to its utterances at random
    ua: float


@dataclass(frozen=True)
class ByDescriptor:
    """Accuracy of the emotion, in percent, where one descriptor is right and where it is wrong."""

    descriptor: str
    n_right: int
    if_right: float | None
    n_wrong: int
    if_wrong: float | None
    difference: float | None
    interval: tuple[float, float] | None  # 95 %, of the difference


@dataclass(frozen=True)
class ByDescriptors:
    """Both tables; empty without scores of the emotion or of a descriptor."""

    by_number: list[ByNumber]
    by_descriptor: list[ByDescriptor]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compute(answers: Iterable[Answer], config: ScoringConfig) -> ByDescriptors:
    """From the counts of UA and of the descriptors; an utterance may have several answers."""
    by_number: dict[int, Rows] = defaultdict(list)
    by_descriptor: dict[str, Rows] = {name: [] for name in DESCRIPTORS}
    for utt, counts in answers:
        right = _right(counts) if "ua" in counts else {}
        if right:
            by_number[sum(right.values())].append((utt, counts["ua"]))
        for name, is_right in right.items():
            group = "right" if is_right else "wrong"
            emotion = {f"{group}.n": 1, f"{group}.emotion": counts["ua"]["right"]}
            by_descriptor[name].append((utt, emotion))
    numbers = [_by_number(number, by_number[number], config) for number in sorted(by_number)]
    names = [_by_descriptor(name, rows, config) for name, rows in by_descriptor.items() if rows]
    return ByDescriptors(numbers, names)


def answers_of(table: Mapping[str, Rows]) -> list[Answer]:
    """One answer per utterance, from metric -> counts of the utterances."""
    answers: dict[str, tuple[Utterance, dict[str, Counts]]] = {}
    for name in ("ua", *DESCRIPTORS):
        for utt, counts in table.get(name, []):
            answers.setdefault(utt.utt_id, (utt, {}))[1][name] = counts
    return list(answers.values())


def _right(counts: Mapping[str, Counts]) -> dict[str, bool]:
    """Whether each descriptor that reference and caption have is right."""
    right = {}
    for name in DESCRIPTORS:
        if name in counts and not counts[name]["unread"]:
            right[name] = bool(counts[name]["right"])
    return right


def _by_number(number: int, rows: Rows, config: ScoringConfig) -> ByNumber:
    ua, accuracy = metrics.chosen("ua,wa")
    summed = total([counts for _, counts in rows])
    return ByNumber(
        right=number,
        n=len(rows),
        accuracy=round(accuracy.value(summed), 2),
        interval=interval(accuracy, rows, config),
        chance=round(100 * agreement_by_chance(summed), 2),
        ua=round(ua.value(summed), 2),
    )


def _share(summed: Mapping[str, float], group: str) -> float:
    n = summed.get(f"{group}.n", 0)
    return 100 * summed[f"{group}.emotion"] / n if n else math.nan


def _difference(summed: Mapping[str, float]) -> float:
    return _share(summed, "right") - _share(summed, "wrong")


DIFFERENCE = Metric("difference", "difference", None, _difference, bounds=(-100, 100))


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)


def _by_descriptor(name: str, rows: Rows, config: ScoringConfig) -> ByDescriptor:
    summed = total([counts for _, counts in rows])
    return ByDescriptor(
        descriptor=name,
        n_right=int(summed.get("right.n", 0)),
        if_right=_rounded(_share(summed, "right")),
        n_wrong=int(summed.get("wrong.n", 0)),
        if_wrong=_rounded(_share(summed, "wrong")),
        difference=_rounded(_difference(summed)),
        interval=interval(DIFFERENCE, rows, config),
    )


# ---- text cells ----------------------------------------------------------------------------------

TITLES = (
    "emotion by number of right descriptors (a correlation)",
    "emotion where a descriptor is right or wrong (a correlation)",
)


def cells(tables: ByDescriptors) -> list[tuple[str, pd.DataFrame]]:
    """Title and text cells of each table that has rows."""
    import pandas as pd

    numbers = []
    for row in tables.by_number:
        figures = [typeset.number(row.accuracy), typeset.span(row.interval)]
        figures += map(typeset.number, (row.chance, row.ua))
        numbers.append([str(row.right), str(row.n), *figures])
    names = []
    for entry in tables.by_descriptor:
        figures = [str(entry.n_right), typeset.number(entry.if_right)]
        figures += [str(entry.n_wrong), typeset.number(entry.if_wrong)]
        figures += [typeset.number(entry.difference), typeset.signed_span(entry.interval)]
        names.append([entry.descriptor, *figures])
    heads = (
        ["right descriptors", "utterances", "accuracy %", "95 %", "chance %", "UA %"],
        ["descriptor", "right", "accuracy if right %", "wrong", "if wrong %", "difference", "95 %"],
    )
    frames = []
    for title, head, rows in zip(TITLES, heads, (numbers, names)):
        if rows:
            frames.append((title, pd.DataFrame(rows, columns=head, dtype=object)))
    return frames
