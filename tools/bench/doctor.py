"""How long the corpus doctor takes to hear as much as IEMOCAP and MELD together: 19 h of 16 kHz FLAC, each file read once.

    tools/venv/bin/python tools/bench/doctor.py --hours 19 --nj 2

Beside it, in the same run and on a twentieth of the files, the naive way: librosa.load of each file for each question asked of it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path

import librosa
import numpy as np
import soundfile

from serdesc.data import check, datadir
from serdesc.data.datadir import Utterance

SECONDS = 4.4  # the mean of the two corpora


def corpus(folder: Path, hours: float) -> list[Utterance]:
    """Noise shaped like speech in level and band, no two files alike."""
    rng = np.random.default_rng(0)
    length = int(16_000 * SECONDS)
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * np.arange(length) / 16_000)
    base = np.convolve(rng.normal(0, 1, length), np.ones(8) / 8, "same") * syllables * 0.2
    utterances = []
    for i in range(round(3600 * hours / SECONDS)):
        path = folder / f"u{i:06d}.flac"
        soundfile.write(path, np.roll(base, 7 * i) + i * 1e-7, 16_000, subtype="PCM_16")
        utterances.append(Utterance(path.stem, str(path), f"s{i % 10}", text="yes i know what it is", seconds=SECONDS, emotion="sad"))
    return datadir.write(folder / "data", utterances)


def naive(utterances: list[Utterance]) -> float:
    start = time.perf_counter()
    for utt in utterances:
        for question in (np.max, np.std, np.mean):  # clipped, silent, the same as another
            question(librosa.load(utt.wav, sr=16_000)[0])
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=19.0)
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        utterances = corpus(Path(name), args.hours)
        with contextlib.redirect_stderr(io.StringIO()):
            start = time.perf_counter()
            findings = check.check(Path(name) / "data", None, None, args.nj)
            seconds = time.perf_counter() - start
        some = utterances[::20]
        slow = naive(some) * len(utterances) / len(some)
    print(f"{len(utterances)} files, {args.hours:g} h, {len(findings)} findings: {seconds:.1f} s with {args.nj} processes")
    print(f"naive, one process, extrapolated from {len(some)} files: {slow:.0f} s ({slow / seconds:.0f} times as long)")


if __name__ == "__main__":
    main()
