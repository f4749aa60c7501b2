"""F1 of the emotion: mean over the classes (macro), and mean weighted by class frequency."""

from serdesc.scoring.classes import f1

METRICS = [
    f1("macro_f1", "emotion", "macro-F1 %", column=2, weighted=False),
    f1("weighted_f1", "emotion", "weighted-F1 %", column=3, weighted=True),
]
