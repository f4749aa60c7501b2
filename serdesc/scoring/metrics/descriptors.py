"""Mean recall of each descriptor that has a closed set of values. Tone is the emotion and is scored there."""

from serdesc.scoring.metric import mean_recall

METRICS = [mean_recall(name, name, f"{name} %") for name in ("pitch", "energy", "speed", "age", "gender")]
