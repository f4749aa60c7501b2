"""One module a corpus, named as `serdesc prepare` names it: `utterances(src)` yields what the corpus says of itself."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".wav", ".flac", ".opus", ".ogg", ".mp3")


def audio_beside(path: Path, stem: str) -> Path:
    """The audio file of that name in the folder of `path`; the first suffix's name where there is none."""
    candidates = [path.with_name(stem + suffix) for suffix in SUFFIXES]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])
