"""Stressed words: the share of utterances whose stressed words are named exactly, and precision and recall over single words."""

from __future__ import annotations

import math
from collections import Counter
from typing import Callable, Mapping

from serdesc.captions.fields import Fields
from serdesc.scoring.metric import Counts, Metric
from serdesc.scoring.normalise import words

SCALE = 10_000  # chance is summed as a whole number of these parts


def _count(ref: Fields, hyp: Fields) -> Counts | None:
    if ref.emphasis is None:
        return None
    wanted = sorted(word for item in ref.emphasis for word in words(item))
    said = sorted(word for item in hyp.emphasis or () for word in words(item))
    choices = math.comb(max(1, len(words(ref.transcript or ""))), len(wanted))
    return {
        "n": 1,
        "right": int(wanted == said),
        "unread": int(hyp.emphasis is None),
        "guess": round(SCALE / max(1, choices)),
    }


def _value(total: Mapping[str, float]) -> float:
    return 100 * total["right"] / total["n"] if total.get("n") else math.nan


def _chance(total: Mapping[str, float]) -> float:
    """A word of the transcript at random: the mean of 1 / words."""
    return 100 * total["guess"] / SCALE / total["n"]


def _found(ref: Fields, hyp: Fields) -> Counts | None:
    if ref.emphasis is None:
        return None
    wanted, said = (
        Counter(word for item in fields.emphasis or () for word in words(item))
        for fields in (ref, hyp)
    )
    return {
        "n": 1,
        "wanted": wanted.total(),
        "said": said.total(),
        "right": (wanted & said).total(),
        "unread": int(hyp.emphasis is None),
    }


def _share_of(key: str) -> Callable[[Mapping[str, float]], float]:
    return lambda total: 100 * total["right"] / total[key] if total.get(key) else math.nan


METRICS = [
    Metric(
        "emphasis_precision",
        "emphasis precision %",
        _found,
        _share_of("said"),
        settings={"over": "stressed words"},
        column=61,
    ),
    Metric(
        "emphasis_recall",
        "emphasis recall %",
        _found,
        _share_of("wanted"),
        settings={"over": "stressed words"},
        column=62,
    ),
    Metric(
        "emphasis",
        "emphasis %",
        _count,
        _value,
        accuracy=True,
        chance=_chance,
        share=lambda counts, _: 100 * counts["right"],
        settings={"match": "all stressed words, no other"},
        column=60,
    ),
]
