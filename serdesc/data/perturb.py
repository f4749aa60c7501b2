"""Speed perturbation: resampled copies of recordings, for training only.

Ko et al., "Audio augmentation for speech recognition", Interspeech 2015. Pitch and formants change
with the speed, so a copy has a speaker of its own. Ids are Kaldi's, sp0.9-<utt_id>; `utt2uniq`
has the id of the original.
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
from serdesc.files import atomic_path, file_name, modified_at
from serdesc.progress import progress


def copies(
    utterances: Sequence[Utterance], speeds: Sequence[float], folder: Path, nj: int
) -> list[Utterance]:
    """A copy of every utterance at each speed, as FLAC in `folder`; existing files are reused.

    Raises UserError for a speed of 1 or outside [0.5, 2].
    """
    invalid = [speed for speed in speeds if not 0.5 <= speed <= 2 or speed == 1]
    if invalid:
        raise UserError(
            f"prepare.speeds: {invalid[0]:g} is not between 0.5 and 2, or is the original speed:"
            " Kaldi's recipes use 0.9 and 1.1"
        )
    perturbed: list[Utterance] = []
    with (
        progress("perturb", len(utterances) * len(speeds), "copies") as advance,
        ProcessPoolExecutor(max(1, nj)) as pool,
    ):
        for speed in speeds:
            for copy in pool.map(_copy, utterances, repeat(speed), repeat(folder), chunksize=16):
                perturbed.append(copy)
                advance(1)
    return perturbed


def _copy(utt: Utterance, speed: float, folder: Path) -> Utterance:
    import soundfile
    import soxr

    prefix = f"sp{speed:g}-"
    path = folder / f"{prefix}{file_name(utt.utt_id)}.flac"
    if not path.exists() or modified_at(path) < modified_at(utt.wav):
        wave = utt.load_audio()
        wave = soxr.resample(wave, audio.SAMPLE_RATE * speed, audio.SAMPLE_RATE).clip(-1, 1)
        with atomic_path(path) as temporary:
            soundfile.write(temporary, wave, audio.SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return replace(
        utt,
        utt_id=prefix + utt.utt_id,
        spk=prefix + utt.spk,
        wav=str(path),
        seconds=audio.seconds(path),
        uniq=utt.utt_id,
        recording=None,
        span=None,
        channel=None,
    )
