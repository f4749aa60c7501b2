"""LibriSpeech and corpora in its format; https://www.openslr.org/12.

`src` holds <part>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt and the audio beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from serdesc.config import PrepareConfig
from serdesc.data import release
from serdesc.data.corpora import Rejected, audio_beside
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError


def utterances(
    src: Path, config: PrepareConfig = PrepareConfig()
) -> Iterator[Utterance | Rejected]:
    """Every utterance of a transcript file; sex from SPEAKERS.TXT if `src` has it."""
    lists = release.visible(src.rglob("*.trans.txt"))
    if not lists:
        raise UserError(
            f"{src}: no *.trans.txt below it: give the folder that holds LibriSpeech's parts"
            " (train-clean-100, ...)"
        )
    genders = _genders(src / "SPEAKERS.TXT")
    for path in lists:
        for utt_id, text in release.table(path).items():
            wav, speaker = str(audio_beside(path, utt_id)), utt_id.split("-")[0]
            if not text:
                yield Rejected(utt_id, wav, f"no words in {path.name}")
                continue
            yield Utterance(utt_id, wav, speaker, text=text.lower(), gender=genders.get(speaker))


def _genders(path: Path) -> dict[str, str | None]:
    """Speaker -> gender."""
    if not path.exists():
        return {}
    genders = {}
    for line in release.lines(path):
        cells = line.split("|")
        if not line.startswith(";") and len(cells) > 2:
            genders[cells[0].strip()] = release.sex(cells[1])
    return genders
