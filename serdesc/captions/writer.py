"""The language side: the prompt that speech tokens are spliced into, and captions from fields.

`reader.read(render(fields)) == fields` holds for every caption that `render` makes.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from serdesc.captions import reader, traits
from serdesc.captions.fields import Fields
from serdesc.config import TargetConfig

TRAITS = traits.every()


# ---- fields of a target ----------------------------------------------------------------------------------------------


def select(fields: Fields, target: TargetConfig) -> Fields:
    """The fields that a target with these outputs contains."""
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


# ---- the words ---------------------------------------------------------------------------------------------------------

# Every phrase stands for one value of one field, and for no other: a test holds it.
PITCH = {
    "low": ("low pitch", "deep pitch"),
    "normal": ("normal pitch", "medium pitch"),
    "high": ("high pitch", "raised pitch"),
}
ENERGY = {
    "low": ("low volume", "soft volume", "low energy"),
    "normal": ("moderate volume", "normal volume", "moderate energy"),
    "high": ("high volume", "loud volume", "high energy"),
}
SPEED = {
    "slow": ("slow pace", "slow speed", "unhurried pace"),
    "normal": ("moderate pace", "normal speed", "steady pace"),
    "fast": ("fast pace", "high speed", "rapid pace"),
}
# emotion -> adjective, noun
EMOTION = {
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
}
# (age, gender) -> the speaker
WHO: dict[tuple[str | None, str | None], tuple[str, ...]] = {
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
SAYING = (
    "saying",
    "stating",
    "speaking the words",
)  # before a transcript; "the words" must not be read as emphasis
STRESSING = (
    "stressing the word{s} {words}",
    "accentuating the word{s} {words}",
    "with emphasis on {words}",
)
EMOTIONAL = (
    "sounding {adjective}",
    "in {a} {adjective} tone",
    "{their} {noun} evident in the voice",
    "with {noun} in {their} voice",
)
# Of the words that the reader takes for an emotion, those that are nouns. The others are adverbs in -ly, and adjectives.
_NOUNS = {noun for _, noun in EMOTION.values()} | set(
    "fury wrath rage serenity revulsion enthusiasm terror panic joy cheer delight naturalness sorrow grief melancholy".split()
    + "astonishment amazement shock".split()
)
# How "without any emotion" begins, and what stands there with an emotion
_NONE = {
    "no": "",
    "without": "with ",
    "devoid": "full of ",
    "lacking": "with ",
    "lacks": "has ",
    "lacked": "had ",
    "lack": "note of ",
}
_ARTICLE = re.compile(r"\b([Aa])n? $")
_THEIR = {"female": "her", "male": "his", None: "their"}


# ---- captions from fields ----------------------------------------------------------------------------------------------


def render(fields: Fields, seed: str) -> str:
    """One caption that says exactly these fields. Equal seeds (take the utterance id) give equal wording.

    A double quote in what is quoted becomes a single one, for the reader would end the quotation there.
    """
    rng = random.Random(seed)
    manner = [
        rng.choice(table[value])
        for table, value in ((PITCH, fields.pitch), (ENERGY, fields.energy))
        if value
    ]
    pace = f"at {_a(rng.choice(SPEED[fields.speed]))}" if fields.speed else ""
    who = _a(rng.choice(WHO[fields.age, fields.gender]))
    if manner:
        who += " with " + " and ".join(manner)
    feeling = _feeling(fields, rng)
    stress = _stress(fields, rng)
    manners = [rng.choice(TRAITS[name].phrases[value]) for name, value in fields.more]
    quote = _quoted(fields.transcript) if fields.transcript is not None else ""
    match rng.randrange(3):
        case (
            0
        ):  # a woman with low pitch speaks at a slow pace, saying "...", sounding sad, stressing the word "..."
            parts = [
                _join(who, "speaks", pace),
                _join(rng.choice(SAYING[:2]), quote) if quote else "",
                feeling,
                *manners,
                stress,
            ]
        case 1:  # at a slow pace, a woman with low pitch says "...", ...
            parts = [
                pace,
                _join(who, "says" if quote else "speaks", quote),
                feeling,
                *manners,
                stress,
            ]
        case _:  # sounding sad, a woman with low pitch says at a slow pace, "...", ...
            parts = [
                feeling,
                _join(who, "says" if quote else "speaks", pace),
                quote,
                *manners,
                stress,
            ]
    text = ", ".join(part for part in parts if part)
    return text[0].upper() + text[1:] + "."


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _a(phrase: str) -> str:
    return ("an " if phrase[0] in "aeio" or phrase.startswith("unh") else "a ") + phrase


def _feeling(fields: Fields, rng: random.Random) -> str:
    if fields.emotion is None:
        return ""
    adjective, noun = EMOTION[fields.emotion]
    return rng.choice(EMOTIONAL).format(
        adjective=adjective,
        noun=noun,
        a="an" if adjective[0] in "aeiou" else "a",
        their=_THEIR[fields.gender],
    )


def _stress(fields: Fields, rng: random.Random) -> str:
    if not fields.emphasis:
        return ""
    words = " and ".join(map(_quoted, fields.emphasis))
    return rng.choice(STRESSING).format(words=words, s="s" if len(fields.emphasis) > 1 else "")


def with_emotion(caption: str, emotion: str) -> str | None:
    """The caption with the words that the reader takes the emotion from in another emotion's, in the same form; None where it reads none."""
    reading = reader.explain(caption)
    if reading.fields.emotion is None:
        return None
    if reading.fields.emotion == emotion:
        return caption
    start, end = reading.spans["emotion"]
    words = _in_form_of(caption[start:end].lower(), emotion)
    words = words[0].upper() + words[1:] if caption[start].isupper() else words
    before = _ARTICLE.sub(
        lambda article: article[1] + ("n " if words[0] in "aeiou" else " "), caption[:start]
    )
    return before + words + caption[end:]


def _in_form_of(phrase: str, emotion: str) -> str:
    """The emotion as a noun, adverb or adjective, as `phrase` is one."""
    adjective, noun = EMOTION[emotion]
    if phrase.endswith(("emotion", "emotions", "feeling", "feelings")):
        return _NONE.get(phrase.split()[0], "with ") + noun
    if phrase in _NOUNS:
        return noun
    if phrase.endswith("ly"):
        return (adjective[:-1] + "i" if adjective.endswith("y") else adjective) + "ly"
    return adjective
