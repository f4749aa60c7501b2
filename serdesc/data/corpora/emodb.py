"""EmoDB, the Berlin Database of Emotional Speech: ten actors, ten sentences, seven emotions.

Burkhardt et al., Interspeech 2005; http://emodb.bilderbar.info (CC0 in its author's release).
`src` holds wav/SSTTTEv.wav, or the files themselves: speaker, sentence, the first letter of the
emotion's German name, and a version. Sex, age and sentences are those of the corpus's
documentation (http://emodb.bilderbar.info/docu).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

from serdesc.config import PrepareConfig
from serdesc.data.corpora import Published, Rejected, named
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError

NAME = re.compile(r"(\d\d)([ab]\d\d)([A-Z])([a-z]?)")
EMOTIONS = {
    "W": "angry",  # Wut
    "L": "bored",  # Langeweile
    "E": "disgusted",  # Ekel
    "A": "fearful",  # Angst
    "F": "happy",  # Freude
    "N": "neutral",
    "T": "sad",  # Trauer
}
SPEAKERS = {  # sex, age
    "03": ("male", 31.0),
    "08": ("female", 34.0),
    "09": ("female", 21.0),
    "10": ("male", 32.0),
    "11": ("male", 26.0),
    "12": ("male", 30.0),
    "13": ("female", 32.0),
    "14": ("female", 35.0),
    "15": ("male", 25.0),
    "16": ("female", 31.0),
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
PUBLISHED = Published(
    emotions={
        "angry": 127,
        "bored": 81,
        "disgusted": 46,
        "fearful": 69,
        "happy": 71,
        "neutral": 79,
        "sad": 62,
    },
    speakers=10,
    total=535,
)


def utterances(
    src: Path, config: PrepareConfig = PrepareConfig()
) -> Iterator[Utterance | Rejected]:
    folder = src / "wav" if (src / "wav").is_dir() else src
    found = named(folder.glob("*"), NAME)
    if not found:
        raise UserError(
            f"{src}: no files such as wav/03a01Fa.wav in it: give the folder that EmoDB's archive"
            " was unpacked in"
        )
    for path, match in found:
        speaker, sentence, letter, _ = match.groups()
        known = (("speaker", speaker, SPEAKERS), ("sentence", sentence, SENTENCES))
        unknown = [f"{what} {code}" for what, code, table in known if code not in table]
        if letter not in EMOTIONS:
            unknown.append(f"emotion {letter}")
        if unknown:
            yield Rejected(path.stem, str(path), f"{', '.join(unknown)}: not of EmoDB")
            continue
        gender, age = SPEAKERS[speaker]
        yield Utterance(
            path.stem,
            str(path),
            speaker,
            text=SENTENCES[sentence],
            emotion=EMOTIONS[letter],
            gender=gender,
            age=age,
        )
