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
    found, source, out = map(Path, sys.argv[1:])
    thresholds = descriptors.Thresholds(**read_json(found))
    measured = [
        replace(utt, measure=descriptors.measure(audio.load(utt.wav), utt.text, MeasureConfig()))
        for utt in datadir.read(source)
    ]
    datadir.write(out, [annotate.label(utt, thresholds) for utt in measured])


if __name__ == "__main__":
    main()
