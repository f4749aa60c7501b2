"""Merge measured data for the describers: English read and synthetic speech, and EmoDB.

Read speech has no emotion label. For describer-mini it is neutral, an assumption, and EmoDB's ten
German sentences are left out, so that the content phase trains on English alone; their speed is
measured before. With --neutral, only that share of the read speech is neutral and the emotion of
the rest unknown; with --german, EmoDB's sentences stay.

    python local/merge_measured.py data/levels data/levels_emodb data/measured
    python local/merge_measured.py data/levels data/levels_emodb data/base --neutral 0 --german
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

from serdesc.data import datadir
from serdesc.data.datadir import Utterance

EMOTIONS = ("angry", "happy", "neutral", "sad")  # of EmoDB's seven


def drawn(utt: Utterance, share: float) -> bool:
    """Whether the utterance is in a share of the data, fixed by its id."""
    digest = hashlib.sha256(f"neutral {utt.utt_id}".encode()).hexdigest()
    return int(digest[:8], 16) < share * 2**32


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("english", "emodb", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--neutral", type=float, default=1.0)
    parser.add_argument("--german", action="store_true")
    args = parser.parse_args()
    merged = []
    for utt in datadir.read(args.english):
        if utt.emotion is None and drawn(utt, args.neutral):
            utt = replace(utt, emotion="neutral")
        merged.append(utt)
    for utt in datadir.read(args.emodb):
        if utt.emotion in EMOTIONS:
            merged.append(utt if args.german else replace(utt, text=None))
    datadir.write(args.out, merged)
    shutil.copy(args.english / "measure.json", args.out)  # annotate measures nothing again
    hours = sum(utt.seconds or 0 for utt in merged) / 3600
    print(f"{args.out}: {len(merged)} utterances, {hours:.2f} h")


if __name__ == "__main__":
    main()
