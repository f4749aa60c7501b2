"""Copies of all recordings at random levels, so that a level does not identify a kind of speaker.

Levels of recordings in practice differ by 40 dB.

    python local/levels.py data/train downloads/levels data/levels
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from serdesc.data import audio, datadir

SEED = 4
LEVELS = (-6.0, -1.8)  # natural logarithm of the RMS, full scale 0


def main() -> None:
    source, wavs, out = map(Path, sys.argv[1:])
    wavs.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    scaled = []
    for utt in datadir.read(source):
        wave = utt.load_audio()
        gain = np.exp(rng.uniform(*LEVELS)) / np.sqrt(wave.var() + 1e-9)
        path = wavs / f"{utt.utt_id}.wav"
        gain = min(gain, 0.99 / np.abs(wave).max())  # no clipping
        soundfile.write(path, wave * gain, audio.SAMPLE_RATE)
        scaled.append(replace(utt, wav=str(path), span=None))
    datadir.write(out, scaled)
    print(f"{out}: {len(scaled)} utterances")


if __name__ == "__main__":
    main()
