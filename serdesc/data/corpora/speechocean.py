"""speechocean762: English read by 250 Mandarin speakers, half of them children.

https://www.openslr.org/101. `src` is one part (train or test) with text, utt2spk, spk2gender and
spk2age; WAVE/SPEAKER<spk>/<utt_id>.<WAV or another suffix> is in it or beside it.
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
    tables = {name: _table(src / name) for name in ("text", "utt2spk", "spk2gender", "spk2age")}
    waves = src / "WAVE"
    if not waves.is_dir() and (src.parent / "WAVE").is_dir():
        waves = src.parent / "WAVE"
    for utt_id, spk in sorted(tables["utt2spk"].items()):
        yield Utterance(
            f"so{spk}-{utt_id}",
            str(audio_beside(waves / f"SPEAKER{spk}" / utt_id, utt_id)),
            f"so{spk}",
            text=tables["text"][utt_id].lower(),
            gender={"m": "male", "f": "female"}[tables["spk2gender"][spk]],
            age=float(tables["spk2age"][spk]),
        )


def _table(path: Path) -> dict[str, str]:
    if not path.exists():
        raise UserError(
            f"{path}: missing. Give the folder of one part of speechocean762, train or test, that"
            " holds text and utt2spk"
        )
    table = {}
    for line in read_lines(path):
        key, value = line.split(None, 1)
        table[key] = value
    return table
