"""METEOR 1.5 for English (Denkowski and Lavie 2014): the corpus score, and the mean of the sentences' scores, which is another number.

The jar gives each pair's statistics; both scores follow from them by the paper's formula with the weights for English, to the jar's digit.
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
# The jar's statistics line: lengths and function words of both sides; for each matcher the matched content and function words of both sides;
# chunks; matched words of both sides
NAMES = (
    "hyp", "ref", "hyp.function", "ref.function",
    *(f"{side}.{kind}.{i}" for i in range(4) for kind in ("content", "function") for side in ("hyp", "ref")),
    "chunks", "hyp.matched", "ref.matched",
)  # fmt: skip


def formula(total: Mapping[str, float]) -> float:
    """METEOR in 0..1 of one pair's statistics, or of a corpus's sums."""

    def share(side: str) -> float:
        content = total[side] - total[f"{side}.function"]
        length = DELTA * content + (1 - DELTA) * total[f"{side}.function"]
        weighed = math.fsum(
            w * (DELTA * total[f"{side}.content.{i}"] + (1 - DELTA) * total[f"{side}.function.{i}"])
            for i, w in enumerate(WEIGHTS)
        )
        return weighed / length if length else 0.0

    precision, recall = share("hyp"), share("ref")
    if not precision or not recall:
        return 0.0
    f_mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    fragments = total["chunks"] / ((total["hyp.matched"] + total["ref.matched"]) / 2)
    return float(f_mean * (1 - GAMMA * fragments**BETA))


def _count(captions: Captions) -> list[Counts]:
    if captions.config.language != "en":
        raise java.NotComputed("METEOR is computed for English alone (scoring.language)")
    folder = java.jars() / "meteor"
    arguments = ["-jar", str(folder / "meteor-1.5.jar"), "-", "-", "-stdio", "-l", "en", "-norm"]
    asked = "".join(
        f"SCORE ||| {_plain(ref)} ||| {_plain(hyp)}\n" for hyp, ref in zip(*captions.tokens)
    )
    config = captions.config
    said = java.run(
        arguments,
        asked,
        "METEOR",
        cwd=folder,
        memory=config.java_memory,
        timeout=config.java_timeout,
    )
    rows = []
    for line in said.splitlines():
        row: Counts = dict(zip(NAMES, map(float, line.split()), strict=True))
        if (
            row["chunks"] == 1
            and row["hyp.matched"] == row["hyp"]
            and row["ref.matched"] == row["ref"]
        ):
            row["chunks"] = (
                0.0  # a pair matched whole, in order, has no break: the jar counts none in its sums either
            )
        rows.append(row | {"n": 1, "sum": formula(row)})
    return rows


def _plain(text: str) -> str:
    return text.replace("|||", "").replace("  ", " ")


def _signs(config: ScoringConfig) -> dict[str, str]:
    return {"jar": java.digest("meteor", "meteor-1.5.jar")}


METRICS = [
    Metric(
        "meteor",
        "METEOR",
        None,
        lambda total: 100 * formula(total) if total.get("n") else math.nan,
        captions=_count,
        signs=_signs,
        column=22,
    ),
    mean_of("meteor_mean", "METEOR, mean", _count, signs=_signs, column=22),
]
