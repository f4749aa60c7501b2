"""Syllables that the speech-rate curve counts in recordings, beside those of their texts.

tools/venv/bin/python tools/bench/speech_rate.py DATA [--every 25]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from serdesc.data import curves, datadir, descriptors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=25)
    parser.add_argument("--language", default="en-us")
    arguments = parser.parse_args()
    utterances = [utt for utt in datadir.originals(datadir.read(arguments.data)) if utt.text]
    pairs = []
    for utt in utterances[:: arguments.every]:
        counted = len(curves.syllable_times(utt.load_audio()))
        pairs.append((counted, descriptors.syllables(utt.text or "", arguments.language)))
    found, stated = np.array(pairs).T
    print(
        f"{len(pairs)} utterances: {found.mean():.1f} syllables found, {stated.mean():.1f} in the"
    )
    print(f"texts; mean difference {np.abs(found - stated).mean():.2f}, correlation", end=" ")
    print(f"{np.corrcoef(found, stated)[0, 1]:.2f}")


if __name__ == "__main__":
    main()
