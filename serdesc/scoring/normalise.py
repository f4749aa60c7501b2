"""Transcripts as words to compare: the same on both sides."""

from __future__ import annotations

import re
import unicodedata

# NFKC; lower case; a Chinese character a word; tags and fillers left out; numbers in words; apostrophes kept inside words, every other mark a space
NAME = "words-3"
_TAG = re.compile(r"\[[^\]]*\]|<[^>]*>")  # [LAUGHTER], <COMMA>
_NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:(?:st|nd|rd|th)\b)?")
_MARKS = {"%": " percent ", "&": " and ", "@": " at "}
_HAN = re.compile(r"([\u3400-\u9fff])")
_BESIDE_HAN = re.compile(r"(?<=[\u3400-\u9fff]) | (?=[\u3400-\u9fff])")
_NOT_A_WORD = re.compile(r"[^\w']+|_|(?<!\w)'|'(?!\w)")
LONGEST = 30  # digits that are read as one number
FILLERS = frozenset("uh uhh um umm eh er erm hm hmm mm mmm mhm ah aah huh".split())


def words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    plain = _TAG.sub(" ", plain)
    for mark, said in _MARKS.items():
        plain = plain.replace(mark, said)
    plain = _NUMBER.sub(lambda match: f" {_said(match[0])} ", plain)
    return [
        word
        for word in _HAN.sub(r" \1 ", _NOT_A_WORD.sub(" ", plain)).split()
        if word not in FILLERS
    ]


def characters(text: str) -> str:
    """The words as one string, as CER compares it: spaces between words that are written with them, none beside a Chinese character."""
    return _BESIDE_HAN.sub("", " ".join(words(text)))


def _said(number: str) -> str:
    """A number in words, without "and": 27 twenty-seven, 3rd third, 1,200 one thousand two hundred."""
    from num2words import num2words

    digits = number.replace(",", "")
    if len(digits) > LONGEST:  # nobody says it as one number
        return " ".join(num2words(int(digit)) for digit in digits if digit.isdigit())
    if digits[-1].isalpha():
        spoken = num2words(int(float(digits[:-2])), to="ordinal")
    else:
        spoken = num2words(float(digits) if "." in digits else int(digits))
    return str(spoken).replace(",", "").replace(" and ", " ")
