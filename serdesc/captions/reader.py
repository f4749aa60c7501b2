"""Fields from captions, serdesc's own and other people's prose: rules over words, and each field with the place it was found at.

First what stands in quotation marks is told apart: spoken, or stressed. In the rest pitch, energy and speed are read where a word of degree
belongs to a noun ("a low, even pitch", "volume: soft", "fast-paced", "pitch and energy are both high") or has its meaning alone ("loudly");
gender, age and emotion where their words stand first. What is denied ("not loud", "far from angry") is not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Iterable, Iterator, Mapping, Sequence

from serdesc.captions import traits
from serdesc.captions.fields import ENERGY, PITCH, SPEED, Fields

Span = tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """What was read, and where: `spans` has [start, end) of each field that is present, in characters of the caption."""

    fields: Fields
    spans: Mapping[str, Span]


# ---- the words ---------------------------------------------------------------------------------------------------------

# axis -> its values from least to most, the nouns that name it, and the degrees that need such a noun
_SCALE = {"pitch": PITCH, "energy": ENERGY, "speed": SPEED}
_NOUNS = {
    "pitch": "pitch pitched pitches tone register",
    "energy": "energy volume loudness intensity vitality vigor vigour spoken",
    "speed": "pace paced speed rate tempo clip",
}
_LOW, _MIDDLE, _HIGH = (
    "low lower lowish little reduced diminished",
    (
        "normal medium moderate average mid middle regular ordinary standard typical usual unremarkable"
    ),
    "high higher elevated great strong heightened increased",
)
_DEGREES = {
    "pitch": (f"{_LOW} deep lowered", f"{_MIDDLE} natural neutral", f"{_HIGH} raised sharp shrill"),
    "energy": (
        f"{_LOW} soft quiet weak faint hushed gentle",
        f"{_MIDDLE} natural",
        f"{_HIGH} loud powerful",
    ),
    "speed": (
        f"{_LOW} slow slower unhurried leisurely sluggish deliberate",
        f"{_MIDDLE} natural steady even conversational",
        f"{_HIGH} fast faster quick rapid brisk swift hurried breakneck speedy hasty",
    ),
}
_ONLY_WITH = {
    "tone": "high low medium",
    "register": "high low medium deep",
    "spoken": "soft quiet loud",
}  # these nouns name more than an axis
# said without a noun
_ALONE = {
    "pitch": ("deep baritone bass", "", "shrill soprano"),
    "energy": (
        r"soft softly quiet quietly hushed faint faintly weak weakly gently whisper\w* murmur\w* mumbl\w*",
        "",
        r"loud loudly booming energetic energetically shout\w* yell\w* scream\w* vigorously",
    ),
    "speed": (
        "slow slowly slower unhurried unhurriedly leisurely sluggish sluggishly",
        "",
        "fast faster quick quickly rapid rapidly brisk briskly swift swiftly hurried hurriedly hurries hasty hastily speedy rattles",
    ),
}
_IDIOMS = {  # clauses that say a value in their own way
    "energy": ((r"rais(?:es|ing|ed) (?:his|her|their|its) voice|cries out", "high"),),
    "speed": ((r"(?:takes|taking) (?:his|her|their) time", "slow"), (r"in a hurry", "fast"), (r"evenly paced", "normal")),
    "pitch": (
        (r"high(?=(?:,? (?:and )?\w+)? voice)|voice is high|pitch (?:\w+ ){0,2}above (?:average|normal)", "high"),
        (r"low(?=(?:,? (?:and )?\w+)? voice)|voice is low|pitch (?:\w+ ){0,2}below (?:average|normal)", "low"),
    ),
    "emotion": (
        (r"(?:no|without|lack\w*|devoid of)(?: of| any| particular| strong| clear| noticeable| real)* (?:emotion|feeling)s?", "neutral"),
        (r"matter-of-fact(?:ly)?|emotionless(?:ly)?|unemotional(?:ly)?", "neutral"),
        (r"close to tears|in tears", "sad"),
    ),
}  # fmt: skip
_EMOTIONS = {
    "angry": "angry anger angrily furious furiously fury irate irritated rage raging enraged mad wrath",
    "calm": "calm calmly calmness composed serene serenity",
    "disgusted": "disgust disgusted disgustedly revolted revulsion",
    "excited": "excited excitedly excitement enthusiastic enthusiastically enthusiasm thrilled",
    "fearful": "fearful fear fearfully afraid scared frightened terrified terror panicked panic anxious anxiously",
    "frustrated": "frustrated frustratedly frustration",
    "happy": "happy happily happiness joy joyful joyfully cheerful cheerfully cheer delighted delight glad pleased",
    "neutral": "neutral neutrally neutrality",
    "sad": r"sad sadly sadness sorrow sorrowful\w* unhappy unhappily melanchol\w+ depressed gloomy grief mourn\w+ sombre somber "
    "disconsolate downcast plaintive plaintively",
    "surprised": "surprised surprisedly surprise surprising astonished astonishment amazed amazement shock shocked",
}
_FAINT = {
    "neutral": "natural naturally naturalness"
}  # an emotion's words where no other emotion is named
_PEOPLE = "woman man lady gentleman guy male female adult person speaker voice presenter"
_AGES = (
    ("teenager", r"teen|teens|teenage|teenaged|teenagers?|adolescent"),
    ("child", r"(?:(?:young|little|small) )?(?:child|kid|girl|boy|toddler)|child's"),
    ("middle-aged", r"middle-aged|middle aged|in (?:his|her|their) (?:forties|fifties)"),
    (
        "elderly",
        rf"elderly|senior|(?:old|older|aged) (?:{_PEOPLE.replace(' ', '|')})|in (?:his|her|their) (?:sixties|seventies|eighties|nineties)",
    ),
    (
        "young adult",
        rf"youth|youthful|young (?:(?:female|male) )?(?:{_PEOPLE.replace(' ', '|')})|in (?:his|her|their) (?:twenties|thirties)",
    ),
)
_GENDERS = (
    ("female", r"wom[ae]n|female|females|lady|ladies|girls?|gender: f"),
    ("male", r"m[ae]n|males?|gentlem[ae]n|guys?|boys?"),
)
_PRONOUNS = (("female", "she|her|hers|herself"), ("male", "he|him|his|himself"))
_EITHER = re.compile(r"\b(?:he|she|his|her|him|hers)(?: or |/)(?:he|she|his|her|him|hers)\b")
_DENIAL = re.compile(
    r"(?:\b(?:not|no|never|nothing|neither|nor|without|hardly|cannot|lacks?|lacking)\b|n't\b)(?:(?!\bbut\b)[^,;:.!?]){0,60}$"
    r"|\b(?:rather than|instead of|far from|less)(?: \w+){0,2} $"
)
_NEITHER = re.compile(
    r"\b(?:neither (\w+) nor|not (\w+) and not|not too (\w+) (?:and|or) not too) (\w+)(?: in (\w+))?"
)


# ---- what stands in quotation marks ---------------------------------------------------------------------------------------

_QUOTED = re.compile(
    r'"(?P<plain>[^"]*)(?:"|(?<!")$)'  # an answer that was cut off has no closing mark
    r"|“(?P<curly>[^”]*)(?:”|$)|«(?P<angle>[^»]*)(?:»|$)|(?<!\w)(?P<mark>['‘])(?P<single>[^\s'‘’](?:[^'’]|['’](?=\w))*)['’](?!\w)"
)
_STRESS_BEFORE = re.compile(
    r"(?:\b(?:emphas|stress|accent|highlight|underlin)\w*|\b(?:weight|attention|prominence|focus)\b)[^.;]{0,40}$"
    r"|(?<!speaking )(?<!saying )(?<!uttering )\bthe words?\s*$"
)
_STRESS_AFTER = re.compile(
    r"^[\s,]*(?:(?:is|are|was|were|being|gets?|clearly|heavily|strongly)\s+)*(?:stressed|emphasi[sz]ed|accented|highlighted|underlined)\b"
    r"|^\s*(?:(?:with|under|receiving|by)\s+)(?:\w+\s+){0,2}(?:stress|emphasis|accent|stressing)\b(?! (?:on|falls|the)\b)"
)
_SAYING = re.compile(
    r"\b(?:says?|said|saying|stat(?:es?|ing)|asks?|announc\w+|repeats?)\b[^.;]{0,20}$"
)
# What stands between two quotes of one speech: "Yes," she said, "I am fine."
_BROKEN_OFF = re.compile(
    r"[\s,;.]*(?:(?:and|then),?\s+)*(?:(?:\w+ ){0,3}(?:says?|said|asks?|asked|add(?:s|ed|ing)|repl(?:y|ies|ied)|continu(?:es?|ed|ing)|shout(?:s|ed)?"
    r"|whisper(?:s|ed)?|cr(?:ies|ied)|repeat(?:s|ed|ing)?)(?: \w+){0,4})?[\s,;.:]*"
)
_TRANSCRIPT = re.compile(r"\btranscript(?:ion)?\s*[:=]\s*(?P<text>[^\n;]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Quote:
    start: int
    end: int
    inner: Span
    text: str
    stressed: bool


def quotes(caption: str) -> list[Quote]:
    """What stands in quotation marks, and whether it is said to be stressed rather than spoken."""
    found: list[Quote] = []
    for match in _QUOTED.finditer(caption):
        kind = next(
            (name for name in ("plain", "curly", "angle", "single") if match[name] is not None),
            "plain",
        )
        text = match[kind]
        before = caption[found[-1].end if found else 0 : match.start()].lower()
        after = caption[match.end() :].lower()
        joined = bool(found) and found[-1].stressed and before.strip() in ("and", ",", "or", "&")
        led = bool(_STRESS_BEFORE.search(before)) and not _SAYING.search(before)
        stressed = len(text.split()) <= 3 and (joined or led or bool(_STRESS_AFTER.search(after)))
        found.append(Quote(match.start(), match.end(), match.span(kind), text, stressed))
    return found


def without_transcript(caption: str) -> str:
    """The caption with what it quotes as spoken taken out; stressed words stay."""
    for quote in reversed(quotes(caption)):
        if not quote.stressed:
            caption = caption[: quote.start] + caption[quote.end :]
    return caption


# ---- the rest --------------------------------------------------------------------------------------------------------------


Rules = tuple[tuple[str, str], ...]  # value, its words as a pattern


def _words(table: Iterable[tuple[str, str]]) -> Rules:
    return tuple((value, words.replace(" ", "|")) for value, words in table if words)


# What names a value by itself, in the order in which it is asked.
_ALONE_RULES: list[tuple[str, Rules]] = [
    ("emotion", _words(_EMOTIONS.items())),
    ("emotion", _words(_FAINT.items())),
    ("age", _AGES),
    ("gender", _GENDERS),
    ("gender", _PRONOUNS),
    *((axis, _words(zip(_SCALE[axis], _ALONE[axis]))) for axis in _SCALE),
]


def read(caption: str) -> Fields:
    """The fields that a caption says; what it does not say is None."""
    return explain(caption).fields


def explain(caption: str) -> Reading:
    """The fields that a caption says, and where it says them."""
    values: dict[str, str] = {}
    spans: dict[str, Span] = {}
    emphasis: list[str] = []
    spoken: list[Quote] = []
    rest = caption
    for quote in quotes(caption):
        rest = (
            rest[: quote.start]
            + ","
            + " " * (quote.end - quote.start - 2)
            + "," * (quote.end - quote.start > 1)
            + rest[quote.end :]
        )
        if quote.stressed:
            emphasis.append(quote.text.strip(" .,;:!?"))
            spans.setdefault("emphasis", quote.inner)
        elif (
            not spoken
            or quote.text.strip(" .,")
            and _BROKEN_OFF.fullmatch(caption[spoken[-1].end : quote.start].lower())
        ):
            spoken.append(quote)
    if spoken:
        values["transcript"] = " ".join(quote.text.strip() for quote in spoken).removesuffix(",")
        spans["transcript"] = spoken[0].inner[0], spoken[-1].inner[1]
    if "transcript" not in values and (labelled := _TRANSCRIPT.search(rest)):
        values["transcript"], spans["transcript"] = labelled["text"].strip(), labelled.span("text")
        rest = (
            rest[: labelled.start()]
            + "," * (labelled.end() - labelled.start())
            + rest[labelled.end() :]
        )
    rest = (
        _EITHER.sub(lambda match: " " * len(match[0]), rest.lower().replace("’", "'"))
        if len(rest.lower()) == len(rest)
        else rest
    )
    if not re.search("[a-z]", rest):  # no word of English: nothing of it is read
        return Reading(Fields(), {})
    for name, value, span in [*_idioms(rest), *_degrees(rest)]:
        if name not in values:
            values[name], spans[name] = value, span
    rest = _blank(rest, [span for name, span in spans.items() if name in _SCALE])
    for name, rules in _ALONE_RULES:
        if name not in values and (found := _first(rest, rules, deniable=name != "gender")):
            values[name], spans[name] = found
    more = {}
    for name, trait in traits.every().items():
        if found := _first(
            rest,
            tuple(
                (value, "|".join(map(re.escape, phrases)))
                for value, phrases in trait.phrases.items()
            ),
        ):
            more[name], spans[name] = found
    return Reading(
        Fields(**values, emphasis=tuple(emphasis) or None, more=tuple(more.items())), spans
    )


def _blank(text: str, spans: Sequence[Span]) -> str:
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _denied(text: str, at: int) -> bool:
    return bool(_DENIAL.search(text[:at]))


def _first(text: str, rules: Rules, deniable: bool = True) -> tuple[str, Span] | None:
    """The value whose words stand first and are not denied; of two at one place the rule that comes first."""
    for match in _pattern(rules).finditer(text):
        if not (deniable and _denied(text, match.start())):
            return rules[int(str(match.lastgroup)[1:])][0], match.span()
    return None


@cache
def _pattern(rules: Rules) -> re.Pattern[str]:
    """All rules in one pattern, which is three times as fast as each by itself."""
    return re.compile(
        rf"\b(?:{'|'.join(f'(?P<r{i}>{words})' for i, (_, words) in enumerate(rules))})\b"
    )


_ANY_IDIOM = re.compile(
    rf"\b(?:{'|'.join(words for rules in _IDIOMS.values() for words, _ in rules)})\b"
)


def _idioms(text: str) -> Iterator[tuple[str, str, Span]]:
    for name, rules in _IDIOMS.items() if _ANY_IDIOM.search(text) else ():
        for words, value in rules:
            if match := re.search(rf"\b(?:{words})\b", text):
                if name == "emotion" or not _denied(text, match.start()):
                    yield name, value, match.span()
    for match in _NEITHER.finditer(text):
        one, other = next(word for word in match.groups()[:3] if word), match[4]
        for axis, scale in _SCALE.items():
            named = match[5] in _NOUNS[axis].split() if match[5] else axis != "pitch"
            sides = [
                next((i for i, words in enumerate(_DEGREES[axis]) if word in words.split()), None)
                for word in (one, other)
            ]
            if named and sorted(str(side) for side in sides) == ["0", "2"]:
                yield axis, scale[1], match.span()


_TOKEN = re.compile(r"[a-z']+|[,;:.!?=–—()|/]")
_AXIS_OF = {noun: axis for axis, nouns in _NOUNS.items() for noun in nouns.split()}
_VALUE_OF = {
    axis: {
        word: scale for scale, words in zip(_SCALE[axis], _DEGREES[axis]) for word in words.split()
    }
    for axis in _SCALE
}
_LINKS = set(
    "is are was were be stays stay remains remain sounds seems being both all very quite rather fairly slightly of a an the her his their".split()
)
_LINKS |= set(
    "voice speech speaker woman man lady during communication well as too = : rising drawn at also speaking".split()
)
_ARTICLES = set("a an the his her their its".split())
_BETWEEN = set(
    "in of speaking speech talking and even steady a an very with voice is level".split()
)  # of a degree and its noun


def _degrees(text: str) -> Iterator[tuple[str, str, Span]]:
    """Nouns that name an axis, each with the degree that belongs to it: before it, shared with its neighbour, or after it."""
    tokens = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)]
    nouns = [i for i, (word, _, _) in enumerate(tokens) if word in _AXIS_OF]
    found: dict[int, tuple[str, Span]] = {}
    for i in nouns:
        if value := _left(text, tokens, i):
            found[i] = value
    for i in nouns:  # "a low pitch and energy": the degree of the noun before
        back = (
            i - 2
            if tokens[i - 1][0] in ("and", ",", "as", "or")
            else i - 3 if tokens[i - 2][0] == "," else -1
        )
        if [word for word, _, _ in tokens[i + 1 : i + 3]] == [
            "as",
            "well",
        ]:  # "pitch is normal, the speed as well"
            back = max((j for j in found if j < i), default=-1)
        if (
            i not in found
            and back in found
            and (value := _same(tokens, back, i, found[back]))
            and not _right(text, tokens, i)
        ):
            found[i] = value
    for i in reversed(nouns):  # "pitch is high", "pitch and energy are high"
        if i not in found and (value := _right(text, tokens, i)):
            found[i] = value
    for i in nouns:
        if i in found:
            yield _AXIS_OF[tokens[i][0]], *found[i]


Tokens = list[tuple[str, int, int]]


def _degree(word: str, noun: str) -> str | None:
    if noun in _ONLY_WITH and word not in _ONLY_WITH[noun].split():
        return None
    return _VALUE_OF[_AXIS_OF[noun]].get(word)


def _left(text: str, tokens: Tokens, i: int) -> tuple[str, Span] | None:
    noun = tokens[i][0]
    for j in range(i - 1, max(-1, i - 5), -1):
        word = tokens[j][0]
        if (value := _degree(word, noun)) is not None:
            return None if _denied(text, tokens[j][1]) else (value, (tokens[j][1], tokens[i][2]))
        comma = word == "," and j == i - 2 and tokens[i - 1][0] not in _ARTICLES
        if (
            word not in _BETWEEN
            and not comma
            and not (j == i - 1 and word.isalpha() and word not in _AXIS_OF)
        ):
            return None
        if word in ("and", "with") and j != i - 2:
            return None
    return None


def _same(tokens: Tokens, back: int, i: int, before: tuple[str, Span]) -> tuple[str, Span] | None:
    """The degree of the noun before, for this noun's axis."""
    a, b = _AXIS_OF[tokens[back][0]], _AXIS_OF[tokens[i][0]]
    value = _SCALE[b][_SCALE[a].index(before[0])]
    return value, (before[1][0], tokens[i][2])


def _right(text: str, tokens: Tokens, i: int) -> tuple[str, Span] | None:
    noun = tokens[i][0]
    for j in range(i + 1, min(len(tokens), i + 12)):
        word = tokens[j][0]
        if (value := _degree(word, noun)) is not None:
            if j + 1 < len(tokens) and tokens[j + 1][0] in _AXIS_OF:  # it belongs to the next noun
                return None
            return None if _denied(text, tokens[j][1]) else (value, (tokens[i][1], tokens[j][2]))
        if (
            word not in _LINKS
            and word not in _AXIS_OF
            and word not in ("and", ",", "in", "to", "up")
        ):
            return None
        if word == "," and not (j + 1 < len(tokens) and tokens[j + 1][0] in _AXIS_OF):
            return None
    return None
