"""Word and character error rate: (substitutions + deletions + insertions) / reference length.

Spaces between words count as characters, as in jiwer; Chinese text is normalised without spaces.
"""

from __future__ import annotations

import math
from typing import Callable, Mapping, Sequence

from serdesc.config import ScoringConfig
from serdesc.scoring import normalise
from serdesc.scoring.metric import Counts, Metric


def _counter(
    unit: str,
    align: str,
    text_of: Callable[[str, ScoringConfig], str],
    split: Callable[[str], Sequence[str]],
) -> Callable[[str, str | None, ScoringConfig], Counts]:
    def count(ref: str, hyp: str | None, config: ScoringConfig) -> Counts:
        import jiwer

        reference, predicted = text_of(ref, config), text_of(hyp or "", config)
        counts = {"n": 1, unit: len(split(reference)), "unread": int(hyp is None)}
        if (
            not reference
        ):  # jiwer aligns nothing with an empty reference: every token is an insertion
            insertions = len(split(predicted))
            return {**counts, "substitutions": 0, "deletions": 0, "insertions": insertions}
        aligned = getattr(jiwer, align)(reference, predicted)
        return {
            **counts,
            "substitutions": aligned.substitutions,
            "deletions": aligned.deletions,
            "insertions": aligned.insertions,
        }

    return count


def _rate(unit: str) -> Callable[[Mapping[str, float]], float]:
    def value(total: Mapping[str, float]) -> float:
        errors = sum(total.get(kind, 0) for kind in ("substitutions", "deletions", "insertions"))
        return 100 * errors / total[unit] if total.get(unit) else math.nan

    return value


def _metric(
    name: str,
    title: str,
    unit: str,
    align: str,
    text_of: Callable[[str, ScoringConfig], str],
    split: Callable[[str], Sequence[str]],
    column: int,
) -> Metric:
    rate = _rate(unit)
    return Metric(
        name,
        title,
        None,
        rate,
        transcript=_counter(unit, align, text_of, split),
        # errors of an utterance over the mean reference length
        share=lambda counts, total: rate({**counts, unit: total[unit] / total["n"]}),
        undefined="the references have no words",
        signs=normalise.signed,
        higher_is_better=False,
        bounds=(0, math.inf),
        column=column,
    )


METRICS = [
    _metric(
        "wer",
        "WER %",
        "words",
        "process_words",
        lambda text, config: " ".join(normalise.split(text, config)),
        str.split,
        column=10,
    ),
    _metric(
        "cer", "CER %", "characters", "process_characters", normalise.characters, list, column=11
    ),
]
