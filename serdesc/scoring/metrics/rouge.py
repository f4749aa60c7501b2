"""ROUGE-L (F, beta 1.2) of each caption, and their mean; Lin 2004, as in the COCO caption tools."""

from __future__ import annotations

from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, mean_of


def _count(captions: Captions) -> list[Counts]:
    from pycocoevalcap.rouge.rouge import Rouge

    rouge = Rouge()
    return [
        {"n": 1, "sum": float(rouge.calc_score([hyp], [ref]))} for hyp, ref in zip(*captions.tokens)
    ]


METRICS = [mean_of("rouge_l", "ROUGE-L", _count, column=23)]
