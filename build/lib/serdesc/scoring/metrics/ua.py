"""Unweighted accuracy (UA) of the emotion: mean recall over the classes (paper, Table 2)."""

from serdesc.scoring.classes import mean_recall

METRICS = [mean_recall("ua", "emotion", "UA %", column=0)]
