"""BLEU of order 4 over the corpus: as the COCO caption tools compute it, and as sacrebleu does.

They differ in tokens (PTB; sacrebleu's 13a or zh) and in what they do where an order has no match. Papineni et al. 2002; Post 2018.
"""

from __future__ import annotations

import math
from typing import Mapping

from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, Metric

ORDERS = (1, 2, 3, 4)


def _statistics(hyps: list[str], refs: list[str]) -> list[Counts]:
    from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

    rows = []
    for hyp, ref in zip(hyps, refs):
        found = cook_test(hyp, cook_refs([ref]), eff="closest")
        row = {"n": 1, "hyp": found["testlen"], "ref": found["reflen"]}
        rows.append(
            row
            | {f"right.{k}": found["correct"][k - 1] for k in ORDERS}
            | {f"all.{k}": found["guess"][k - 1] for k in ORDERS}
        )
    return rows


def _coco(total: Mapping[str, float]) -> float:
    """pycocoevalcap's formula: a tiny amount in place of zero."""
    if not total.get("n"):
        return math.nan
    product = math.prod((total[f"right.{k}"] + 1e-15) / (total[f"all.{k}"] + 1e-9) for k in ORDERS)
    ratio = (total["hyp"] + 1e-15) / (total["ref"] + 1e-9)
    return 100 * float(product ** (1 / 4)) * (math.exp(1 - 1 / ratio) if ratio < 1 else 1.0)


def _sacrebleu(total: Mapping[str, float]) -> float:
    from sacrebleu.metrics import BLEU

    if not total.get("n"):
        return math.nan
    right, every = ([int(total[f"{what}.{k}"]) for k in ORDERS] for what in ("right", "all"))
    return float(
        BLEU.compute_bleu(
            right, every, int(total["hyp"]), int(total["ref"]), smooth_method="exp"
        ).score
    )


def _sacrebleu_tokens(captions: Captions) -> list[Counts]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    tokenizer = Tokenizer13a() if captions.config.language == "en" else TokenizerZh()
    return _statistics(
        *(
            [tokenizer(text.lower().rstrip()) for text in side]
            for side in (captions.hyps, captions.refs)
        )
    )


METRICS = [
    Metric(
        "bleu4",
        "B@4",
        None,
        _coco,
        captions=lambda captions: _statistics(*captions.tokens),
        column=20,
    ),
    Metric(
        "sacrebleu",
        "sacreBLEU",
        None,
        _sacrebleu,
        captions=_sacrebleu_tokens,
        settings={"tokens": "13a or zh, lower case", "punctuation": "kept"},
        column=21,
    ),
]
