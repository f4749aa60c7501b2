"""A table of recordings, as people have it: CSV or TSV with a header, one row an utterance.

`src` is the table, or a folder with one. Columns are found by their names, in any case:

    audio                wav, path, file, filename, audio, clip ...; relative to the table
    speaker              speaker, spk, speaker_id, actor, subject ...
    id                   id, utt_id, utterance_id, key ...; else the audio's path without suffix
    text                 text, transcript, transcription, sentence, utterance
    emotion              emotion, label, emotion_label, category ...
    gender, age, session, start and end (seconds, of the audio), caption

Others are named with prepare.columns. Emotions are read as words ("Anger", "joy"); other labels are
mapped with prepare.emotions, and a row whose label is neither is rejected.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, Mapping

from serdesc.captions import vocabulary
from serdesc.captions.fields import EMOTIONS, FURTHER_EMOTIONS
from serdesc.config import PrepareConfig
from serdesc.data import release
from serdesc.data.corpora import Rejected
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError

OF_FILE = True  # src may be a file
COLUMNS = {
    "audio": "audio wav path file filename file_name filepath file_path audio_path wav_path"
    " audio_file clip",
    "speaker": "speaker spk speaker_id spk_id speakerid actor actor_id subject client_id",
    "id": "id utt_id utterance_id uttid key name",
    "text": "text transcript transcription sentence utterance words",
    "emotion": "emotion label emo emotion_label category class",
    "gender": "gender sex",
    "age": "age",
    "session": "session split part partition subset fold",
    "start": "start start_time begin onset",
    "end": "end end_time stop offset",
    "caption": "caption description",
}
REQUIRED = ("audio", "speaker")
PARTS = {"training": "train", "valid": "dev", "validation": "dev", "val": "dev", "eval": "test"}
DECADES = "teens twenties thirties fourties fifties sixties seventies eighties nineties".split()
UNKNOWN = ("", "unknown", "none", "nan", "na", "n/a", "-")


def utterances(
    src: Path, config: PrepareConfig = PrepareConfig()
) -> Iterator[Utterance | Rejected]:
    table = _table(src)
    delimiter = "\t" if table.suffix.lower() == ".tsv" else ","
    rows = list(release.rows(table, (), delimiter))
    if not rows:
        raise UserError(f"{table}: no rows: a header and one row an utterance are expected")
    column = _columns(table, rows[0], _pairs(config.columns, "prepare.columns"))
    labels = _pairs(config.emotions, "prepare.emotions")
    seen: set[str] = set()
    for row in rows:
        value = {name: (row[of] or "").strip() for name, of in column.items()}
        wav = table.parent / value["audio"]
        utt_id = re.sub(r"\s+", "_", value.get("id") or _id_of(value["audio"], value.get("start")))
        if utt_id in seen:
            yield Rejected(utt_id, str(wav), "its id is also that of an earlier row")
            continue
        seen.add(utt_id)
        yield _utterance(utt_id, wav, value, labels)


def _utterance(
    utt_id: str, wav: Path, value: Mapping[str, str], labels: Mapping[str, str]
) -> Utterance | Rejected:
    """The utterance of a row's values, or why it cannot be used."""
    reasons = []
    if not value["speaker"]:
        reasons.append("no speaker")
    emotion = _emotion(value.get("emotion", ""), labels)
    if emotion == "":
        reasons.append(
            f"label '{value['emotion']}' is no emotion of {', '.join(EMOTIONS)}: map it with --set"
            f" 'prepare.emotions=[{value['emotion']}=neutral]', or to none"
        )
    gender, age = release.sex(value.get("gender")), _age(value.get("age", ""))
    if not gender and not _unknown(value.get("gender", "")):
        reasons.append(f"gender '{value['gender']}' is neither female nor male")
    if age is None and not _unknown(value.get("age", "")):
        reasons.append(f"age '{value['age']}' is no number of years")
    span = None
    if value.get("start") or value.get("end"):
        start, end = release.number(value.get("start") or "0"), release.number(value.get("end"))
        if start is None or end is None or not 0 <= start < end:
            reasons.append(f"start '{value.get('start')}' and end '{value.get('end')}' in seconds?")
        else:
            span = (start, end)
    if reasons:
        return Rejected(utt_id, str(wav), "; ".join(reasons))
    session = value.get("session", "")
    return Utterance(
        utt_id,
        str(wav),
        re.sub(r"\s+", "_", value["speaker"]),
        text=value.get("text") or None,
        session=re.sub(r"\s+", "_", PARTS.get(session.lower(), session)) or None,
        emotion=emotion,
        caption=value.get("caption") or None,
        gender=gender,
        age=age,
        recording=_id_of(value["audio"]) if span else None,
        span=span,
    )


