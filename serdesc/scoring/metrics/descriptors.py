"""Descriptors with a closed set of values: mean recall, accuracy and weighted kappa.

Tone is the emotion in the paper's captions and is scored as such (ua.py, wa.py, f1.py).
"""

from serdesc.captions import traits
from serdesc.scoring.classes import accuracy, kappa, mean_recall

FIELDS = ("pitch", "energy", "speed", "age", "gender", *traits.by_name())
METRICS = [mean_recall(name, name, f"{name} %", column=50) for name in FIELDS]
for _name in FIELDS:
    METRICS.append(accuracy(f"{_name}_accuracy", _name, f"{_name} accuracy %", column=51))
for _name in FIELDS:
    if _name in traits.by_name() and not traits.by_name()[_name].ordered:
        continue
    METRICS.append(kappa(f"{_name}_kappa", _name, f"{_name} kappa %", column=52))
