"""speechocean762: English read by 250 Mandarin speakers, half of them children.

https://www.openslr.org/101. `src` is one part (train or test) with text, utt2spk, spk2gender and
spk2age; WAVE/SPEAKER<spk>/<utt_id>.<WAV or another suffix> is in it or beside it.
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
    tables = {name: _table(src / name) for name in ("text", "utt2spk", "spk2gender", "spk2age")}
    waves = src / "WAVE"
    if not waves.is_dir() and (src.parent / "WAVE").is_dir():
        waves = src.parent / "WAVE"
    for utt_id, spk in sorted(tables["utt2spk"].items()):
        wav = str(audio_beside(waves / f"SPEAKER{spk}" / utt_id, utt_id))
        text = tables["text"].get(utt_id)
        if not text:
            yield Rejected(f"so{spk}-{utt_id}", wav, "no words in text")
            continue
        yield Utterance(
            f"so{spk}-{utt_id}",
            wav,
            f"so{spk}",
            text=text.lower(),
            gender=release.sex(tables["spk2gender"].get(spk)),
            age=release.number(tables["spk2age"].get(spk)),
        )


def _table(path: Path) -> dict[str, str]:
    if not path.exists():
        raise UserError(
            f"{path}: missing. Give the folder of one part of speechocean762, train or test, that"
            " holds text and utt2spk"
        )
    return release.table(path)
