"""Speed perturbation: copies of recordings, played faster or slower, for training alone (Ko et al. 2015, "Audio augmentation for speech
recognition", Interspeech).

Pitch and formants move with the speed, so a copy counts as another speaker's. Ids are Kaldi's, sp0.9-<utt_id>; `utt2uniq` names the original.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Sequence

from serdesc.data import audio
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import modified_at, atomic_path
from serdesc.progress import progress


def copies(
    utterances: Sequence[Utterance], speeds: Sequence[float], folder: Path, nj: int
) -> list[Utterance]:
    """A copy of every utterance at each speed, its wave in `folder`; what is there already is not made again."""
    bad = [speed for speed in speeds if not 0.5 <= speed <= 2 or speed == 1]
    if bad:
        raise UserError(
            f"prepare.speeds: {bad[0]:g} is not between 0.5 and 2, or is the original's own: Kaldi's recipes take 0.9 and 1.1"
        )
    made: list[Utterance] = []
    with progress(
        "perturb", len(utterances) * len(speeds), "copies"
    ) as advance, ProcessPoolExecutor(max(1, nj)) as pool:
        for speed in speeds:
            for copy in pool.map(_copy, utterances, repeat(speed), repeat(folder), chunksize=16):
                made.append(copy)
                advance(1)
    return made


def _copy(utt: Utterance, speed: float, folder: Path) -> Utterance:
    import soundfile
    import soxr

    mark = f"sp{speed:g}-"
    path = folder / f"{mark}{utt.utt_id}.flac"
    if not path.exists() or modified_at(path) < modified_at(utt.wav):
        wave = soxr.resample(
            audio.load(utt.wav, span=utt.span), audio.SAMPLE_RATE * speed, audio.SAMPLE_RATE
        )
        with atomic_path(path) as aside:
            soundfile.write(
                aside, wave.clip(-1, 1), audio.SAMPLE_RATE, format="FLAC", subtype="PCM_16"
            )
    return replace(
        utt,
        utt_id=mark + utt.utt_id,
        spk=mark + utt.spk,
        wav=str(path),
        seconds=audio.seconds(path),
        uniq=utt.utt_id,
        recording=None,
        span=None,
    )
