"""SECap's public test set: 600 utterances of Mandarin emotional speech, each with a free caption.

https://github.com/thuhcsi/SECap. `src` holds wav/<id>.<wav or any other suffix>, text.txt
(`<id> <transcript>`, separated by a space or a tab) and fid2captions.json. The captions describe
the emotion in free words: there are no labels, no sex, no age and no training part.

The corpus does not name speakers. Ids begin with a collection and a number (tx_emotion_002,
tx_emulate_00, tx_xiao_01: eight in all), which is used as the speaker. If one of them has several
speakers, a confidence interval over speakers becomes wider, not narrower.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Iterator

from serdesc.config import PrepareConfig
from serdesc.data import release
from serdesc.data.corpora import Published, Rejected, audio_beside
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_text

PUBLISHED = Published(total=600)
SPEAKER = re.compile(r"tx_emotion_\d{3}|tx_emulate_\d\d|tx_xiao_\d\d")


def utterances(
    src: Path, config: PrepareConfig = PrepareConfig()
) -> Iterator[Utterance | Rejected]:
    for name in ("text.txt", "fid2captions.json"):
        if not (src / name).exists():
            raise UserError(
                f"{src / name}: missing. Give the folder of SECap's test set, which holds wav/,"
                " text.txt and fid2captions.json"
            )
    captions = _captions(src / "fid2captions.json")
    listed = set()
    for utt_id, text in release.table(src / "text.txt").items():
        listed.add(utt_id)
        wav = str(audio_beside(src / "wav" / utt_id, utt_id))
        speaker, caption = SPEAKER.match(utt_id), captions.get(utt_id)
        if not text:
            yield Rejected(utt_id, wav, "no transcript in text.txt")
        elif not caption:
            yield Rejected(utt_id, wav, "no caption in fid2captions.json")
        elif not speaker:
            yield Rejected(utt_id, wav, "unknown id")
        else:
            yield Utterance(utt_id, wav, speaker[0], text=text, caption=caption)
    for utt_id in sorted(captions.keys() - listed):
        wav = str(audio_beside(src / "wav" / utt_id, utt_id))
        yield Rejected(utt_id, wav, "no line in text.txt")


def _captions(path: Path) -> dict[str, str]:
    """Id -> caption."""
    try:
        captions = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not JSON ({error.msg}): fetch the file again"
        ) from None
    if not isinstance(captions, dict):
        raise UserError(
            f"{path}: a JSON {type(captions).__name__}, {str(captions)[:60]}, where an object"
            " {id: caption} is expected"
        )
    for utt_id, caption in captions.items():
        if not isinstance(caption, str):
            raise UserError(
                f"{path}: '{utt_id}' has {type(caption).__name__} {str(caption)[:60]}, where one"
                " caption as text is expected"
            )
    return captions
