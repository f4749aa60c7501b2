"""Rows and curves in few bytes: lists in place of objects, numbers in place of repeated words.

unpack.js is the inverse. `tables` has what the numbers stand for:

    columns   names of the entries of a row      fields     names of the claims
    values    field -> its values                emotions   of posteriors
    methods   how sound was measured             speakers, audio (the common beginning of its paths)
"""

from __future__ import annotations

import base64
import os
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

Row = dict[str, Any]
ABSENT = -1
COLUMNS = (
    "id spk fold sec cap spans hyp post ref refcap refspans right words sound audio rec start other"
).split()
TEXTS = ("transcript", "emphasis")  # fields without a closed set of values
CURVES = ("f0", "level", "rate", "peaks")


class Packer:
    """Tables of all rows of a page, and the packed form of each."""

    def __init__(self, rows: Sequence[Row]) -> None:
        answers = [*rows, *(row["other"] for row in rows if "other" in row)]
        stated = [one.get(part, {}) for one in answers for part in ("hyp", "ref")]
        names = _distinct(name for values in stated for name in values)
        self.fields = [*TEXTS, *(name for name in names if name not in TEXTS)]
        self.values: dict[str, list[str]] = {name: [] for name in self.fields[len(TEXTS) :]}
        for name, known in self.values.items():
            known += sorted(_distinct(values[name] for values in stated if name in values))
        self.emotions = sorted(_distinct(name for one in answers for name in one.get("post", ())))
        self.methods = _distinct(how for row in rows for _, _, how in _measures(row))
        self.speakers = _distinct(row.get("spk", "") for row in rows)
        self.audio = os.path.commonprefix([row["audio"] for row in rows if row.get("audio")])

    def tables(self) -> dict[str, Any]:
        """What the page needs to unpack rows."""
        names = "fields values emotions methods speakers audio".split()
        return {"columns": COLUMNS, **{name: getattr(self, name) for name in names}}

    def row(self, row: Row) -> list[Any]:
        """The entries of a row in the order of COLUMNS; those at the end that are absent left out.

        A value that is absent is 0.
        """
        packed = {**row, **self._answer(row)}
        packed["spk"] = self.speakers.index(row.get("spk", ""))
        packed["audio"] = row["audio"][len(self.audio) :] if row.get("audio") else 0
        if "ref" in row:
            spans = row.get("refspans", {})
            packed["ref"] = self._stated(row["ref"], row.get("refcap", ""), spans)
            packed["refspans"] = self._spans(spans)
        if "words" in row:
            packed["words"] = _runs(row["words"])
        packed["sound"] = self._sound(row)
        if "other" in row:
            other = {**row["other"], **self._answer(row["other"])}
            packed["other"] = [
                other.get(name, 0) for name in ("cap", "spans", "hyp", "post", "right", "wer")
            ]
        entries = [packed.get(name, 0) for name in COLUMNS]
        while entries and entries[-1] in (0, []):
            entries.pop()
        return entries

    def _answer(self, row: Row) -> Row:
        packed: Row = {
            "spans": self._spans(row["spans"]),
            "hyp": self._stated(row["hyp"], row["cap"], row["spans"]),
        }
        if "post" in row:
            packed["post"] = [row["post"].get(name, 0) for name in self.emotions]
        if "right" in row:
            packed["right"] = "".join(str(row["right"].get(name, "-")) for name in self.fields)
        return packed

    def _stated(self, values: Row, caption: str, spans: Mapping[str, Sequence[int]]) -> list[Any]:
        """Values in the order of `fields`; a transcript that is the words of its span is 1."""
        stated: list[Any] = []
        for name in self.fields:
            if name not in values:
                stated.append(ABSENT)
            elif name in self.values:
                stated.append(self.values[name].index(values[name]))
            elif name in spans and values[name] == _at(caption, spans[name]):
                stated.append(1)
            else:
                stated.append(values[name])
        return stated

    def _spans(self, spans: Mapping[str, Sequence[int]]) -> list[int]:
        """Field, start and length of each span."""
        packed: list[int] = []
        for name, (start, end) in spans.items():
            if name in self.fields:
                packed += [self.fields.index(name), start, end - start]
        return packed

    def _sound(self, row: Row) -> list[Any]:
        """Field, text, value and method of each measure."""
        packed: list[Any] = []
        for name, (text, value, how) in zip(_measured_fields(row), _measures(row)):
            known = self.values.get(name, [])
            number = known.index(value) if value in known else value
            packed += [self.fields.index(name) if name in self.fields else name]
            packed += [text, number, self.methods.index(how)]
        return packed


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _measures(row: Row) -> list[list[str]]:
    return [entry for entries in row.get("sound", {}).values() for entry in entries]


def _measured_fields(row: Row) -> list[str]:
    return [name for name, entries in row.get("sound", {}).items() for _ in entries]


def _at(caption: str, span: Sequence[int]) -> str:
    """The words of a span in UTF-16 units."""
    units = caption.encode("utf-16-le", "surrogatepass")[2 * span[0] : 2 * span[1]]
    return units.decode("utf-16-le", "replace")


def _runs(pairs: Sequence[Sequence[str]]) -> list[Any]:
    """Aligned words with runs of equal words as one text."""
    packed: list[Any] = []
    for pair in pairs:
        if len(pair) > 1:
            packed.append(list(pair))
        elif packed and isinstance(packed[-1], str):
            packed[-1] += f" {pair[0]}"
        else:
            packed.append(pair[0])
    return packed


def curves(
    one: Mapping[str, Any], branches: Sequence[str], largest: Mapping[str, float]
) -> list[Any]:
    """Lengths of the curves (CURVES, then the KL of each branch), and their bytes as one base64.

    255 is the largest KL of a branch.
    """
    pieces = [base64.b64decode(one.get(name, "")) for name in CURVES]
    for branch in branches:
        values = one["kl"].get(branch, np.zeros(0))
        codes = np.clip(np.rint(255 * values / largest[branch]), 0, 255)
        pieces.append(codes.astype(np.uint8).tobytes())
    lengths = [len(piece) for piece in pieces]
    packed: list[Any] = [*lengths, base64.b64encode(b"".join(pieces)).decode()]
    return packed + ([one["words"]] if one.get("words") else [])
