"""METEOR 1.5 for English (Denkowski and Lavie 2014): corpus score, and mean of sentence scores.

The two values differ. The jar returns the statistics of each pair; both scores are computed from
them with the formula of the METEOR paper and its weights for English, and equal the jar's digits.
"""

from __future__ import annotations

import math
from typing import Mapping

from serdesc.config import ScoringConfig
from serdesc.scoring import java
from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, Metric, mean_of

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
WEIGHTS = (1.0, 0.6, 0.8, 0.6)  # exact, stem, synonym, paraphrase
# The jar's statistics line: lengths and function words of both sides; for each matcher the matched
# content and function words of both sides; chunks; matched words of both sides.
MATCHED = ("hyp.content", "ref.content", "hyp.function", "ref.function")
NAMES = ["hyp", "ref", "hyp.function", "ref.function"]
for _matcher in range(len(WEIGHTS)):
    NAMES += [f"{words}.{_matcher}" for words in MATCHED]
NAMES += ["chunks", "hyp.matched", "ref.matched"]


def formula(total: Mapping[str, float]) -> float:
    """METEOR in 0..1 from the statistics of one pair, or from their sums over a corpus."""

    def share(side: str) -> float:
        content = total[side] - total[f"{side}.function"]
        length = DELTA * content + (1 - DELTA) * total[f"{side}.function"]
        weighted = []
        for i, w in enumerate(WEIGHTS):
            matched, function = total[f"{side}.content.{i}"], total[f"{side}.function.{i}"]
            weighted.append(w * (DELTA * matched + (1 - DELTA) * function))
        return math.fsum(weighted) / length if length else 0.0

    precision, recall = share("hyp"), share("ref")
    if not precision or not recall:
        return 0.0
    f_mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    fragments = total["chunks"] / ((total["hyp.matched"] + total["ref.matched"]) / 2)
    return float(f_mean * (1 - GAMMA * fragments**BETA))


def _count(captions: Captions) -> list[Counts]:
    if captions.config.language != "en":
        raise java.NotComputed("METEOR supports English only (scoring.language)")
    folder = java.jars() / "meteor"
    arguments = ["-jar", str(folder / "meteor-1.5.jar"), "-", "-", "-stdio", "-l", "en", "-norm"]
    lines: list[str] = []
    for hyp, refs in zip(*captions.token_lists):  # of several references the jar takes the best
        lines.append(" ||| ".join(["SCORE", *map(_escape, refs), _escape(hyp)]) + "\n")
    config = captions.config
    output = java.run(
        arguments,
        "".join(lines),
        "METEOR",
        cwd=folder,
        memory=config.java_memory,
        timeout=config.java_timeout,
    )
    rows = []
    for line in output.splitlines():
        row: Counts = dict(zip(NAMES, map(float, line.split()), strict=True))
        complete = row["hyp.matched"] == row["hyp"] and row["ref.matched"] == row["ref"]
        if row["chunks"] == 1 and complete:
            # a complete match in order: the jar adds no chunk to its sums either
            row["chunks"] = 0.0
        rows.append(row | {"n": 1, "sum": formula(row)})
    return rows


def _value(total: Mapping[str, float]) -> float:
    return 100 * formula(total) if total.get("n") else math.nan


def _escape(text: str) -> str:
    return text.replace("|||", "").replace("  ", " ")


def _signs(config: ScoringConfig) -> dict[str, str]:
    return {"jar": java.digest("meteor", "meteor-1.5.jar")}


METRICS = [
    Metric(
        "meteor",
        "METEOR",
        None,
        _value,
        captions=_count,
        signs=_signs,
        bounds=(0, 100),
        column=22,
    ),
    mean_of("meteor_mean", "METEOR, mean", _count, signs=_signs, column=22),
]
