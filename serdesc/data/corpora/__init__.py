"""One module a corpus, with the name that `serdesc prepare` takes.

utterances(src, config)     the corpus's utterances, and those that cannot be used, as Rejected
make(src, config, nj)       optional: generates a corpus that is not downloaded
convert(utt, folder)        optional: writes audio of another kind than speech into `folder`;
                            returns the utterance with its new wav
unpack(utts, config, folder, nj)
                            optional: writes audio that is inside of other files to files, in
                            `folder` if the configuration names no other; replaces utterances in
                            the list by those with their new wav
duplicates(src)             optional: groups of ids for which the release has the same audio
identity(utt_id)            optional: session, speaker and sex that an id contains
EMOTIONS                    optional: the release's labels -> serdesc's, or a list of serdesc's;
                            serdesc check reports others
OF_FILE                     optional: the source may be a file
PUBLISHED                   optional: published facts of the corpus, for serdesc check
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Iterable, Mapping

from serdesc import plugins

__path__ += plugins.folders("corpora")


@dataclass(frozen=True)
class Rejected:
    """An utterance that cannot be used."""

    utt_id: str
    path: str
    reason: str


@dataclass(frozen=True)
class Published:
    """Published facts of a corpus. Counts are of utterances with one of `labels` (or of all)."""

    labels: tuple[str, ...] = ()
    sessions: Mapping[str, int] = field(default_factory=dict)  # session -> utterances
    emotions: Mapping[str, int] = field(default_factory=dict)  # emotion -> utterances
    speakers: int | None = None
    total: int | None = None  # utterances
    # Reasons why utterances are rejected if only a subset was downloaded. With such reasons a
    # smaller total is no error.
    reasons_of_subsets: tuple[str, ...] = ()
    broken_clips: Mapping[str, str] = field(default_factory=dict)  # id -> defect in the release
    speakers_in_several_parts: bool = False  # in the official split
    loose_boundaries: bool = False  # a transcript may be longer than its clip
    prepared_only: bool = False  # check does not read the audio again after prepare: too much


_FORMER_FIELDS = {
    "not_at_hand": "reasons_of_subsets",
    "bad": "broken_clips",
    "loose_times": "loose_boundaries",
}


def Known(**facts: Any) -> Published:
    """Published, with the names of version 0.1: plug-ins may use them."""
    return Published(**{_FORMER_FIELDS.get(name, name): value for name, value in facts.items()})


def published(module: ModuleType | None) -> Published:
    """The published facts of a corpus module; its KNOWN if it was written for version 0.1."""
    for name in ("PUBLISHED", "KNOWN"):
        facts = getattr(module, name, None)
        if isinstance(facts, Published):
            return facts
    return Published()


SUFFIXES = (".wav", ".flac", ".opus", ".ogg", ".mp3", ".m4a", ".sph")


def named(paths: Iterable[Path], name: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """Audio files whose stems a pattern matches, by path; of equal stems the last."""
    found = {}
    for path in sorted(paths):
        match = name.fullmatch(path.stem)
        if match and path.suffix.lower() in SUFFIXES:
            found[path.stem] = path, match
    return list(found.values())


def audio_beside(path: Path, stem: str) -> Path:
    """The audio file `stem` in the folder of `path`; with the first suffix if there is none."""
    suffixes = (*SUFFIXES, *map(str.upper, SUFFIXES))
    candidates = [path.with_name(stem + suffix) for suffix in suffixes]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    return candidates[0]
