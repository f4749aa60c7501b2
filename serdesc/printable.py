"""Texts of others on the terminal: control characters are shown and not obeyed."""

from __future__ import annotations

import unicodedata

KEPT = "\n\t"
_DIRECTIONS = range(0x202A, 0x202F), range(0x2066, 0x206A), range(0x200E, 0x2010)


def printable(text: str) -> str:
    """The text with control characters, and those that change its direction, written as \\x1b."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    code = ord(character)
    turns = any(code in codes for codes in _DIRECTIONS)
    if character in KEPT or not (turns or unicodedata.category(character) == "Cc"):
        return character
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
