"""CIDEr-D, mean over the captions (x 100); Vedantam et al. 2015, as in the COCO caption tools.

The weight of an n-gram depends on the number of references in the set that contain it. Folds are
therefore pooled and scored as one set; fold values are not averaged.
"""

from __future__ import annotations

from serdesc.scoring.captions import Captions
from serdesc.scoring.java import NotComputed
from serdesc.scoring.metric import Counts, mean_of


def count(captions: Captions) -> list[Counts]:
    from pycocoevalcap.cider.cider import Cider

    hyps, token_lists = captions.token_lists
    if len(set(map(tuple, token_lists))) < 2:
        raise NotComputed(
            "CIDEr weights n-grams by how few of the references have them: it needs two utterances "
            "with different references"
        )
    references = dict(enumerate(token_lists))
    hypotheses = {i: [hyp] for i, hyp in enumerate(hyps)}
    _, scores = Cider().compute_score(references, hypotheses)
    return [{"n": 1, "sum": float(score)} for score in scores]


METRICS = [mean_of("cider", "CIDEr", count, column=24, of_set=True, bounds=(0, 1000))]
