"""Label held-out read speech by the thresholds of the training data, and as neutral.

python local/label_heldout.py data/measured data/heldout data/heldout_labelled
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from serdesc.config import MeasureConfig
from serdesc.data import annotate, audio, datadir, descriptors
from serdesc.files import read_json


def main() -> None:
    training, source, out = map(Path, sys.argv[1:])
    thresholds = descriptors.Thresholds(**read_json(training / "fold1" / "thresholds.json"))
    config = MeasureConfig(**read_json(training / "measure.json"))
    labelled = []
    for utt in datadir.read(source):
        measured = descriptors.measure(audio.load(utt.wav), utt.text, config)
        neutral = replace(utt, measure=measured, emotion="neutral")
        labelled.append(annotate.label(neutral, thresholds))
    datadir.write(out, labelled)


if __name__ == "__main__":
    main()
