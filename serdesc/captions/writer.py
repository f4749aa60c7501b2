"""Captions from fields, and the selection of a target's fields.

`reader.read(render(fields)) == fields` for every caption that `render` writes.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Mapping

from serdesc.captions import reader, traits
from serdesc.captions.fields import Fields
from serdesc.config import TargetConfig

TRAITS = traits.by_name()


# ---- fields of a target --------------------------------------------------------------------------


def select(fields: Fields, target: TargetConfig) -> Fields:
    """The fields that a target contains, by the outputs that the configuration enables."""
    if not target.transcript:
        fields = replace(fields, transcript=None)
    if not target.descriptors:
        fields = replace(
            fields,
            pitch=None,
            energy=None,
            speed=None,
            age=None,
            gender=None,
            emphasis=None,
            more=(),
        )
    if not target.emotion:
        fields = replace(fields, emotion=None)
    return fields


# ---- phrases -------------------------------------------------------------------------------------

# Each phrase states one value of one field and nothing else (tests check this).
PITCH_PHRASES = {
    "low": ("low pitch", "deep pitch"),
    "normal": ("normal pitch", "medium pitch"),
    "high": ("high pitch", "raised pitch"),
}
ENERGY_PHRASES = {
    "low": ("low volume", "soft volume", "low energy"),
    "normal": ("moderate volume", "normal volume", "moderate energy"),
    "high": ("high volume", "loud volume", "high energy"),
}
SPEED_PHRASES = {
    "slow": ("slow pace", "slow speed", "unhurried pace"),
    "normal": ("moderate pace", "normal speed", "steady pace"),
    "fast": ("fast pace", "high speed", "rapid pace"),
}
PHRASES: dict[str, Mapping[str, tuple[str, ...]]] = {
    "pitch": PITCH_PHRASES,
    "energy": ENERGY_PHRASES,
    "speed": SPEED_PHRASES,
}
# emotion -> adjective, noun
EMOTION_WORDS = {
    "angry": ("angry", "anger"),
    "calm": ("calm", "calmness"),
    "disgusted": ("disgusted", "disgust"),
    "excited": ("excited", "excitement"),
    "fearful": ("fearful", "fear"),
    "frustrated": ("frustrated", "frustration"),
    "happy": ("happy", "happiness"),
    "neutral": ("neutral", "neutrality"),
    "sad": ("sad", "sadness"),
    "surprised": ("surprised", "surprise"),
    "bored": ("bored", "boredom"),
}
# (age, gender) -> noun phrases for the speaker
SPEAKER_PHRASES: dict[tuple[str | None, str | None], tuple[str, ...]] = {
    (None, None): ("speaker",),
    (None, "female"): ("woman", "female speaker"),
    (None, "male"): ("man", "male speaker"),
    ("child", None): ("child", "young child"),
    ("child", "female"): ("girl", "young girl"),
    ("child", "male"): ("boy", "young boy"),
    ("teenager", None): ("teenager",),
    ("teenager", "female"): ("teenage girl", "female teenager"),
    ("teenager", "male"): ("teenage boy", "male teenager"),
    ("young adult", None): ("young adult",),
    ("young adult", "female"): ("young woman", "female young adult"),
    ("young adult", "male"): ("young man", "male young adult"),
    ("middle-aged", None): ("middle-aged speaker", "middle-aged person"),
    ("middle-aged", "female"): ("middle-aged woman",),
    ("middle-aged", "male"): ("middle-aged man",),
    ("elderly", None): ("elderly speaker", "old person"),
    ("elderly", "female"): ("elderly woman", "old woman"),
    ("elderly", "male"): ("elderly man", "old man"),
}
# Before a transcript. `render` uses the first two: the reader could read "the words" as emphasis.
SPEECH_VERBS = ("saying", "stating", "speaking the words")
EMPHASIS_CLAUSES = (
    "stressing the word{s} {words}",
    "accentuating the word{s} {words}",
    "with emphasis on {words}",
)
EMOTION_CLAUSES = (
    "sounding {adjective}",
    "in {a} {adjective} tone",
    "{their} {noun} evident in the voice",
    "with {noun} in {their} voice",
)
# Nouns among the words that the reader reads as an emotion; the others are adverbs in -ly and
# adjectives.
_NOUNS = {noun for _, noun in EMOTION_WORDS.values()} | set(
    "fury wrath rage serenity revulsion enthusiasm terror panic joy cheer delight naturalness"
    " sorrow grief melancholy astonishment amazement shock".split()
)
# First word of "without any emotion" -> its replacement before an emotion
_REPLACEMENTS = {
    "no": "",
    "without": "with ",
    "devoid": "full of ",
    "lacking": "with ",
    "lacks": "has ",
    "lacked": "had ",
    "lack": "note of ",
}
_ARTICLE = re.compile(r"\b([Aa])n? $")
_POSSESSIVES = {"female": "her", "male": "his", None: "their"}


# ---- captions from fields ------------------------------------------------------------------------


@dataclass(frozen=True)
class Wording:
    """The phrases of a caption; `emotion` and `emphasis` are clauses with places for words."""

    pitch: str
    energy: str
    speed: str
    speaker: str
    emotion: str
    emphasis: str
    manners: tuple[str, ...]  # of the traits
    order: int  # of the clauses; in 0 and 1 the emotion follows pitch, energy, speed and speaker
    verb: str  # before a transcript, in order 0


def render(fields: Fields, seed: str) -> str:
    """A caption that states exactly these fields; the seed (an utterance id) selects the wording.

    Double quotes in quoted words become single ones: the reader ends a quotation at a double quote.
    """
    return compose(fields, draw(fields, random.Random(seed)))


class Beginning(str):
    """A caption up to a place from which on it is unknown; as a target it has no end token."""


def render_beginning(fields: Fields, seed: str) -> Beginning:
    """A caption up to its emotion, for a speaker whose emotion is unknown; later clauses are left
    out.
    """
    stated = replace(fields, emotion=None, emphasis=None, more=())
    wording = draw(stated, random.Random(seed))
    order = wording.order % 2  # in order 2 a caption begins with the emotion
    verb = SPEECH_VERBS[0] if order == 0 and stated.transcript is not None else ""
    return Beginning(compose(stated, replace(wording, order=order, verb=verb))[:-1] + ",")


def draw(fields: Fields, rng: random.Random) -> Wording:
    """A random wording for the values of these fields."""
    pitch = rng.choice(phrases("pitch", fields)) if fields.pitch else ""
    energy = rng.choice(phrases("energy", fields)) if fields.energy else ""
    speed = rng.choice(phrases("speed", fields)) if fields.speed else ""
    speaker = rng.choice(phrases("speaker", fields))
    emotion = rng.choice(EMOTION_CLAUSES) if fields.emotion else ""
    emphasis = rng.choice(EMPHASIS_CLAUSES) if fields.emphasis else ""
    manners = tuple(rng.choice(TRAITS[name].phrases[value]) for name, value in fields.more)
    order = rng.randrange(3)
    verb = rng.choice(SPEECH_VERBS[:2]) if order == 0 and fields.transcript is not None else ""
    return Wording(pitch, energy, speed, speaker, emotion, emphasis, manners, order, verb)


def phrases(part: str, fields: Fields) -> tuple[str, ...]:
    """The phrases for the fields' values; part: pitch, energy, speed or speaker."""
    if part == "speaker":
        return SPEAKER_PHRASES[fields.age, fields.gender]
    return PHRASES[part][getattr(fields, part)]


