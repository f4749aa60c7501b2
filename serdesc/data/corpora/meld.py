"""MELD: dialogues of a television series, seven emotions.

https://affective-meld.github.io (GPL-3.0). `src` holds {train,dev,test}_sent_emo.csv and, in a
folder of FOLDERS, the clips dia<D>_utt<U>.mp4 of each split. Ids repeat across splits, so here they
end in the split: dia0_utt0-train. Some rows have the season, episode, start and end of another row,
also of another split: `duplicates` returns them, and none is excluded.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Iterator

import numpy as np

from serdesc.config import PrepareConfig
from serdesc.data import audio, recording, release
from serdesc.data.corpora import Published, Rejected
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import atomic_path

FOLDERS = {
    "train": ("train_splits", "train"),
    "dev": ("dev_splits_complete", "dev"),
    "test": ("output_repeated_splits_test", "test"),
}
EMOTIONS = {
    "neutral": "neutral",
    "joy": "happy",
    "anger": "angry",
    "surprise": "surprised",
    "sadness": "sad",
    "disgust": "disgusted",
    "fear": "fearful",
}
# The CSVs have only the name of the character. The sex of the six leads is the actor's; that of the
# others is unknown.
LEADS = {
    "Chandler": "male",
    "Joey": "male",
    "Ross": "male",
    "Monica": "female",
    "Phoebe": "female",
    "Rachel": "female",
}
PUBLISHED = Published(
    sessions={"train": 9988, "dev": 1108, "test": 2610},
    emotions={
        "neutral": 6434,
        "happy": 2308,
        "surprised": 1636,
        "angry": 1607,
        "sad": 1002,
        "disgusted": 361,
        "fearful": 358,
    },
    broken_clips={
        "dia125_utt3-train": "broken in the release",
        "dia110_utt7-dev": "broken in the release",
    },
    speakers_in_several_parts=True,
    loose_boundaries=True,
)
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
TIMES = ("Season", "Episode", "StartTime", "EndTime")
CENTRE = 2  # index among six channels (front left, front right, centre, ...): the speech


def utterances(
    src: Path, config: PrepareConfig = PrepareConfig()
) -> Iterator[Utterance | Rejected]:
    for split, names in FOLDERS.items():
        folders = [src / name for name in names if (src / name).is_dir()]
        folder = folders[0] if folders else src / names[0]
        for utt_id, row in _rows(src, split):
            clip = folder / f"{utt_id.removesuffix('-' + split)}.mp4"
            if row["Emotion"] not in EMOTIONS:
                reason = f"label '{row['Emotion']}' is not one of {', '.join(EMOTIONS)}"
                yield Rejected(utt_id, str(clip), reason)
                continue
            speaker = " ".join(row["Speaker"].split())
            yield Utterance(
                utt_id,
                str(clip),
                re.sub(r"\W+", "_", speaker),
                text=" ".join(row["Utterance"].split()),
                session=split,
                emotion=EMOTIONS[row["Emotion"]],
                gender=LEADS.get(speaker),
            )


def _rows(src: Path, split: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Id and row of each line of a split's table."""
    table = src / f"{split}_sent_emo.csv"
    if not table.exists():
        raise UserError(
            f"{table}: missing. Give the folder that holds MELD's three *_sent_emo.csv and the"
            " unpacked clips"
        )
    for row in release.rows(table, COLUMNS):
        yield f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}-{split}", row


def duplicates(src: Path) -> list[list[str]]:
    """Groups of ids with the same season, episode, start and end: 30 pairs in the release."""
    same: dict[tuple[str, ...], list[str]] = {}
    for split in FOLDERS:
        for utt_id, row in _rows(src, split):
            if all(row.get(column) for column in TIMES):
                same.setdefault(tuple(row[column] for column in TIMES), []).append(utt_id)
    return [ids for ids in same.values() if len(ids) > 1]


def convert(utt: Utterance, folder: Path) -> Utterance:
    """The speech channel of a clip as 16 kHz FLAC in `folder`. Raises AudioError.

    The FLAC's comment has path, size and modification time of its clip. An existing FLAC is used if
    they agree, or if the path agrees and the clip was removed.
    """
    import soundfile
    import soxr

    target, clip = folder / f"{utt.utt_id}.flac", Path(utt.wav)
    comment = recording.comment(target)
    if clip.exists():
        source = f"{clip} {clip.stat().st_size} {clip.stat().st_mtime_ns}"
        current = comment == source
    else:
        source = ""
        current = comment is not None and comment.rsplit(" ", 2)[0] == str(clip)
    if not current:
        wave, rate = decode(clip)
        with (
            atomic_path(target) as temporary,
            soundfile.SoundFile(
                temporary, "w", audio.SAMPLE_RATE, 1, format="FLAC", subtype="PCM_16"
            ) as file,
        ):
            file.comment = source
            file.write(soxr.resample(wave, rate, audio.SAMPLE_RATE))
    return replace(utt, wav=str(target))


def decode(path: Path) -> tuple[np.ndarray, int]:
    """(S,) float32 samples of the speech channel, and the rate in Hz. Raises AudioError."""
    samples, rate = recording.read(path)
    if samples.shape[1] > CENTRE:
        return samples[:, CENTRE], rate
    return samples.mean(axis=1), rate
