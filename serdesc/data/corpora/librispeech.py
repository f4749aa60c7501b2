"""LibriSpeech and corpora in its format; https://www.openslr.org/12.

`src` holds <part>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt and the audio beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from serdesc.config import PrepareConfig
from serdesc.data.corpora import audio_beside
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_lines


def utterances(src: Path, config: PrepareConfig = PrepareConfig()) -> Iterator[Utterance]:
    """Every utterance of a transcript file; sex from SPEAKERS.TXT if `src` has it."""
    lists = sorted(src.rglob("*.trans.txt"))
    if not lists:
        raise UserError(
            f"{src}: no *.trans.txt below it: give the folder that holds LibriSpeech's parts"
            " (train-clean-100, ...)"
        )
    genders = _genders(src / "SPEAKERS.TXT")
    for path in lists:
        for line in read_lines(path):
            utt_id, _, text = line.partition(" ")
            speaker = utt_id.split("-")[0]
            yield Utterance(
                utt_id,
                str(audio_beside(path, utt_id)),
                speaker,
                text=text.lower(),
                gender=genders.get(speaker),
            )


def _genders(path: Path) -> dict[str, str]:
    """Speaker -> gender."""
    if not path.exists():
        return {}
    genders = {}
    for line in read_lines(path):
        cells = line.split("|")
        if not line.startswith(";") and len(cells) > 2:
            genders[cells[0].strip()] = {"F": "female", "M": "male"}[cells[1].strip()]
    return genders
