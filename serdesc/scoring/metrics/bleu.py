"""Corpus BLEU of order 4, as in the COCO caption tools and as in sacrebleu.

The two differ in tokenisation (PTB; sacrebleu's 13a or zh) and in smoothing if an order has no
match. Papineni et al. 2002; Post 2018.
"""

from __future__ import annotations

import math
from typing import Mapping

from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, Metric

ORDERS = (1, 2, 3, 4)


def _statistics(hyps: list[str], references: list[list[str]]) -> list[Counts]:
    """Lengths, and matched and total n-grams by order; `ref` is the closest reference's length."""
    from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

    rows = []
    for hyp, refs in zip(hyps, references):
        matches = cook_test(hyp, cook_refs(refs), eff="closest")
        row = {"n": 1, "hyp": matches["testlen"], "ref": matches["reflen"]}
        row |= {f"right.{k}": matches["correct"][k - 1] for k in ORDERS}
        row |= {f"all.{k}": matches["guess"][k - 1] for k in ORDERS}
        rows.append(row)
    return rows


def _coco(total: Mapping[str, float]) -> float:
    """pycocoevalcap's formula: zero counts are replaced by a tiny constant."""
    if not total.get("n"):
        return math.nan
    product = math.prod((total[f"right.{k}"] + 1e-15) / (total[f"all.{k}"] + 1e-9) for k in ORDERS)
    ratio = (total["hyp"] + 1e-15) / (total["ref"] + 1e-9)
    return 100 * float(product ** (1 / 4)) * (math.exp(1 - 1 / ratio) if ratio < 1 else 1.0)


def _sacrebleu(total: Mapping[str, float]) -> float:
    from sacrebleu.metrics import BLEU

    if not total.get("n"):
        return math.nan
    matched = [int(total[f"right.{k}"]) for k in ORDERS]
    ngrams = [int(total[f"all.{k}"]) for k in ORDERS]
    lengths = int(total["hyp"]), int(total["ref"])
    return float(BLEU.compute_bleu(matched, ngrams, *lengths, smooth_method="exp").score)


def _sacrebleu_tokens(captions: Captions) -> list[Counts]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    tokenizer = Tokenizer13a() if captions.config.language == "en" else TokenizerZh()
    hyps = [tokenizer(text.lower().rstrip()) for text in captions.hyps]
    references = []
    for refs in captions.references:
        references.append([tokenizer(text.lower().rstrip()) for text in refs])
    return _statistics(hyps, references)


METRICS = [
    Metric(
        "bleu4",
        "B@4",
        None,
        _coco,
        captions=lambda captions: _statistics(*captions.token_lists),
        bounds=(0, 100),
        column=20,
    ),
    Metric(
        "sacrebleu",
        "sacreBLEU",
        None,
        _sacrebleu,
        captions=_sacrebleu_tokens,
        settings={"tokens": "13a or zh, lower case", "punctuation": "kept"},
        bounds=(0, 100),
        column=21,
    ),
]
