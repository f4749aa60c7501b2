"""Classification metrics of a field: accuracy, mean recall, F1 and kappa, from summed counts.

The classes are those that occur in the reference. An unreadable response is incorrect and counted
as `unread`. The values equal scikit-learn's with `labels` set to these classes:
https://scikit-learn.org/stable/modules/model_evaluation.html
"""

from __future__ import annotations

import itertools
import math
from typing import Callable, Iterable, Mapping

from serdesc.captions.fields import VALUES, Fields
from serdesc.scoring.metric import Counts, Metric

Total = Mapping[str, float]
PERCENT = (0.0, 100.0)


def counter(attribute: str) -> Callable[[Fields, Fields], Counts | None]:
    """Counts of the predictions of a field; None if the reference does not have it."""

    def count(ref: Fields, hyp: Fields) -> Counts | None:
        label, predicted = getattr(ref, attribute), getattr(hyp, attribute)
        return None if label is None else counts_of(label, predicted)

    return count


def counts_of(label: str, predicted: str | None) -> Counts:
    """Per class: utterances (n.CLASS), correct ones (right.CLASS), predictions (said.CLASS)."""
    right = int(predicted == label)
    counts: Counts = {
        f"n.{label}": 1,
        f"right.{label}": right,
        "n": 1,
        "right": right,
        "unread": int(predicted is None),
    }
    if predicted is not None:
        counts[f"said.{predicted}"] = 1
    return counts


def _classes(total: Total) -> list[str]:
    return [key[2:] for key in sorted(total) if key.startswith("n.") and total[key] > 0]


def agreement_by_chance(total: Total) -> float:
    """Expected share of correct utterances if the same predictions were assigned at random."""
    products = [total[f"n.{c}"] * total.get(f"said.{c}", 0) for c in _classes(total)]
    return math.fsum(products) / total["n"] ** 2


def mean_recall(name: str, attribute: str, unit: str, column: int) -> Metric:
    """Mean over the classes of the recall: unweighted accuracy."""

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
        bounds=PERCENT,
        column=column,
    )


def accuracy(name: str, attribute: str, unit: str, column: int) -> Metric:
    """The share of correct utterances: weighted accuracy."""

    def value(total: Total) -> float:
        return 100 * total["right"] / total["n"] if total.get("n") else math.nan

    return Metric(
        name,
        unit,
        counter(attribute),
        value,
        share=lambda counts, _: 100 * counts["right"],
        accuracy=True,
        settings={"field": attribute},
        bounds=PERCENT,
        column=column,
    )


def f1(name: str, attribute: str, unit: str, column: int, weighted: bool) -> Metric:
    """Mean over the classes of 2 correct / (reference + predicted); optionally class-weighted."""

    def value(total: Total) -> float:
        weights, products = [], []
        for c in _classes(total):
            n = total[f"n.{c}"]
            weight = n if weighted else 1.0
            f1_of_class = 2 * total.get(f"right.{c}", 0) / (n + total.get(f"said.{c}", 0))
            weights.append(weight)
            products.append(weight * f1_of_class)
        if not weights:
            return math.nan
        return 100 * math.fsum(products) / math.fsum(weights)

    settings = {"field": attribute, "mean": "weighted" if weighted else "macro"}
    return Metric(
        name, unit, counter(attribute), value, settings=settings, bounds=PERCENT, column=column
    )


def kappa(name: str, attribute: str, unit: str, column: int) -> Metric:
    """Cohen's kappa (x 100) with quadratic weights over the ordered values of a field (Cohen 1968).

    0 is the agreement expected by chance, 100 full agreement. Unreadable responses are excluded.
    """
    order = {value: i for i, value in enumerate(VALUES[attribute])}

    def count(ref: Fields, hyp: Fields) -> Counts | None:
        label, predicted = getattr(ref, attribute), getattr(hyp, attribute)
        if label is None:
            return None
        if predicted is None:
            return {"n": 1, "unread": 1}
        return {
            "n": 1,
            "unread": 0,
            f"n.{label}": 1,
            f"said.{predicted}": 1,
            "apart": (order[label] - order[predicted]) ** 2,
        }

    def value(total: Total) -> float:
        read = total.get("n", 0) - total.get("unread", 0)
        products = []
        for a, b in itertools.permutations(order, 2):
            expected = total.get(f"n.{a}", 0) * total.get(f"said.{b}", 0)
            products.append((order[a] - order[b]) ** 2 * expected)
        by_chance = math.fsum(products)
        return 100 * (1 - total.get("apart", 0) * read / by_chance) if by_chance else math.nan

    return Metric(
        name,
        unit,
        count,
        value,
        undefined="references or readable answers have one value only, or no answer is readable",
        settings={"field": attribute, "weights": "quadratic"},
        bounds=(-100, 100),
        column=column,
    )


def confusion(rows: Iterable[Counts]) -> dict[str, dict[str, int]]:
    """Confusion counts, reference class -> predicted class or "unread", from single utterances."""
    table: dict[str, dict[str, int]] = {}
    for counts in rows:
        (label,) = _classes(counts)
        predicted = next((key[5:] for key in counts if key.startswith("said.")), "unread")
        row = table.setdefault(label, {})
        row[predicted] = row.get(predicted, 0) + 1
    return {label: dict(sorted(table[label].items())) for label in sorted(table)}
