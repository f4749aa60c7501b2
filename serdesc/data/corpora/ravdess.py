"""RAVDESS speech: 24 actors, two sentences, eight emotions.

https://zenodo.org/records/1188976 (CC BY-NC-SA 4.0).
Names are MM-VC-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR; odd actors are men. Only audio-only
speech (03-01) is used.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

from serdesc.config import PrepareConfig
from serdesc.data.corpora import named
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError

NAME = re.compile(r"03-01-(0[1-8])-(\d\d)-(0[12])-(\d\d)-(\d\d)")
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
STATEMENTS = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}


def utterances(src: Path, config: PrepareConfig = PrepareConfig()) -> Iterator[Utterance]:
    found = named(src.glob("Actor_*/*"), NAME)
    if not found:
        raise UserError(
            f"{src}: no Actor_*/03-01-*.wav below it: give the folder that"
            " Audio_Speech_Actors_01-24.zip was unpacked in"
        )
    for path, match in found:
        emotion, _, statement, _, actor = match.groups()
        yield Utterance(
            f"{actor}-{path.stem}",
            str(path),
            actor,
            text=STATEMENTS[statement],
            emotion=EMOTIONS[int(emotion) - 1],
            gender="male" if int(actor) % 2 else "female",
        )
