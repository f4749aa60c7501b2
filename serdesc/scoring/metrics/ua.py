"""Unweighted accuracy of the emotion: mean recall over the classes."""

from serdesc.scoring.classes import mean_recall

METRICS = [mean_recall("ua", "emotion", "UA %", column=0)]
