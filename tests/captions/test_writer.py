"""Captions from fields."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from serdesc.captions import reader, vocabulary, writer
from serdesc.captions.fields import AGES, ENERGY, GENDERS, PITCH, SPEED, VALUES, Fields
from serdesc.config import TargetConfig
from serdesc.scoring.normalise import words

TRANSCRIPTS = (
    None,
    "the way he talks about people",
    "a low pitch, she said, at a slow pace: it's fine",
    "i",
    "",
)


EMPHASIS = (None, ("people",), ("way", "talks"))


def some_fields(n: int) -> list[Fields]:
    rng = random.Random(5)

    def maybe(values: tuple[str, ...]) -> str | None:
        return rng.choice((None, *values))

    return [
        Fields(
            rng.choice(TRANSCRIPTS),
            maybe(VALUES["emotion"]),
            maybe(PITCH),
            maybe(ENERGY),
            maybe(SPEED),
            maybe(AGES),
            maybe(GENDERS),
            rng.choice(EMPHASIS),
        )
        for _ in range(n)
    ]


def test_what_is_rendered_is_read_back() -> None:
    for i, fields in enumerate(some_fields(3000)):
        assert reader.read(writer.render(fields, str(i))) == fields, writer.render(fields, str(i))


def test_every_phrase_stands_for_one_value() -> None:
    tables = [
        writer.PITCH_PHRASES,
        writer.ENERGY_PHRASES,
        writer.SPEED_PHRASES,
        writer.EMOTION_WORDS,
        writer.SPEAKER_PHRASES,
    ]
    phrases = [phrase for table in tables for wordings in table.values() for phrase in wordings]
    assert len(phrases) == len(set(phrases))


def test_wording_depends_on_the_seed_alone_and_varies() -> None:
    fields = Fields("hello there", "sad", "low", "normal", "slow", None, "female", ("there",))
    assert writer.render(fields, "a") == writer.render(fields, "a")
    assert len({writer.render(fields, str(i)) for i in range(50)}) > 30


@pytest.mark.parametrize(
    "transcript, descriptors, emotion", list(itertools.product((True, False), repeat=3))
)
def test_outputs_leave_out_what_they_do_not_carry(
    transcript: bool, descriptors: bool, emotion: bool
) -> None:
    full = Fields("so he said", "happy", "high", "low", "fast", "child", "male", ("he",))
    said = reader.read(
        writer.render(writer.select(full, TargetConfig(transcript, descriptors, emotion)), "x")
    )
    assert (said.transcript is not None, said.pitch is not None, said.emotion is not None) == (
        transcript,
        descriptors,
        emotion,
    )
    assert (said.gender is not None, said.emphasis is not None) == (descriptors, descriptors)


def test_what_is_not_said_is_not_read() -> None:
    assert reader.read("") == reader.read("今天天气很好。") == Fields()
    assert reader.read('the the "').transcript is None


def test_words_inside_the_transcript_are_no_descriptors() -> None:
    assert reader.read('A man says "an angry woman with low pitch at a slow pace".') == Fields(
        "an angry woman with low pitch at a slow pace", gender="male"
    )


@pytest.mark.parametrize(
    "caption, changed",
    [
        ('Sounding sad, a man says "i am angry".', 'Sounding angry, a man says "i am angry".'),
        ('A man says "sad", in an excited tone.', 'A man says "sad", in an angry tone.'),
        ('A man says "x", in a calm tone.', 'A man says "x", in an angry tone.'),
        ("A man speaks, with happiness in his voice.", "A man speaks, with anger in his voice."),
        ('A man says "happy".', None),
        (
            "A man with neutral pitch, his fury evident.",
            "A man with neutral pitch, his fury evident.",
        ),
        (
            "A man with neutral pitch, his delight evident.",
            "A man with neutral pitch, his anger evident.",
        ),
        ("He is not angry, he is happy.", "He is not angry, he is angry."),
        ("Joyfully, a man speaks.", "Angrily, a man speaks."),
        ("A matter-of-fact voice.", "An angry voice."),
        (
            "She speaks without any emotion, there is joy in his voice.",
            "She speaks with anger, there is joy in his voice.",
        ),
    ],
)
def test_only_the_emotion_is_replaced(caption: str, changed: str | None) -> None:
    assert writer.with_emotion(caption, "angry") == changed


def test_every_word_that_is_read_as_an_emotion_is_replaced() -> None:
    """In the form that it has: what is read of the new caption is the new emotion."""
    idioms = (
        "without any emotion|no emotion|devoid of emotion|lacking emotion|lacks feeling|lack of"
        " feeling|matter-of-factly|close to tears".split("|")
    )
    for word in [
        word
        for words in vocabulary.EMOTION_WORDS.values()
        for word in words.split()
        if word.isalpha()
    ] + idioms:
        caption = f"She speaks, {word} it is."
        for emotion in VALUES["emotion"]:
            changed = writer.with_emotion(caption, emotion)
            assert changed is not None and reader.read(changed).emotion == emotion, (
                word,
                emotion,
                changed,
            )
            assert changed.endswith(" it is.") and changed.startswith("She speaks, ")


@pytest.mark.parametrize("transcript", ['she said "no" to him', '"quoted"', 'the 12" record', '"'])
def test_a_double_quote_in_what_is_quoted_breaks_nothing(transcript: str) -> None:
    """Whatever the wording, the reference caption has no word error against its transcript."""
    for seed in range(20):
        read = reader.read(
            writer.render(
                Fields(transcript, "sad", "low", gender="female", emphasis=('"no"',)), str(seed)
            )
        )
        assert (
            words(read.transcript or "") == words(transcript)
            and read.emotion == "sad"
            and read.emphasis == ("'no'",)
        )


def test_a_quote_that_was_cut_off_is_read() -> None:
    assert reader.read('A man says "one two') == Fields(gender="male", transcript="one two")


def test_every_caption_takes_every_emotion() -> None:
    for i, emotion in enumerate(VALUES["emotion"]):
        caption = writer.render(
            Fields(transcript="so happy", emotion=emotion, gender="male"), str(i)
        )
        for other in VALUES["emotion"]:
            assert reader.read(writer.with_emotion(caption, other) or "") == replace(
                reader.read(caption), emotion=other
            )
        assert writer.with_emotion(caption, emotion) == caption
