"""UA and accuracy of answers with other emotions than the labels have, as the nearest of these.

Where the labels have no calm (also serene, composed), it is neutral; where they have no excited
(IEMOCAP's recipes merge it), it is happy. Off by default, and in the paper's tables:
`scoring.map_emotions`. The scores without it stand beside.
"""

from __future__ import annotations

from dataclasses import replace

from serdesc.scoring.classes import accuracy, mean_recall
from serdesc.scoring.metric import Metric

NEAREST = {"calm": "neutral", "excited": "happy"}


def _of_mapped(metric: Metric) -> Metric:
    names = ",".join(f"{other}={own}" for other, own in NEAREST.items())
    settings = {**metric.settings, "map": names}
    return replace(metric, needs="map_emotions", nearest=NEAREST, settings=settings)


METRICS = [
    _of_mapped(mean_recall("ua_mapped", "emotion", "UA mapped %", column=8)),
    _of_mapped(accuracy("wa_mapped", "emotion", "WA mapped %", column=9)),
]
