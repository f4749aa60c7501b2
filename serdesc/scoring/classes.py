"""Metrics of a field that takes one of a few values: accuracy, mean recall, F1 and kappa, all from sums over the utterances.

Classes are those that occur in the reference. An answer that cannot be read is wrong, and counted as `unread`. What scikit-learn makes of
the same answers with `labels` set to these classes is the same number: https://scikit-learn.org/stable/modules/model_evaluation.html
"""

from __future__ import annotations

import math
from typing import Callable, Iterable, Mapping

from serdesc.captions.fields import VALUES, Fields
from serdesc.scoring.metric import Counts, Metric

Total = Mapping[str, float]


def counter(attribute: str) -> Callable[[Fields, Fields], Counts | None]:
    """Utterances of each class (n.), those found (right.), and answers of each class (said.)."""

    def count(ref: Fields, hyp: Fields) -> Counts | None:
        wanted, said = getattr(ref, attribute), getattr(hyp, attribute)
        if wanted is None:
            return None
        right = int(said == wanted)
        counts: Counts = {
            f"n.{wanted}": 1,
            f"right.{wanted}": right,
            "n": 1,
            "right": right,
            "unread": int(said is None),
        }
        return counts if said is None else {**counts, f"said.{said}": 1}

    return count


def _classes(total: Total) -> list[str]:
    return [key[2:] for key in sorted(total) if key.startswith("n.") and total[key] > 0]


def mean_recall(name: str, attribute: str, unit: str, column: int) -> Metric:
    """Mean over the classes of the share that was found: unweighted accuracy."""

    def value(total: Total) -> float:
        recalls = [total.get(f"right.{c}", 0) / total[f"n.{c}"] for c in _classes(total)]
        return 100 * math.fsum(recalls) / len(recalls) if recalls else math.nan

    def share(counts: Total, total: Total) -> float:
        each = [counts.get(f"right.{c}", 0) / total[f"n.{c}"] for c in _classes(counts)]
        return 100 * math.fsum(each) * total["n"] / len(_classes(total))

    def chance(total: Total) -> float:
        return 100 / max(1, len(_classes(total)))

    return Metric(
        name,
        unit,
        counter(attribute),
        value,
        chance=chance,
        share=share,
        settings={"field": attribute},
        column=column,
    )


def accuracy(name: str, attribute: str, unit: str, column: int) -> Metric:
    """The share of utterances that are right: weighted accuracy."""

    def value(total: Total) -> float:
        return 100 * total["right"] / total["n"] if total.get("n") else math.nan

    settings = {"field": attribute}
    return Metric(
        name,
        unit,
        counter(attribute),
        value,
        share=lambda counts, _: 100 * counts["right"],
        accuracy=True,
        settings=settings,
        column=column,
    )


def f1(name: str, attribute: str, unit: str, column: int, weighted: bool) -> Metric:
    """Mean over the classes of 2 right / (occurring + answered); weighted by how often they occur, or not."""

    def value(total: Total) -> float:
        classes = _classes(total)
        weights = [total[f"n.{c}"] if weighted else 1.0 for c in classes]
        values = [
            2 * total.get(f"right.{c}", 0) / (total[f"n.{c}"] + total.get(f"said.{c}", 0))
            for c in classes
        ]
        return (
            100 * math.fsum(w * v for w, v in zip(weights, values)) / math.fsum(weights)
            if classes
            else math.nan
        )

    settings = {"field": attribute, "mean": "weighted" if weighted else "macro"}
    return Metric(name, unit, counter(attribute), value, settings=settings, column=column)


def kappa(name: str, attribute: str, unit: str, column: int) -> Metric:
    """Cohen's kappa (x 100) with quadratic weights along the field's order; answers that cannot be read are left out.

    Cohen 1968. 0 is what the same answers would get in any other order, 100 is full agreement.
    """
    order = {value: i for i, value in enumerate(VALUES[attribute])}

    def count(ref: Fields, hyp: Fields) -> Counts | None:
        wanted, said = getattr(ref, attribute), getattr(hyp, attribute)
        if wanted is None:
            return None
        if said is None:
            return {"n": 1, "unread": 1}
        return {
            "n": 1,
            "unread": 0,
            f"n.{wanted}": 1,
            f"said.{said}": 1,
            "apart": (order[wanted] - order[said]) ** 2,
        }

    def value(total: Total) -> float:
        pairs = [(a, b) for a in order for b in order if a != b]
        read = total.get("n", 0) - total.get("unread", 0)
        by_chance = math.fsum(
            (order[a] - order[b]) ** 2 * total.get(f"n.{a}", 0) * total.get(f"said.{b}", 0)
            for a, b in pairs
        )
        return 100 * (1 - total.get("apart", 0) * read / by_chance) if by_chance else math.nan

    return Metric(
        name,
        unit,
        count,
        value,
        settings={"field": attribute, "weights": "quadratic"},
        column=column,
    )


def confusion(rows: Iterable[Counts]) -> dict[str, dict[str, int]]:
    """How often each class of the reference was answered as what, from the counts of single utterances; "unread": as nothing."""
    table: dict[str, dict[str, int]] = {}
    for counts in rows:
        (wanted,) = _classes(counts)
        said = next((key[5:] for key in counts if key.startswith("said.")), "unread")
        row = table.setdefault(wanted, {})
        row[said] = row.get(said, 0) + 1
    return {wanted: dict(sorted(table[wanted].items())) for wanted in sorted(table)}
