"""ROUGE-L (F, beta 1.2), mean over the captions; Lin 2004, as in the COCO caption tools."""

from __future__ import annotations

from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, mean_of


def _count(captions: Captions) -> list[Counts]:
    from pycocoevalcap.rouge.rouge import Rouge

    rouge = Rouge()
    rows: list[Counts] = []
    for hyp, refs in zip(*captions.token_lists):
        rows.append({"n": 1, "sum": float(rouge.calc_score([hyp], refs))})
    return rows


METRICS = [mean_of("rouge_l", "ROUGE-L", _count, column=23)]
