"""Weighted accuracy of the emotion: the share of utterances that are right."""

from serdesc.scoring.classes import accuracy

METRICS = [accuracy("wa", "emotion", "WA %", column=1)]
