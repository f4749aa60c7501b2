"""Word error rate: substitutions, deletions and insertions over the words of the reference."""

from __future__ import annotations

import math
from typing import Mapping

from serdesc.fields import Fields
from serdesc.scoring import normalise
from serdesc.scoring.metric import Counts, Metric


def _count(ref: Fields, hyp: Fields) -> Counts | None:
    import jiwer

    if ref.transcript is None:
        return None
    wanted, said = (" ".join(normalise.words(text or "")) for text in (ref.transcript, hyp.transcript))
    counts = {"n": 1, "words": len(wanted.split()), "unread": int(hyp.transcript is None)}
    if not wanted:  # jiwer has no alignment with an empty reference: every word said is an insertion
        return {**counts, "substitutions": 0, "deletions": 0, "insertions": len(said.split())}
    aligned = jiwer.process_words(wanted, said)
    return {**counts, "substitutions": aligned.substitutions, "deletions": aligned.deletions, "insertions": aligned.insertions}


def _value(total: Mapping[str, float]) -> float:
    errors = total.get("substitutions", 0) + total.get("deletions", 0) + total.get("insertions", 0)
    return 100 * errors / total["words"] if total.get("words") else math.nan


def _share(counts: Mapping[str, float], total: Mapping[str, float]) -> float:
    """Errors of an utterance in parts of the mean number of words."""
    return _value({**counts, "words": total["words"] / total["n"]})


METRICS = [Metric("wer", "WER %", _count, _value, share=_share, settings={"normaliser": normalise.NAME}, higher_is_better=False, column=10)]
