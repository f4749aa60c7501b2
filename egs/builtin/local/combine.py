"""Several data directories as one, with what cannot be heard taken out: the sex of children.

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
    merged = datadir.merge(sources)
    datadir.write(
        out,
        [
            replace(u, gender=None if u.age is not None and u.age < CHILD_YEARS else u.gender)
            for u in merged
        ],
    )
    print(f"{out}: {len(merged)} utterances, {sum(u.seconds or 0 for u in merged) / 3600:.2f} h")


if __name__ == "__main__":
    main()
