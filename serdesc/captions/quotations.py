"""Quotations of a caption: spoken words, stressed words, or values, as in `emotion: "sad"`.

Marks of several languages are known, also mixed („hallo dort“, “hello there").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from serdesc.captions import vocabulary as vocab

Span = tuple[int, int]  # [start, end) in characters


@dataclass(frozen=True)
class Quote:
    """A quotation: positions with and without the marks, and what its words are."""

    start: int
    end: int
    inner: Span
    text: str
    stressed: bool = False
    value: bool = False  # of a field: neither speech nor stressed


@dataclass(frozen=True)
class Quotations:
    """What was said and stressed, with positions, and the rest of the caption."""

    transcript: str | None
    transcript_span: Span
    emphasis: tuple[str, ...]
    emphasis_span: Span
    rest: str  # as long as the caption: commas and spaces replace quotations


def read(caption: str) -> Quotations:
    """The transcript and the stressed words of a caption.

    A transcript after its name (`Transcript: hello there`) goes before quotations elsewhere.
    """
    rest = caption.replace('\\"', ' "')
    label = vocab.TRANSCRIPT.search(rest)
    named = None
    if label and not label["text"].startswith(tuple(vocab.QUOTATION_MARKS)):
        named = label.span("text")
        rest = rest[: named[0]] + _blank(named[1] - named[0]) + rest[named[1] :]
    emphasis: list[str] = []
    emphasis_span = (0, 0)
    spoken: list[Quote] = []
    for quote in quotes(rest):
        if quote.value:
            rest = f"{rest[: quote.start]} {quote.text} {rest[quote.end :]}"
            continue
        rest = rest[: quote.start] + _blank(quote.end - quote.start) + rest[quote.end :]
        if quote.stressed:
            emphasis_span = emphasis_span if emphasis else quote.inner
            emphasis.append(quote.text.strip(" .,;:!?"))
        elif label and not named and quote.start == label.start("text"):
            spoken = [quote]
        elif not spoken or _continues(caption, spoken[-1], quote):
            spoken.append(quote)
    transcript, span = None, (0, 0)
    if named:
        transcript, span = caption[slice(*named)].strip(), named
    elif spoken:
        transcript = " ".join(quote.text.strip() for quote in spoken).removesuffix(",")
        span = spoken[0].inner[0], spoken[-1].inner[1]
    return Quotations(transcript, span, tuple(emphasis), emphasis_span, rest)


def quotes(caption: str) -> Iterator[Quote]:
    """The quotations of a caption, from left to right."""
    last: Quote | None = None
    for start, end, inner in _marked(caption):
        text = caption[slice(*inner)]
        before = caption[last.end if last else 0 : start].lower()
        after = caption[end:].lower()
        joined = last and last.stressed and before.strip() in ("and", ",", "or", "&")
        introduced = vocab.STRESS_BEFORE.search(before) and not vocab.SPEECH_BEFORE.search(before)
        stressed = joined or introduced or vocab.STRESS_AFTER.search(after)
        is_value = vocab.VALUE_BEFORE.search(before) and vocab.VALUE.fullmatch(text.lower().strip())
        short = len(text.split()) <= 3
        last = Quote(start, end, inner, text, bool(short and stressed), bool(short and is_value))
        yield last


def without_transcript(caption: str) -> str:
    """The caption without its quotations of speech; stressed words and values stay."""
    for quote in reversed(list(quotes(caption))):
        if not quote.stressed and not quote.value:
            caption = caption[: quote.start] + caption[quote.end :]
    return caption


def _marked(caption: str) -> Iterator[tuple[int, int, Span]]:
    """Start, end and inner span of each pair of marks; at the end a mark may be unpaired.

    It is, if the caption was cut off, which then ends without a full stop.
    """
    position = 0
    while opening := vocab.OPENING.search(caption, position):
        start, first = opening.span()
        position = first
        mark = opening[0]
        if mark in "'‘":
            if match := vocab.SINGLE_QUOTED.match(caption, start):
                position = match.end()
                yield start, position, match.span("text")
        elif (end := _closing(caption, first, mark)) >= 0:
            position = end + 1
            yield start, position, (first, end)
        elif caption[first:].strip() and not caption.rstrip().endswith(vocab.FINAL):
            position = len(caption)
            yield start, position, (first, position)


def _closing(caption: str, first: int, mark: str) -> int:
    """Position of the mark that closes a quotation; -1 without one.

    Marks are tried in order. One that is behind a second opening, or behind a single straight mark,
    belongs to another quotation.
    """
    for marks in vocab.QUOTATION_MARKS[mark]:
        ends = [end for end in (caption.find(one, first) for one in marks) if end >= 0]
        if ends:
            between = caption[first : min(ends)]
            if mark not in between and not (mark != '"' and between.count('"') % 2):
                return min(ends)
    return -1


def _blank(length: int) -> str:
    """A comma at both ends, where quotations separate clauses."""
    return "," if length == 1 else "," + " " * (length - 2) + ","


def _continues(caption: str, first: Quote, second: Quote) -> bool:
    """Whether two quotations are parts of one utterance."""
    between = caption[first.end : second.start].lower()
    return bool(second.text.strip(" .,") and vocab.SPEECH_BETWEEN.fullmatch(between))
