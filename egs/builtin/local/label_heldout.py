"""Label held-out speakers by the thresholds of the training data.

python local/label_heldout.py data/train/fold1/thresholds.json data/heldout data/heldout_labelled
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from serdesc.config import MeasureConfig
from serdesc.data import annotate, audio, datadir, descriptors
from serdesc.files import read_json


def main() -> None:
    path, source, out = map(Path, sys.argv[1:])
    thresholds = descriptors.Thresholds(**read_json(path))
    labelled = []
    for utt in datadir.read(source):
        measured = descriptors.measure(audio.load(utt.wav), utt.text, MeasureConfig())
        labelled.append(annotate.label(replace(utt, measure=measured), thresholds))
    datadir.write(out, labelled)


if __name__ == "__main__":
    main()
