"""CIDEr-D of each caption, and their mean (x 100); Vedantam et al. 2015, as in the COCO caption tools.

How much an n-gram weighs depends on how many references of the set have it: folds are scored as one set, never averaged.
"""

from __future__ import annotations

from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, mean_of


def _count(captions: Captions) -> list[Counts]:
    from pycocoevalcap.cider.cider import Cider

    hyps, refs = captions.tokens
    _, scores = Cider().compute_score(
        {i: [ref] for i, ref in enumerate(refs)}, {i: [hyp] for i, hyp in enumerate(hyps)}
    )
    return [{"n": 1, "sum": float(score)} for score in scores]


METRICS = [mean_of("cider", "CIDEr", _count, column=24, of_set=True)]
