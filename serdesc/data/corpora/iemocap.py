"""IEMOCAP: five sessions of a woman and a man, scripted and improvised.

https://sail.usc.edu/iemocap/ (licence form). `src` is the folder with Session1 ... Session5:

    Session1/sentences/wav/<dialog>/<utt>.wav
    Session1/dialog/EmoEvaluation/<dialog>.txt
        [6.2901 - 8.2357]<TAB>Ses01F_impro01_F000<TAB>neu<TAB>[2.5, 2.5, 2.5]
    Session1/dialog/transcriptions/<dialog>.txt
        Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.

The letter before an utterance's number is the speaker; the letter after `Ses01` is the actor with
the motion-capture markers. An id therefore does not begin with its speaker, unlike Kaldi's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

from serdesc.config import PrepareConfig
from serdesc.data import release
from serdesc.data.corpora import Published, Rejected
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError

SESSIONS = range(1, 6)
PARTS = ("sentences/wav", "dialog/EmoEvaluation", "dialog/transcriptions")
EMOTIONS = {
    "ang": "angry",
    "hap": "happy",
    "exc": "excited",
    "sad": "sad",
    "neu": "neutral",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgusted",
    "oth": None,  # another emotion
    "xxx": None,  # the annotators disagreed
}
PUBLISHED = Published(  # four classes, excited merged into happy: 5531
    labels=("angry", "happy", "excited", "neutral", "sad"),
    sessions={"Ses01": 1085, "Ses02": 1023, "Ses03": 1151, "Ses04": 1031, "Ses05": 1241},
    emotions={"angry": 1103, "happy": 595, "excited": 1041, "neutral": 1708, "sad": 1084},
    speakers=10,
)
_EVALUATED = re.compile(r"\[\d+\.\d+ - \d+\.\d+\]\t(Ses\S+)\t(\w+)\t")
_TRANSCRIBED = re.compile(r"(Ses\S+?)(?: \[[^\]]*\])?:\s*(.*)")
_ID = re.compile(r"(Ses0[1-5])[FM]_(?:impro|script)\w+_([FM])\d{3}")
_INTERRUPTED = re.compile(r"_[FM]XX\d$")
_TAG = re.compile(r"\[[^\]]*\]")  # [LAUGHTER], [garbage], ...


def utterances(
    src: Path, config: PrepareConfig = PrepareConfig()
) -> Iterator[Utterance | Rejected]:
    folders = [f"Session{k}/{part}" for k in SESSIONS for part in PARTS]
    missing = [folder for folder in folders if not (src / folder).is_dir()]
    if missing:
        raise UserError(
            f"{src}: not a whole IEMOCAP release, missing {', '.join(missing)}. Give the folder"
            " that holds Session1 ... Session5"
        )
    for k in SESSIONS:
        session = src / f"Session{k}"
        texts = _texts(session)
        for utt_id, label in _labels(session).items():
            wav = session / "sentences" / "wav" / utt_id.rsplit("_", 1)[0] / f"{utt_id}.wav"
            parts = identity(utt_id)
            if not parts:
                yield Rejected(utt_id, str(wav), "an id of another form than Ses01F_impro01_F000")
            elif label not in EMOTIONS:
                yield Rejected(
                    utt_id, str(wav), f"label '{label}' is not one of {', '.join(EMOTIONS)}"
                )
            elif utt_id not in texts:
                yield Rejected(utt_id, str(wav), f"no line in {session.name}/dialog/transcriptions")
            elif config.turns == "all" or "_impro" in utt_id:
                emotion = EMOTIONS[label]
                yield Utterance(
                    utt_id,
                    str(wav),
                    parts[1],
                    text=" ".join(_TAG.sub(" ", texts[utt_id]).split()),
                    session=parts[0],
                    emotion=config.excited if emotion == "excited" else emotion,
                    gender=parts[2],
                )


def identity(utt_id: str) -> tuple[str, str, str] | None:
    """Session, speaker and sex of an id: Ses01, Ses01M and male of Ses01F_impro01_M000.

    None for an id of another form.
    """
    match = _ID.fullmatch(utt_id)
    if not match:
        return None
    session, letter = match.groups()
    return session, session + letter, {"F": "female", "M": "male"}[letter]


def _files(folder: Path) -> list[Path]:
    """The dialogs' files, without those of single annotators (in folders) and of macOS (`._*`)."""
    return [path for path in release.visible(folder.glob("*.txt")) if path.is_file()]


def _labels(session: Path) -> dict[str, str]:
    """Utterance -> raw label. Turns numbered XX were interrupted and have no recording."""
    labels = {}
    for path in _files(session / "dialog/EmoEvaluation"):
        for line in release.lines(path, "cp1252"):
            match = _EVALUATED.match(line)
            if match and not _INTERRUPTED.search(match[1]):
                labels[match[1]] = match[2]
    return labels


def _texts(session: Path) -> dict[str, str]:
    """Utterance -> transcript."""
    texts = {}
    for path in _files(session / "dialog/transcriptions"):
        for line in release.lines(path, "cp1252"):
            if match := _TRANSCRIBED.match(line):
                texts[match[1]] = match[2]
    return texts
