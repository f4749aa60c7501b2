"""SECap's public test set: 600 utterances of Mandarin emotional speech with one free caption each; https://github.com/thuhcsi/SECap.

`src` holds wav/<id>.<wav or any other suffix>, text.txt (`<id> <transcript>`, a space or a tab between them) and fid2captions.json.
The captions speak of the emotion in free words: there are no labels, no sex, no age, and no part to train on.
The corpus names no speakers. Ids begin with a collection and a number (tx_emotion_002, tx_emulate_00, tx_xiao_01: eight in all); that
stands for the speaker. More than one may be behind it, which makes an interval over speakers wider, not narrower.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

from serdesc.config import PrepareConfig
from serdesc.data.corpora import Rejected, audio_beside
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json

SPEAKER = re.compile(r"tx_emotion_\d{3}|tx_emulate_\d\d|tx_xiao_\d\d")


def utterances(src: Path, config: PrepareConfig = PrepareConfig()) -> Iterator[Utterance | Rejected]:
    for name in ("text.txt", "fid2captions.json"):
        if not (src / name).exists():
            raise UserError(f"{src / name}: missing. Give the folder of SECap's test set, the one that holds wav/, text.txt and fid2captions.json")
    captions = read_json(src / "fid2captions.json")
    for line in (src / "text.txt").read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        utt_id, *rest = line.split(None, 1)
        wav = str(audio_beside(src / "wav" / utt_id, utt_id))
        speaker, caption = SPEAKER.match(utt_id), captions.get(utt_id)
        if speaker and caption and rest:
            yield Utterance(utt_id, wav, speaker[0], text=rest[0].strip(), caption=caption)
        else:
            yield Rejected(
                utt_id, wav, "no transcript in text.txt" if not rest else "no caption in fid2captions.json" if not caption else "unknown id"
            )
