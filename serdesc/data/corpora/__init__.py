"""One module a corpus, named as `serdesc prepare` names it.

utterances(src, config)     what the corpus says of itself: utterances, and what it cannot use, as Rejected
make(src, config, nj)       optional: makes a corpus that is not downloaded
convert(utt, folder)        optional: audio that libsndfile cannot read, into `folder`; returns the utterance with its new wav
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rejected:
    utt_id: str
    path: str
    reason: str


SUFFIXES = (".wav", ".flac", ".opus", ".ogg", ".mp3")


def audio_beside(path: Path, stem: str) -> Path:
    """The audio file of that name in the folder of `path`; the first suffix's name where there is none."""
    candidates = [path.with_name(stem + suffix) for suffix in SUFFIXES]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])
