"""Word and character error rate: substitutions, deletions and insertions over the words (characters) of the reference.

Spaces between words count as characters, as jiwer counts them; Chinese is written without and has none.
"""

from __future__ import annotations

import math
from typing import Callable, Mapping, Sequence

from serdesc.captions.fields import Fields
from serdesc.scoring import normalise
from serdesc.scoring.metric import Counts, Metric


def _counter(
    unit: str, align: str, text_of: Callable[[str], str], split: Callable[[str], Sequence[str]]
) -> Callable[[Fields, Fields], Counts | None]:
    def count(ref: Fields, hyp: Fields) -> Counts | None:
        import jiwer

        if ref.transcript is None:
            return None
        wanted, said = (text_of(text or "") for text in (ref.transcript, hyp.transcript))
        counts = {"n": 1, unit: len(split(wanted)), "unread": int(hyp.transcript is None)}
        if (
            not wanted
        ):  # jiwer has no alignment with an empty reference: all that is said is inserted
            return {**counts, "substitutions": 0, "deletions": 0, "insertions": len(split(said))}
        aligned = getattr(jiwer, align)(wanted, said)
        return {
            **counts,
            "substitutions": aligned.substitutions,
            "deletions": aligned.deletions,
            "insertions": aligned.insertions,
        }

    return count


def _rate(unit: str) -> Callable[[Mapping[str, float]], float]:
    def value(total: Mapping[str, float]) -> float:
        errors = (
            total.get("substitutions", 0) + total.get("deletions", 0) + total.get("insertions", 0)
        )
        return 100 * errors / total[unit] if total.get(unit) else math.nan

    return value


def _metric(
    name: str,
    title: str,
    unit: str,
    align: str,
    text_of: Callable[[str], str],
    split: Callable[[str], Sequence[str]],
    column: int,
) -> Metric:
    rate = _rate(unit)
    return Metric(
        name,
        title,
        _counter(unit, align, text_of, split),
        rate,
        # errors of an utterance in parts of the mean number of words
        share=lambda counts, total: rate({**counts, unit: total[unit] / total["n"]}),
        settings={"normaliser": normalise.NAME},
        higher_is_better=False,
        column=column,
    )


METRICS = [
    _metric(
        "wer",
        "WER %",
        "words",
        "process_words",
        lambda text: " ".join(normalise.words(text)),
        str.split,
        column=10,
    ),
    _metric(
        "cer", "CER %", "characters", "process_characters", normalise.characters, list, column=11
    ),
]
