"""Merge measured data for describer-mini: English read and synthetic speech, and EmoDB.

Read speech has no emotion label; here it is neutral, an assumption. EmoDB's ten German sentences
are left out, so that the content phase trains on English alone; their speed is measured before.

    python local/merge_measured.py data/levels data/levels_emodb data/measured
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from serdesc.data import datadir

EMOTIONS = ("angry", "happy", "neutral", "sad")  # of EmoDB's seven


def main() -> None:
    english, german, out = map(Path, sys.argv[1:])
    merged = [replace(utt, emotion=utt.emotion or "neutral") for utt in datadir.read(english)]
    merged += [replace(u, text=None) for u in datadir.read(german) if u.emotion in EMOTIONS]
    datadir.write(out, merged)
    shutil.copy(english / "measure.json", out)  # annotate measures nothing again
    hours = sum(utt.seconds or 0 for utt in merged) / 3600
    print(f"{out}: {len(merged)} utterances, {hours:.2f} h")


if __name__ == "__main__":
    main()
