"""Weighted accuracy (WA) of the emotion: the share of correct utterances."""

from serdesc.scoring.classes import accuracy

METRICS = [accuracy("wa", "emotion", "WA %", column=1)]
