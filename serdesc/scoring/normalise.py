"""Transcripts as words to compare: the same on both sides."""

from __future__ import annotations

import re
import unicodedata

NAME = "basic-2"  # lower case, NFKC, apostrophes kept inside words, every other punctuation mark a space, a Chinese character a word
_HAN = re.compile(r"([\u3400-\u9fff])")
_NOT_A_WORD = re.compile(r"[^\w']+|_|(?<!\w)'|'(?!\w)")


def words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    return _HAN.sub(r" \1 ", _NOT_A_WORD.sub(" ", plain)).split()
