"""Merge data directories; the sex of children is removed, since speech does not reveal it.

python local/combine.py data/librispeech data/speechocean data/made data/train
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from serdesc.data import datadir

CHILD_YEARS = 14


def main() -> None:
    *sources, out = map(Path, sys.argv[1:])
    merged = []
    for utt in datadir.merge(sources):
        if utt.age is not None and utt.age < CHILD_YEARS:
            utt = replace(utt, gender=None)
        merged.append(utt)
    datadir.write(out, merged)
    hours = sum(utt.seconds or 0 for utt in merged) / 3600
    print(f"{out}: {len(merged)} utterances, {hours:.2f} h")


if __name__ == "__main__":
    main()
