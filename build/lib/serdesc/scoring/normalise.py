"""Text normalisation of transcripts for WER and CER, the same for reference and hypothesis."""

from __future__ import annotations

import re
import unicodedata

# NFKC; lower case; each Chinese character is a word; tags and fillers removed; numbers in words;
# apostrophes retained inside words, every other mark replaced by a space.
NAME = "words-3"
_TAG = re.compile(r"\[[^\]]*\]|<[^>]*>")  # [LAUGHTER], <COMMA>
_NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:(?:st|nd|rd|th)\b)?")
_MARKS = {"%": " percent ", "&": " and ", "@": " at "}
_HAN = re.compile(r"([\u3400-\u9fff])")
_BESIDE_HAN = re.compile(r"(?<=[\u3400-\u9fff]) | (?=[\u3400-\u9fff])")
_NOT_A_WORD = re.compile(r"[^\w']+|_|(?<!\w)'|'(?!\w)")
MAX_DIGITS = 30  # longer digit strings are read digit by digit
FILLERS = frozenset("uh uhh um umm eh er erm hm hmm mm mmm mhm ah aah huh".split())


def words(text: str) -> list[str]:
    """The normalised words of a transcript."""
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    plain = _TAG.sub(" ", plain)
    for mark, name in _MARKS.items():
        plain = plain.replace(mark, name)
    plain = _NUMBER.sub(lambda match: f" {_in_words(match[0])} ", plain)
    plain = _HAN.sub(r" \1 ", _NOT_A_WORD.sub(" ", plain))
    return [word for word in plain.split() if word not in FILLERS]


def characters(text: str) -> str:
    """The words as one string for CER: spaces between words, none next to a Chinese character."""
    return _BESIDE_HAN.sub("", " ".join(words(text)))


def _in_words(number: str) -> str:
    """A number in words, no "and": 27 twenty-seven, 3rd third, 1,200 one thousand two hundred."""
    from num2words import num2words

    digits = number.replace(",", "")
    if len(digits) > MAX_DIGITS:
        return " ".join(num2words(int(digit)) for digit in digits if digit.isdigit())
    if digits[-1].isalpha():
        spoken = num2words(int(float(digits[:-2])), to="ordinal")
    else:
        spoken = num2words(float(digits) if "." in digits else int(digits))
    return str(spoken).replace(",", "").replace(" and ", " ")
