"""Transcripts as words to compare: the same on both sides."""

from __future__ import annotations

import re
import unicodedata

NAME = "basic-1"  # lower case, NFKC, apostrophes kept inside words, every other punctuation mark a space
_NOT_A_WORD = re.compile(r"[^\w']+|_|(?<!\w)'|'(?!\w)")


def words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    return _NOT_A_WORD.sub(" ", plain).split()
