"""The language side: the prompt that speech tokens are spliced into, and captions from fields.

`reader.read(render(fields)) == fields` holds for every caption that `render` makes.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Protocol

from serdesc import reader, traits
from serdesc.fields import Fields
from serdesc.errors import UserError

TRAITS = traits.every()
SYSTEM = "You are a helpful language and speech assistant."
INSTRUCTION = "Please caption the input audio according to content and speech descriptor-related information."


# ---- prompt: Figure 1 of the paper ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turns:
    """What an LLM writes around the turns of a chat. `end` closes the answer, and is what training targets end in."""

    system: str
    user: str
    assistant: str
    end: str


# Known by the token that opens a turn. Templates are not asked: Llama 3's adds today's date, and the prompt would change daily.
TURNS = {
    "<|start_header_id|>": Turns(  # Llama 3
        system="<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n",
        user="<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        assistant="<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        end="<|eot_id|>",
    ),
    "<|im_start|>": Turns(  # Qwen 2 and later
        system="<|im_start|>system\n",
        user="<|im_end|>\n<|im_start|>user\n",
        assistant="<|im_end|>\n<|im_start|>assistant\n",
        end="<|im_end|>",
    ),
    "<|hears|>": Turns(system="<|begin|>", user="<|hears|>", assistant="<|writes|>", end="<|done|>"),  # llama-mini
}


class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    def get_vocab(self) -> dict[str, int]: ...

    def encode(self, text: str, add_special_tokens: bool) -> list[int]: ...

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str: ...


def turns_of(tokenizer: Tokenizer) -> Turns:
    vocabulary = tokenizer.get_vocab()
    for mark, turns in TURNS.items():
        if mark in vocabulary:
            return turns
    raise UserError(
        f"the LLM's tokenizer has none of the turn markers {', '.join(TURNS)}: take a chat model of a known family, or add its "
        "markers to TURNS in serdesc/tasks.py"
    )


@dataclass(frozen=True)
class Prompt:
    """Token ids around the two groups of speech tokens: before s_con, between s_con and s_des, after s_des; and the answer's end."""

    before: list[int]
    between: list[int]
    after: list[int]
    end: int


def prompt(tokenizer: Tokenizer, system: str = SYSTEM, instruction: str = INSTRUCTION) -> Prompt:
    turns = turns_of(tokenizer)

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    end = ids(turns.end)
    assert len(end) == 1, f"end of turn {turns.end} is {len(end)} tokens"
    return Prompt(ids(turns.system + system + turns.user), ids("\n"), ids("\n" + instruction + turns.assistant), end[0])


# ---- what the target carries -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outputs:
    """Which outputs a target carries: the columns Trans., Des. and Emo. of the paper's Table 3."""

    transcript: bool = True
    descriptors: bool = True
    emotion: bool = True

    def of(self, fields: Fields) -> Fields:
        """The fields that a target of these outputs says."""
        kept = fields
        if not self.transcript:
            kept = replace(kept, transcript=None)
        if not self.descriptors:
            kept = replace(kept, pitch=None, energy=None, speed=None, age=None, gender=None, emphasis=None, more=())
        if not self.emotion:
            kept = replace(kept, emotion=None)
        return kept


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
SAYING = ("saying", "stating", "speaking the words")  # before a transcript; "the words" must not be read as emphasis
STRESSING = (
    "stressing the word{s} {words}",
    "accentuating the word{s} {words}",
    "with emphasis on {words}",
)
EMOTIONAL = ("sounding {adjective}", "in {a} {adjective} tone", "{their} {noun} evident in the voice", "with {noun} in {their} voice")
# Of the words that the reader takes for an emotion, those that are nouns. The others are adverbs in -ly, and adjectives.
_NOUNS = {noun for _, noun in EMOTION.values()} | set(
    "fury wrath rage serenity revulsion enthusiasm terror panic joy cheer delight naturalness sorrow grief melancholy".split()
    + "astonishment amazement shock".split()
)
# How "without any emotion" begins, and what stands there with an emotion
_NONE = {"no": "", "without": "with ", "devoid": "full of ", "lacking": "with ", "lacks": "has ", "lacked": "had ", "lack": "note of "}
_ARTICLE = re.compile(r"\b([Aa])n? $")
_THEIR = {"female": "her", "male": "his", None: "their"}


# ---- captions from fields ----------------------------------------------------------------------------------------------


def render(fields: Fields, seed: str) -> str:
    """One caption that says exactly these fields. Equal seeds (take the utterance id) give equal wording.

    A double quote in what is quoted becomes a single one, for the reader would end the quotation there.
    """
    rng = random.Random(seed)
    manner = [rng.choice(table[value]) for table, value in ((PITCH, fields.pitch), (ENERGY, fields.energy)) if value]
    pace = f"at {_a(rng.choice(SPEED[fields.speed]))}" if fields.speed else ""
    who = _a(rng.choice(WHO[fields.age, fields.gender]))
    if manner:
        who += " with " + " and ".join(manner)
    feeling = _feeling(fields, rng)
    stress = _stress(fields, rng)
    manners = [rng.choice(TRAITS[name].phrases[value]) for name, value in fields.more]
    quote = _quoted(fields.transcript) if fields.transcript is not None else ""
    match rng.randrange(3):
        case 0:  # a woman with low pitch speaks at a slow pace, saying "...", sounding sad, stressing the word "..."
            parts = [_join(who, "speaks", pace), _join(rng.choice(SAYING[:2]), quote) if quote else "", feeling, *manners, stress]
        case 1:  # at a slow pace, a woman with low pitch says "...", ...
            parts = [pace, _join(who, "says" if quote else "speaks", quote), feeling, *manners, stress]
        case _:  # sounding sad, a woman with low pitch says at a slow pace, "...", ...
            parts = [feeling, _join(who, "says" if quote else "speaks", pace), quote, *manners, stress]
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
    return rng.choice(EMOTIONAL).format(adjective=adjective, noun=noun, a="an" if adjective[0] in "aeiou" else "a", their=_THEIR[fields.gender])


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
    before = _ARTICLE.sub(lambda article: article[1] + ("n " if words[0] in "aeiou" else " "), caption[:start])
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
