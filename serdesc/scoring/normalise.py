"""Text normalisation of transcripts for WER and CER, the same for reference and hypothesis.

`scoring.normaliser` names one; a score's signature has its name.

words-4   NFKC; lower case; each Chinese character is a word; tags and fillers removed; numbers in
          words; apostrophes retained inside words, every other mark of punctuation replaced by a
          space. Combining marks belong to words (words-3 replaced them, which cut Hindi words).
whisper   that of OpenAI's Whisper, by the package whisper-normalizer: the English one with its
          spelling map where scoring.language is en, else the basic one with letters apart
none      split at white space, as jiwer does by default
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.metadata import version
from typing import Callable

from serdesc.config import ScoringConfig
from serdesc.errors import UserError

_TAG = re.compile(r"\[[^\]]*\]|<[^>]*>")  # [LAUGHTER], <COMMA>
_NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:(?:st|nd|rd|th)\b)?")
_MARKS = {"%": " percent ", "&": " and ", "@": " at "}
_HAN = re.compile(r"([\u3400-\u9fff])")
_BESIDE_HAN = re.compile(r"(?<=[\u3400-\u9fff]) | (?=[\u3400-\u9fff])")
_OUTER_APOSTROPHE = re.compile(r"(?<![^\s'])'|'(?![^\s'])")
_COMBINING = ("Mn", "Mc")  # accents, vowel signs
_BREAKS = "\u200b"  # of the invisible characters (Cf), the one that separates words
MAX_DIGITS = 30  # longer digit strings are read digit by digit
FILLERS = frozenset("uh uhh um umm eh er erm hm hmm mm mmm mhm ah aah huh".split())


def split(text: str, config: ScoringConfig) -> list[str]:
    """The words of a transcript by the configured normaliser.

    Raises UserError if its package is not installed.
    """
    if config.normaliser == "words-4":
        return words(text)
    return (_whisper(config.language)(text) if config.normaliser == "whisper" else text).split()


def signed(config: ScoringConfig) -> dict[str, str]:
    """The name of the normaliser, for signatures; of Whisper's with the package's version."""
    if config.normaliser != "whisper":
        return {"normaliser": config.normaliser}
    kind = "english" if config.language == "en" else "basic"
    return {"normaliser": f"whisper {kind} {version('whisper-normalizer')}"}


@cache
def _whisper(language: str) -> Callable[[str], str]:
    try:
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError:
        raise UserError(
            "scoring.normaliser=whisper needs the package whisper-normalizer: "
            'pip install "serdesc[whisper]"'
        ) from None
    normaliser: Callable[[str], str] = EnglishTextNormalizer()
    return normaliser if language == "en" else BasicTextNormalizer(split_letters=True)


def words(text: str) -> list[str]:
    """The words of a transcript by words-4."""
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    plain = plain.replace("i\u0307", "i")  # the lower case of the Turkish capital I with a dot
    plain = _TAG.sub(" ", plain)
    for mark, name in _MARKS.items():
        plain = plain.replace(mark, name)
    plain = _NUMBER.sub(lambda match: f" {_in_words(match[0])} ", plain)
    plain = _OUTER_APOSTROPHE.sub(" ", _letters_and_spaces(plain))
    plain = _HAN.sub(r" \1 ", plain)
    return [word for word in plain.split() if word not in FILLERS]


def _letters_and_spaces(text: str) -> str:
    """Letters, digits, their combining marks and apostrophes; all else is a space.

    Invisible characters (Cf: joiners, soft hyphens, directions) are left out.
    """
    retained = [" "]
    for character in text:
        category = unicodedata.category(character)
        combines = category in _COMBINING and retained[-1] not in " '"
        if character.isalnum() or character == "'" or combines:
            retained.append(character)
        elif category != "Cf" or character in _BREAKS:
            retained.append(" ")
    return "".join(retained)


def characters(text: str, config: ScoringConfig) -> str:
    """The words as one string for CER: spaces between words, none next to a Chinese character."""
    joined = " ".join(split(text, config))
    return joined if config.normaliser == "none" else _BESIDE_HAN.sub("", joined)


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
