"""Copies of all recordings at random levels, so that a level does not identify a kind of speaker.

Levels of recordings in practice differ by 40 dB. With --copies, further copies have random speeds
too (pitch and formants change with them), each as an utterance of its own.

    python local/levels.py data/train downloads/levels data/levels
    python local/levels.py data/emodb downloads/levels data/levels_emodb --copies 8
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from serdesc.data import audio, datadir

SEED = 4
LEVELS = (-6.0, -1.8)  # natural logarithm of the RMS, full scale 0
SPEEDS = (0.88, 1.14)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("wavs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--copies", type=int, default=1)
    args = parser.parse_args()
    args.wavs.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    scaled = []
    for copy in range(args.copies):
        for utt in datadir.read(args.source):
            wave, utt_id = utt.load_audio(), utt.utt_id
            if copy:
                rate = audio.SAMPLE_RATE * rng.uniform(*SPEEDS)
                wave, utt_id = soxr.resample(wave, rate, audio.SAMPLE_RATE), f"{utt_id}-{copy}"
            gain = np.exp(rng.uniform(*LEVELS)) / np.sqrt(wave.var() + 1e-9)
            path = args.wavs / f"{utt_id}.wav"
            gain = min(gain, 0.99 / np.abs(wave).max())  # no clipping
            soundfile.write(path, wave * gain, audio.SAMPLE_RATE)
            seconds = len(wave) / audio.SAMPLE_RATE
            scaled.append(replace(utt, utt_id=utt_id, wav=str(path), span=None, seconds=seconds))
    datadir.write(args.out, scaled)
    print(f"{args.out}: {len(scaled)} utterances")


if __name__ == "__main__":
    main()
