"""Stressed words: exact match per utterance, and precision and recall over single words."""

from __future__ import annotations

import math
from collections import Counter
from typing import Callable, Mapping

from serdesc.captions.fields import Fields
from serdesc.scoring.metric import Counts, Metric
from serdesc.scoring.normalise import words

SCALE = 10_000  # the chance level of an utterance is stored as an integer in units of 1 / SCALE


def _stressed(fields: Fields) -> list[str]:
    stressed: list[str] = []
    for item in fields.emphasis or ():
        stressed += words(item)
    return stressed


def _exact_match(ref: Fields, hyp: Fields) -> Counts | None:
    if ref.emphasis is None:
        return None
    reference, predicted = sorted(_stressed(ref)), sorted(_stressed(hyp))
    choices = math.comb(max(1, len(words(ref.transcript or ""))), len(reference))
    return {
        "n": 1,
        "right": int(reference == predicted),
        "unread": int(hyp.emphasis is None),
        "guess": round(SCALE / max(1, choices)),
    }


def _exact_match_rate(total: Mapping[str, float]) -> float:
    return 100 * total["right"] / total["n"] if total.get("n") else math.nan


def _chance(total: Mapping[str, float]) -> float:
    """Random words of the transcript, as many as the reference has: mean of 1 / choices."""
    return 100 * total["guess"] / SCALE / total["n"]


def _word_matches(ref: Fields, hyp: Fields) -> Counts | None:
    if ref.emphasis is None:
        return None
    reference, predicted = Counter(_stressed(ref)), Counter(_stressed(hyp))
    return {
        "n": 1,
        "wanted": reference.total(),
        "said": predicted.total(),
        "right": (reference & predicted).total(),
        "unread": int(hyp.emphasis is None),
    }


def _share_of(key: str) -> Callable[[Mapping[str, float]], float]:
    def value(total: Mapping[str, float]) -> float:
        return 100 * total["right"] / total[key] if total.get(key) else math.nan

    return value


METRICS = [
    Metric(
        "emphasis_precision",
        "emphasis precision %",
        _word_matches,
        _share_of("said"),
        undefined="no answer names a stressed word",
        settings={"over": "stressed words"},
        bounds=(0, 100),
        column=61,
    ),
    Metric(
        "emphasis_recall",
        "emphasis recall %",
        _word_matches,
        _share_of("wanted"),
        undefined="no reference has a stressed word",
        settings={"over": "stressed words"},
        bounds=(0, 100),
        column=62,
    ),
    Metric(
        "emphasis",
        "emphasis %",
        _exact_match,
        _exact_match_rate,
        accuracy=True,
        chance=_chance,
        share=lambda counts, _: 100 * counts["right"],
        settings={"match": "all stressed words, no other"},
        bounds=(0, 100),
        column=60,
    ),
]