def _table(src: Path) -> Path:
    if src.is_file():
        return src
    found = release.visible([*src.glob("*.csv"), *src.glob("*.tsv")])
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(f"{src}: one .csv or .tsv is expected in it, found {names}: name the file")
    return found[0]


def _pairs(values: list[str], key: str) -> dict[str, str]:
    """The `name=value` of a list. Raises UserError for others."""
    for value in values:
        if "=" not in value:
            raise UserError(f"{key}: '{value}' where name=value is expected")
    return dict(value.split("=", 1) for value in values)


def _columns(table: Path, row: Mapping[str, str], named: Mapping[str, str]) -> dict[str, str]:
    """Value -> column that has it: as named, else the first whose name is known.

    Raises UserError for a column that is named and absent, or needed and not found.
    """
    for name, of in named.items():
        if name not in COLUMNS or of not in row:
            raise UserError(
                f"prepare.columns: {name}={of}: the name is one of {', '.join(COLUMNS)}, and the"
                f" column one of {table}: {', '.join(row)}"
            )
    by_name = {re.sub(r"[\s-]+", "_", (of or "").strip().lower()): of for of in row}
    column = {}
    for name, aliases in COLUMNS.items():
        known = [by_name[alias] for alias in aliases.split() if alias in by_name]
        if name in named or known:
            column[name] = named.get(name) or known[0]
    absent = [name for name in REQUIRED if name not in column]
    if absent:
        raise UserError(
            f"{table}: no column for the {' and the '.join(absent)}; its columns are"
            f" {', '.join(row)}. Name it: --set 'prepare.columns=[{absent[0]}=COLUMN]'. Folds share"
            " no speaker; where speakers are unknown, a column of sessions or recordings serves"
        )
    return column


def _id_of(audio: str, start: str | None = None) -> str:
    """The path of an audio file without its suffix, as an id; with the start of a segment."""
    path = Path(audio)
    parts = [part for part in path.with_suffix("").parts if part not in ("/", "..", ".")]
    begin = release.number(start)
    return re.sub(r"\s+", "_", "-".join(parts)) + ("" if begin is None else f"-{begin:09.3f}")


def _emotion(label: str, labels: Mapping[str, str]) -> str | None:
    """The emotion of a label; None if it states none, "" if it is not known."""
    mapped = labels.get(label, label).lower()
    if _unknown(mapped):
        return None
    if mapped in EMOTIONS + FURTHER_EMOTIONS:
        return mapped
    for emotion, words in vocabulary.EMOTION_WORDS.items():
        if re.fullmatch("|".join(words.split()), mapped):
            return emotion
    return ""


def _unknown(value: str) -> bool:
    return value.lower() in UNKNOWN


def _age(value: str) -> float | None:
    """Years of `31`, or the middle of `20-29`, `twenties`."""
    if value.lower() in DECADES:
        return 10.0 * DECADES.index(value.lower()) + 15
    bounds = [release.number(bound) for bound in value.split("-")]
    if not 1 <= len(bounds) <= 2 or None in bounds:
        return None
    return sum(bound for bound in bounds if bound is not None) / len(bounds)