def compose(fields: Fields, wording: Wording) -> str:
    """The caption of these fields in a wording that was drawn for their values."""
    speaker, pace = _speaker(wording)
    emotion = _emotion(fields, wording)
    stress = _emphasis(fields, wording)
    quote = _quoted(fields.transcript) if fields.transcript is not None else ""
    verb = "says" if quote else "speaks"
    manners = wording.manners
    if wording.order == 0:  # a woman speaks at a slow pace, saying "...", sounding sad
        clauses = [_join(speaker, "speaks", pace), _join(wording.verb, quote), emotion]
    elif wording.order == 1:  # at a slow pace, a woman says "...", sounding sad
        clauses = [pace, _join(speaker, verb, quote), emotion]
    else:  # sounding sad, a woman says at a slow pace, "..."
        clauses = [emotion, _join(speaker, verb, pace), quote]
    text = ", ".join(clause for clause in [*clauses, *manners, stress] if clause)
    return text[0].upper() + text[1:] + "."


def _speaker(wording: Wording) -> tuple[str, str]:
    """The speaker with pitch and energy, and the pace."""
    qualities = [quality for quality in (wording.pitch, wording.energy) if quality]
    pace = f"at {_with_article(wording.speed)}" if wording.speed else ""
    speaker = _with_article(wording.speaker)
    if qualities:
        speaker += " with " + " and ".join(qualities)
    return speaker, pace


def _emotion(fields: Fields, wording: Wording) -> str:
    if fields.emotion is None:
        return ""
    adjective, noun = EMOTION_WORDS[fields.emotion]
    article = "an" if adjective[0] in "aeiou" else "a"
    possessive = _POSSESSIVES[fields.gender]
    return wording.emotion.format(adjective=adjective, noun=noun, a=article, their=possessive)


def _emphasis(fields: Fields, wording: Wording) -> str:
    if not fields.emphasis:
        return ""
    words = " and ".join(map(_quoted, fields.emphasis))
    plural = "s" if len(fields.emphasis) > 1 else ""
    return wording.emphasis.format(words=words, s=plural)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _with_article(phrase: str) -> str:
    vowel = phrase[0] in "aeio" or phrase.startswith("unh")
    return ("an " if vowel else "a ") + phrase


# ---- captions with another emotion ---------------------------------------------------------------


def with_emotion(caption: str, emotion: str) -> str | None:
    """The caption with another emotion in place of the words that the reader reads as its emotion.

    The replacement has the same form (noun, adverb or adjective). None if the reader reads none.
    """
    reading = reader.explain(caption)
    if reading.fields.emotion is None:
        return None
    if reading.fields.emotion == emotion:
        return caption
    start, end = reading.spans["emotion"]
    words = _in_form_of(caption[start:end].lower(), emotion)
    if caption[start].isupper():
        words = words[0].upper() + words[1:]
    ending = "n " if words[0] in "aeiou" else " "
    before = _ARTICLE.sub(lambda article: article[1] + ending, caption[:start])
    return before + words + caption[end:]


def _in_form_of(phrase: str, emotion: str) -> str:
    """The emotion as a noun, adverb or adjective, like `phrase`."""
    adjective, noun = EMOTION_WORDS[emotion]
    if phrase.endswith(("emotion", "emotions", "feeling", "feelings")):
        return _REPLACEMENTS.get(phrase.split()[0], "with ") + noun
    if phrase in _NOUNS:
        return noun
    if phrase.endswith("ly"):
        return (adjective[:-1] + "i" if adjective.endswith("y") else adjective) + "ly"
    return adjective
