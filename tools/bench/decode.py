"""How fast `serdesc prepare` decodes segments of long recordings: seconds of speech a second.

    tools/bench/decode.py SRC --nj 2

SRC: a folder of recordings, which are joined to four Ogg Opus files of at most half an hour each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from serdesc.data import audio, decoded, recording
from serdesc.data.datadir import Utterance

SEGMENT = 4.0  # seconds
FILES, LONGEST = 4, 1800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("src", type=Path)
    parser.add_argument("--nj", type=int, default=2)
    arguments = parser.parse_args()
    waves: list[np.ndarray] = []
    for path in recording.find(arguments.src):
        if sum(map(len, waves)) < LONGEST * audio.SAMPLE_RATE:
            waves.append(audio.load(path))
    wave = np.concatenate(waves)
    with tempfile.TemporaryDirectory() as folder:
        utterances = []
        for number in range(FILES):
            path = Path(folder) / f"r{number}.opus"
            rolled = np.roll(wave, number * audio.SAMPLE_RATE)
            soundfile.write(path, rolled, audio.SAMPLE_RATE, format="OGG", subtype="OPUS")
            for i in range(int(len(wave) / audio.SAMPLE_RATE / SEGMENT)):
                span = (SEGMENT * i, SEGMENT * (i + 1))
                name = f"r{number}_{i:05d}"
                utterances.append(Utterance(name, str(path), "s", recording="r", span=span))
        for run in ("first", "second"):
            start = time.perf_counter()
            found = decoded.decode_all(utterances, Path(folder), arguments.nj, None, "bench")
            usable = sum(not result.reason for result in found)
            took = time.perf_counter() - start
            speech = SEGMENT * len(utterances)
            print(
                f"{run} run: {usable} of {len(utterances)} segments, {speech / 3600:.2f} h of"
                f" speech in {took:.2f} s: {speech / took:.0f} times real time"
            )


if __name__ == "__main__":
    main()
