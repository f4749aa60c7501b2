"""One module a corpus, named as `serdesc prepare` names it.

utterances(src, config)     what the corpus says of itself: utterances, and what it cannot use, as Rejected
make(src, config, nj)       optional: makes a corpus that is not downloaded
convert(utt, folder)        optional: audio that libsndfile cannot read, into `folder`; returns the utterance with its new wav
duplicates(src)             optional: groups of ids to which the release itself gives the same sound
identity(utt_id)            optional: session, speaker and sex that an id tells
EMOTIONS                    optional: the release's labels and ours, or ours alone: serdesc check finds what lies outside
KNOWN                       optional: what is published of the corpus, for serdesc check
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping

from serdesc import plugins

__path__ += plugins.folders("corpora")


@dataclass(frozen=True)
class Rejected:
    utt_id: str
    path: str
    reason: str


@dataclass(frozen=True)
class Known:
    """What is published of a corpus. Counts are of the utterances with one of `labels` (all where it is empty)."""

    labels: tuple[str, ...] = ()
    sessions: Mapping[str, int] = field(default_factory=dict)
    emotions: Mapping[str, int] = field(default_factory=dict)
    speakers: int | None = None
    total: int | None = None  # utterances
    not_at_hand: tuple[
        str, ...
    ] = ()  # reasons to reject that a part of the corpus has; where there are some, a part is no fault
    bad: Mapping[str, str] = field(default_factory=dict)  # clips that are broken in the release
    speakers_in_several_parts: bool = False  # the official split has them
    loose_times: bool = False  # clips are cut so loosely that a text may not fit its sound


SUFFIXES = (".wav", ".flac", ".opus", ".ogg", ".mp3")


def audio_beside(path: Path, stem: str) -> Path:
    """The audio file of that name in the folder of `path`; the first suffix's name where there is none."""
    candidates = [
        path.with_name(stem + suffix) for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES))
    ]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])
