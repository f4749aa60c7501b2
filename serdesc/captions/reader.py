"""Fields of captions that serdesc or people wrote: word rules, and the position of each field.

Quotations are separated first and classified as spoken or stressed words. In the rest, pitch,
energy and speed are read from a degree that belongs to a noun ("a low, even pitch", "volume: soft",
"fast-paced", "pitch and energy are both high") or from a word that needs no noun ("loudly").
Gender, age and emotion are read from the first of their words. Negated words ("not loud", "far from
angry") are not read. vocabulary.py has the words and patterns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Iterable, Iterator, Mapping, Sequence

from serdesc.captions import quotations, structured, traits
from serdesc.captions import vocabulary as vocab
from serdesc.captions.fields import Fields, age_group

Span = tuple[int, int]  # [start, end) in characters
Rules = tuple[tuple[str, str], ...]  # (value, pattern of its words)
_WORD = re.compile(r"[^\W\d_]+")
Tokens = list[tuple[str, int, int]]  # word or punctuation mark, start, end
Degree = tuple[str, Span]  # a value and its position


@dataclass(frozen=True)
class Reading:
    """The fields of a caption; `spans` has the position of each field that is present."""

    fields: Fields
    spans: Mapping[str, Span]


LONGEST = 10_000  # characters; captions have hundreds, and a repetition without end is none


def read(response: str) -> Fields:
    """The fields that a response states, its thoughts apart; None for the others.

    A response with JSON is read as that. Of more than LONGEST characters the first are read.
    """
    answer = without_thoughts(response)[:LONGEST]
    if "{" in answer:
        values = structured.read(answer, lambda text: explain(text).fields.to_dict())
        if values is not None:
            return Fields.from_dict(values)
        answer = structured.without_objects(answer)
    return explain(answer).fields


def spans(response: str) -> Mapping[str, Span]:
    """The position in a response of each field that is read from its words, its thoughts apart.

    Empty for a response with JSON, whose keys state the fields.
    """
    answer = without_thoughts(response)
    if "{" in answer and structured.read(answer, lambda text: {}) is not None:
        return {}
    start = response.find(answer) if answer else 0
    if start < 0:
        return {}
    found = explain(answer).spans
    return {name: (first + start, end + start) for name, (first, end) in found.items()}


def without_thoughts(response: str) -> str:
    """A response without the <think> part of reasoning models; all of one that was cut off in it.

    Some chat templates begin the answer inside of the thoughts, so that only their end is written.
    """
    return vocab.THOUGHTS.sub("", response).strip() if "think" in response.lower() else response


def explain(caption: str) -> Reading:
    """The fields that a caption states, with their positions.

    A caption whose words outside quotations are not English has no fields.
    """
    values: dict[str, str] = {}
    spans: dict[str, Span] = {}
    quoted = quotations.read(caption)
    text = quoted.rest
    if len(text.lower()) == len(text):  # spans would be wrong otherwise
        text = text.lower().replace("’", "'")
        for pattern in (vocab.EITHER_PRONOUN, vocab.OF_ITSELF, vocab.NOT_BUT):
            text = _without(pattern, text)
    if not _is_english(text):
        return Reading(Fields(), {})
    if quoted.transcript is not None:
        values["transcript"], spans["transcript"] = quoted.transcript, quoted.transcript_span
    if quoted.emphasis:
        spans["emphasis"] = quoted.emphasis_span
    for name, value, span in _labelled(text):
        values[name], spans[name] = value, span
    text = _blank(text, list(spans.values()))
    for name, value, span in [*_idioms(text), *_degrees(text)]:
        if name not in values:
            values[name], spans[name] = value, span
    text = _blank(text, [span for name, span in spans.items() if name in vocab.SCALES])
    text = _without(vocab.OPTIONS, text)
    scored = _scored_emotions(text)
    if len(scored) > 1:
        if (best := _largest(scored)) and "emotion" not in values:
            values["emotion"], spans["emotion"] = best
        text = _blank(text, [span for _, _, span in scored])
    for name, rules in _STANDALONE_RULES:
        if name not in values and (first := _first(text, rules, negatable=name != "gender")):
            values[name], spans[name] = first
    if "age" not in values and (years := vocab.YEARS.search(text)):
        values["age"] = age_group(float(years["old"] or years["aged"]))
        spans["age"] = years.span()
    trait_values = {}
    for name, trait in traits.by_name().items():
        if first := _first(text, _trait_rules(trait)):
            trait_values[name], spans[name] = first
    fields = Fields(**values, emphasis=quoted.emphasis or None, more=tuple(trait_values.items()))
    return Reading(fields, spans)


def _is_english(text: str) -> bool:
    """Whether a text without its quotations has letters, and not more words of other languages."""
    words = set(_WORD.findall(text))
    others = len(words & vocab.OTHER_LANGUAGES)
    return any(map(str.isascii, words)) and (others < 2 or others <= len(words & vocab.ENGLISH))


# ---- words without a noun ------------------------------------------------------------------------


def _as_rules(table: Iterable[tuple[str, str]]) -> Rules:
    return tuple((value, words.replace(" ", "|")) for value, words in table if words)


def _standalone_rules() -> Iterator[tuple[str, Rules]]:
    """Fields and their rules, in order of priority."""
    yield "emotion", _as_rules(vocab.EMOTION_WORDS.items())
    yield "emotion", _as_rules(vocab.WEAK_EMOTION_WORDS.items())
    yield "age", vocab.AGE_PATTERNS
    yield "gender", vocab.GENDER_PATTERNS
    yield "gender", vocab.PRONOUN_PATTERNS
    for axis, scale in vocab.SCALES.items():
        yield axis, _as_rules(zip(scale, vocab.STANDALONE[axis]))


_STANDALONE_RULES = list(_standalone_rules())
_EMOTION_RULES = next(rules for name, rules in _STANDALONE_RULES if name == "emotion")


def _trait_rules(trait: traits.Trait) -> Rules:
    return tuple(
        (value, "|".join(map(re.escape, phrases))) for value, phrases in trait.phrases.items()
    )


def _blank(text: str, spans: Sequence[Span]) -> str:
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _without(pattern: re.Pattern[str], text: str) -> str:
    return _blank(text, [match.span() for match in pattern.finditer(text)])


def _negated(text: str, position: int) -> bool:
    return bool(vocab.NEGATION.search(text[:position]))


def _first(text: str, rules: Rules, negatable: bool = True) -> Degree | None:
    """The value of the first word that is not negated; at one position the first rule wins."""
    for match in _pattern(rules).finditer(text):
        if not (negatable and _negated(text, match.start())):
            return rules[int(str(match.lastgroup)[1:])][0], match.span()
    return None


@cache
def _pattern(rules: Rules) -> re.Pattern[str]:
    """All rules in one pattern: three times as fast as one search a rule."""
    groups = [f"(?P<r{i}>{words})" for i, (_, words) in enumerate(rules)]
    return re.compile(rf"\b(?:{'|'.join(groups)})\b")


# ---- idioms --------------------------------------------------------------------------------------

_ALL_IDIOMS = [words for rules in vocab.IDIOMS.values() for words, _ in rules]
_ANY_IDIOM = re.compile(rf"\b(?:{'|'.join(_ALL_IDIOMS)})\b")


def _idioms(text: str) -> Iterator[tuple[str, str, Span]]:
    """Field, value and position of each idiom; an idiom for an emotion cannot be negated."""
    if _ANY_IDIOM.search(text):
        for name, rules in vocab.IDIOMS.items():
            for words, value in rules:
                match = re.search(rf"\b(?:{words})\b", text)
                if match and (name == "emotion" or not _negated(text, match.start())):
                    yield name, value, match.span()
    for match in vocab.NEITHER.finditer(text):
        first = next(word for word in match.groups()[:3] if word)
        for axis, scale in vocab.SCALES.items():
            if match[5]:
                is_axis = match[5] in vocab.NOUNS[axis].split()
            else:
                is_axis = axis != "pitch"
            ends = [_rank(axis, first), _rank(axis, match[4])]
            if is_axis and sorted(map(str, ends)) == ["0", "2"]:
                yield axis, scale[1], match.span()


def _rank(axis: str, word: str) -> int | None:
    """0, 1 or 2 for a degree of the axis, from the lowest value to the highest."""
    for rank, words in enumerate(vocab.DEGREES[axis]):
        if word in words.split():
            return rank
    return None


# ---- candidates ----------------------------------------------------------------------------------


def _scored_emotions(text: str) -> list[tuple[float, str, Span]]:
    """Number, emotion and position of each emotion with a number: "happy (10%), sad: 0.9"."""
    scored = []
    for match in _pattern(_EMOTION_RULES).finditer(text):
        if number := vocab.SCORE.match(text, match.end()):
            value = _EMOTION_RULES[int(str(match.lastgroup)[1:])][0]
            scored.append((float(number[1]), value, match.span()))
    return scored


def _largest(scored: Sequence[tuple[float, str, Span]]) -> Degree | None:
    """The emotion of the largest number; None if another has the same."""
    number, value, span = max(scored)
    rivals = {other for n, other, _ in scored if n == number}
    return (value, span) if len(rivals) == 1 else None


# ---- one field a line ----------------------------------------------------------------------------


def _labelled(text: str) -> Iterator[tuple[str, str, Span]]:
    """Axis, value and position of each `pitch: high`, as answers in lines or lists state them."""
    found: dict[str, tuple[str, Span]] = {}
    for match in vocab.LABELLED.finditer(text):
        axis = _AXIS_OF[match["noun"]]
        value = _VALUE_OF[axis].get(match["value"])
        if value is not None:
            found.setdefault(axis, (value, match.span()))
    for axis, (value, span) in found.items():
        yield axis, value, span


# ---- degrees of nouns ----------------------------------------------------------------------------

_TOKEN = re.compile(rf"[a-z']+|[,;:.!?=–—()|/]|{vocab.NEW_ITEM}")
_AXIS_OF = {noun: axis for axis, nouns in vocab.NOUNS.items() for noun in nouns.split()}


def _values_of_degrees(axis: str) -> dict[str, str]:
    values = {}
    for value, words in zip(vocab.SCALES[axis], vocab.DEGREES[axis]):
        values.update(dict.fromkeys(words.split(), value))
    return values


_VALUE_OF = {axis: _values_of_degrees(axis) for axis in vocab.SCALES}


def _degrees(text: str) -> Iterator[tuple[str, str, Span]]:
    """Axis, value and position of each noun that has a degree.

    The degree is before the noun, shared with the noun before it, or after the noun.
    """
    tokens = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)]
    nouns = [i for i, (word, _, _) in enumerate(tokens) if word in _AXIS_OF]
    degrees: dict[int, Degree] = {}  # index of a noun -> its degree
    for i in nouns:
        if degree := _degree_before(text, tokens, i):
            degrees[i] = degree
    for i in nouns:  # "a low pitch and energy"
        partner = _partner(tokens, i, degrees)
        if i not in degrees and partner in degrees and not _degree_after(text, tokens, i):
            degrees[i] = _shared_degree(tokens, partner, i, degrees[partner])
    for i in reversed(nouns):  # "pitch is high", "pitch and energy are high"
        if i not in degrees and (degree := _degree_after(text, tokens, i)):
            degrees[i] = degree
    for i in nouns:
        if i in degrees:
            yield _AXIS_OF[tokens[i][0]], *degrees[i]


def _partner(tokens: Tokens, i: int, degrees: Mapping[int, Degree]) -> int:
    """Index of the noun whose degree noun i may share; -1 if there is none."""
    if [word for word, _, _ in tokens[i + 1 : i + 3]] == ["as", "well"]:
        return max((j for j in degrees if j < i), default=-1)  # "pitch is normal, speed as well"
    if tokens[i - 1][0] in ("and", ",", "as", "or"):
        return i - 2
    if len(tokens) > 1 and tokens[i - 2][0] == ",":
        return i - 3
    return -1


def _value(word: str, noun: str) -> str | None:
    """The value that a word gives to the axis of a noun."""
    if noun in vocab.AMBIGUOUS_NOUNS and word not in vocab.AMBIGUOUS_NOUNS[noun].split():
        return None
    return _VALUE_OF[_AXIS_OF[noun]].get(word)


def _degree_before(text: str, tokens: Tokens, i: int) -> Degree | None:
    """The degree at most four tokens before noun i."""
    noun = tokens[i][0]
    for j in range(i - 1, max(-1, i - 5), -1):
        word = tokens[j][0]
        if (value := _value(word, noun)) is not None:
            if _negated(text, tokens[j][1]):
                return None
            return value, (tokens[j][1], tokens[i][2])
        comma = word == "," and j == i - 2 and tokens[i - 1][0] not in vocab.ARTICLES
        modifier = j == i - 1 and word.isalpha() and word not in _AXIS_OF
        if word not in vocab.BETWEEN and not comma and not modifier:
            return None
        if word in ("and", "with") and j != i - 2:
            return None
    return None


def _shared_degree(tokens: Tokens, partner: int, i: int, degree: Degree) -> Degree:
    """The degree of the partner, on the axis of noun i."""
    partner_axis, axis = _AXIS_OF[tokens[partner][0]], _AXIS_OF[tokens[i][0]]
    value, (start, _) = degree
    return vocab.SCALES[axis][vocab.SCALES[partner_axis].index(value)], (start, tokens[i][2])


def _degree_after(text: str, tokens: Tokens, i: int) -> Degree | None:
    """The degree at most eleven tokens after noun i."""
    noun = tokens[i][0]
    for j in range(i + 1, min(len(tokens), i + 12)):
        word = tokens[j][0]
        before_noun = j + 1 < len(tokens) and tokens[j + 1][0] in _AXIS_OF
        if (value := _value(word, noun)) is not None:
            if before_noun or _negated(text, tokens[j][1]):  # it belongs to the next noun
                return None
            return value, (tokens[i][1], tokens[j][2])
        connects = word in vocab.LINKS or word in ("and", ",", "in", "to", "up")
        if not connects and word not in _AXIS_OF:
            return None
        if word == "," and not before_noun:
            return None
    return None
