"""CIDEr-D, mean over the captions (x 100); Vedantam et al. 2015, as in the COCO caption tools.

The weight of an n-gram depends on the number of references in the set that contain it. Folds are
therefore pooled and scored as one set; fold values are not averaged.
"""

from __future__ import annotations

from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, mean_of


def _count(captions: Captions) -> list[Counts]:
    from pycocoevalcap.cider.cider import Cider

    hyps, refs = captions.tokens
    references = {i: [ref] for i, ref in enumerate(refs)}
    hypotheses = {i: [hyp] for i, hyp in enumerate(hyps)}
    _, scores = Cider().compute_score(references, hypotheses)
    return [{"n": 1, "sum": float(score)} for score in scores]


METRICS = [mean_of("cider", "CIDEr", _count, column=24, of_set=True)]
