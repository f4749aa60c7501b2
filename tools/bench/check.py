"""Time of `serdesc check` for 19 h of 16 kHz FLAC, the size of IEMOCAP and MELD together.

    tools/venv/bin/python tools/bench/check.py --hours 19 --nj 2

The check reads each file once. For comparison, in the same run and on a twentieth of the files, the
naive method calls librosa.load on each file once for each of three properties.
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

SECONDS = 4.4  # mean length of the two corpora's utterances


def make_corpus(folder: Path, hours: float) -> list[Utterance]:
    """Noise with the level and band of speech; no two files are equal."""
    rng = np.random.default_rng(0)
    length = int(16_000 * SECONDS)
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * np.arange(length) / 16_000)
    base = np.convolve(rng.normal(0, 1, length), np.ones(8) / 8, "same") * syllables * 0.2
    utterances = []
    for i in range(round(3600 * hours / SECONDS)):
        path = folder / f"u{i:06d}.flac"
        soundfile.write(path, np.roll(base, 7 * i) + i * 1e-7, 16_000, subtype="PCM_16")
        utterances.append(
            Utterance(
                path.stem,
                str(path),
                f"s{i % 10}",
                text="yes i know what it is",
                seconds=SECONDS,
                emotion="sad",
            )
        )
    return datadir.write(folder / "data", utterances)


def naive(utterances: list[Utterance]) -> float:
    """Seconds of the naive method."""
    start = time.perf_counter()
    for utt in utterances:
        for measure in (np.max, np.std, np.mean):  # clipping, silence, duplicates
            measure(librosa.load(utt.wav, sr=16_000)[0])
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=19.0)
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        utterances = make_corpus(Path(name), args.hours)
        with contextlib.redirect_stderr(io.StringIO()):
            start = time.perf_counter()
            findings = check.check(Path(name) / "data", None, None, args.nj)
            seconds = time.perf_counter() - start
        sample = utterances[::20]
        naive_seconds = naive(sample) * len(utterances) / len(sample)
    print(
        f"{len(utterances)} files, {args.hours:g} h, {len(findings)} findings: {seconds:.1f} s with"
        f" {args.nj} processes"
    )
    print(
        f"naive, one process, extrapolated from {len(sample)} files: {naive_seconds:.0f} s"
        f" ({naive_seconds / seconds:.0f} times as long)"
    )


if __name__ == "__main__":
    main()
