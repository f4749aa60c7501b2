"""IEMOCAP: five sessions of a woman and a man, scripted and improvised; https://sail.usc.edu/iemocap/ (licence form).

`src` is the folder with Session1 ... Session5:

    Session1/sentences/wav/<dialog>/<utt>.wav
    Session1/dialog/EmoEvaluation/<dialog>.txt      [6.2901 - 8.2357]<TAB>Ses01F_impro01_F000<TAB>neu<TAB>[2.5, 2.5, 2.5]
    Session1/dialog/transcriptions/<dialog>.txt     Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.

The speaker is told by the letter before an utterance's number; the one after `Ses01` names who wore the motion-capture markers.
An id therefore does not begin with its speaker, as Kaldi would have it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

from serdesc.config import PrepareConfig
from serdesc.data.corpora import Known, Rejected
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError

SESSIONS = range(1, 6)
# xxx: the annotators did not agree; oth: another emotion. Neither says what it is.
EMOTIONS = {
    "ang": "angry", "hap": "happy", "exc": "excited", "sad": "sad", "neu": "neutral", "fru": "frustrated", "fea": "fearful",
    "sur": "surprised", "dis": "disgusted", "oth": None, "xxx": None,
}  # fmt: skip
KNOWN = Known(  # four classes, excited merged into happy: 5531
    labels=("angry", "happy", "excited", "neutral", "sad"),
    sessions={"Ses01": 1085, "Ses02": 1023, "Ses03": 1151, "Ses04": 1031, "Ses05": 1241},
    emotions={"angry": 1103, "happy": 595, "excited": 1041, "neutral": 1708, "sad": 1084},
    speakers=10,
)
_EVALUATED = re.compile(r"\[\d+\.\d+ - \d+\.\d+\]\t(Ses\S+)\t(\w+)\t")
_TRANSCRIBED = re.compile(r"(Ses\S+?)(?: \[[^\]]*\])?:\s*(.*)")
_ID = re.compile(r"(Ses0[1-5])[FM]_(?:impro|script)\w+_([FM])\d{3}")
_TAG = re.compile(r"\[[^\]]*\]")  # [LAUGHTER], [garbage], ...


def utterances(
    src: Path, config: PrepareConfig = PrepareConfig()
) -> Iterator[Utterance | Rejected]:
    missing = [
        f"Session{k}/{part}"
        for k in SESSIONS
        for part in PARTS
        if not (src / f"Session{k}" / part).is_dir()
    ]
    if missing:
        raise UserError(
            f"{src}: not a whole IEMOCAP release, missing {', '.join(missing)}. Give the folder that holds Session1 ... Session5"
        )
    for k in SESSIONS:
        session = src / f"Session{k}"
        texts = _texts(session)
        for utt_id, label in _labels(session).items():
            wav = session / "sentences" / "wav" / utt_id.rsplit("_", 1)[0] / f"{utt_id}.wav"
            told = identity(utt_id)
            if not told:
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
                    told[1],
                    text=" ".join(_TAG.sub(" ", texts[utt_id]).split()),
                    session=told[0],
                    emotion=config.excited if emotion == "excited" else emotion,
                    gender=told[2],
                )


def identity(utt_id: str) -> tuple[str, str, str] | None:
    """Session, speaker and sex of Ses01F_impro01_M000: Ses01, Ses01M, male; None for an id of another form."""
    parts = _ID.fullmatch(utt_id)
    return (
        (parts[1], parts[1] + parts[2], {"F": "female", "M": "male"}[parts[2]]) if parts else None
    )


PARTS = ("sentences/wav", "dialog/EmoEvaluation", "dialog/transcriptions")


def _files(folder: Path) -> list[Path]:
    """The dialogs' files; not the annotators' own in folders below, and not what macOS left behind (`._*`)."""
    return sorted(
        path for path in folder.glob("*.txt") if path.is_file() and not path.name.startswith(".")
    )


def _lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace").splitlines()


def _labels(session: Path) -> dict[str, str]:
    """Utterance -> raw label. Turns numbered XX were cut short by the other speaker and have no recording of their own."""
    found = (
        _EVALUATED.match(line)
        for path in _files(session / "dialog/EmoEvaluation")
        for line in _lines(path)
    )
    return {
        match[1]: match[2] for match in found if match and not re.search(r"_[FM]XX\d$", match[1])
    }


def _texts(session: Path) -> dict[str, str]:
    found = (
        _TRANSCRIBED.match(line)
        for path in _files(session / "dialog/transcriptions")
        for line in _lines(path)
    )
    return {match[1]: match[2] for match in found if match}
