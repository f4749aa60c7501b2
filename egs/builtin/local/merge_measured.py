"""Merge measured data for the describers: English read and synthetic speech, and EmoDB.

Read speech has no emotion label. For describer-mini it is neutral, an assumption, and EmoDB's ten
German sentences are left out, so that the content phase trains on English alone; their speed is
measured before. With --as-they-are, the emotion of read speech stays unknown and EmoDB's sentences
stay, for describer-base.

    python local/merge_measured.py data/levels data/levels_emodb data/measured
    python local/merge_measured.py data/levels data/levels_emodb data/base --as-they-are
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from serdesc.data import datadir

EMOTIONS = ("angry", "happy", "neutral", "sad")  # of EmoDB's seven


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("english", "emodb", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--as-they-are", action="store_true")
    args = parser.parse_args()
    merged = []
    for utt in datadir.read(args.english):
        if utt.emotion is None and not args.as_they_are:
            utt = replace(utt, emotion="neutral")
        merged.append(utt)
    for utt in datadir.read(args.emodb):
        if utt.emotion in EMOTIONS:
            merged.append(utt if args.as_they_are else replace(utt, text=None))
    datadir.write(args.out, merged)
    shutil.copy(args.english / "measure.json", args.out)  # annotate measures nothing again
    hours = sum(utt.seconds or 0 for utt in merged) / 3600
    print(f"{args.out}: {len(merged)} utterances, {hours:.2f} h")


if __name__ == "__main__":
    main()
