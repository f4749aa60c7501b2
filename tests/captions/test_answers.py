"""Answers as other models give them: JSON, quotation marks of languages, labels, other languages."""

from __future__ import annotations

from typing import Any

import pytest

from serdesc.captions import reader
from serdesc.captions.fields import Fields

HELLO = "hello there"


def fields(**values: Any) -> Fields:
    return Fields.from_dict(values)


@pytest.mark.parametrize(
    "answer, expected",
    [
        (
            '{"transcript": "hello there", "emotion": "sad", "pitch": "low", "energy": "High", "speed": "fast", "gender": "M", "age": "young adult", "intonation": "rising"}',
            {"transcript": HELLO, "emotion": "sad", "pitch": "low", "energy": "high", "speed": "fast", "age": "young adult", "intonation": "rising"},
        ),
        ('```json\n{"transcript": "hello there", "emotion": "sad", "emphasis": ["hello", "there"]}\n```', {"transcript": HELLO, "emotion": "sad", "emphasis": ["hello", "there"]}),
        (
            'Here is it:\n{"emotion": "anger", "Pitch": "very high", "speaking_rate": "slow", "volume": "loud", "Gender": "Female", "text": "get out"} I hope this makes you happy.',
            {"transcript": "get out", "emotion": "angry", "pitch": "high", "energy": "high", "speed": "slow", "gender": "female"},
        ),
        ('{"caption": "A man says \\"hello there\\" in a sad tone with low pitch."}', {"transcript": HELLO, "emotion": "sad", "pitch": "low", "gender": "male"}),
        ('{"caption": "A calm woman.", "emotion": "sad"}', {"emotion": "sad", "gender": "female"}),
        ('{"emotion": {"label": "sad", "confidence": 0.8}, "speaker": {"gender": "male", "age": 71}}', {"emotion": "sad", "gender": "male", "age": "elderly"}),
        ('{"emotions": {"sad": 0.1, "angry": 0.8}}', {"emotion": "angry"}),
        ('{"emotion": ["sad", "angry"]}', {}),  # two candidates are no answer
        ('{"emotion": ["sad"], "speakingRate": "fast"}', {"emotion": "sad", "speed": "fast"}),
        ('{"emotion": "unknown", "transcript": null}', {}),
        ('{"emotion": "happy", "alternatives": [{"emotion": "sad"}]}', {"emotion": "happy"}),
        ('{"emotion": "sad"', {"emotion": "sad"}),  # cut off
        ('{"transcription": "he said \\"no\\"", "emotion": "sad", "pitch": "lo', {"transcript": 'he said "no"', "emotion": "sad"}),
        ("{'emotion': 'sad', 'transcript': \"don't go\"}", {"emotion": "sad", "transcript": "don't go"}),
        ('[{"utterance": "so what", "mood": "Furious"}]', {"transcript": "so what", "emotion": "angry"}),
        ('{"result": "x"} The man is sad.', {"emotion": "sad", "gender": "male"}),
        ('{"id": "a happy man"}', {}),
    ],
)  # fmt: skip
def test_json_is_read_as_structure(answer: str, expected: dict[str, Any]) -> None:
    assert reader.read(answer) == fields(**expected)


@pytest.mark.parametrize(
    "quoted",
    [
        '"hello there"', "“hello there”", "“hello there“", "„hello there“", "„hello there”",
        '“hello there"', '"hello there”', '„hello there"', "«hello there»", "»hello there«",
        "« hello there »", "‘hello there’", "'hello there'", "「hello there」", '\\"hello there\\"',
    ],
)  # fmt: skip
def test_quotation_marks_of_languages_and_mixed_ones(quoted: str) -> None:
    expected = Fields(HELLO, "sad", pitch="low", gender="female")
    assert reader.read(f"A sad woman says {quoted} with a low pitch.") == expected
    assert reader.read(f"With a low pitch, a sad woman says {quoted}") == expected
    twice = f"A sad woman says {quoted} with a low pitch, stressing “there”."
    assert reader.read(twice) == fields(**expected.to_dict() | {"emphasis": ["there"]})


@pytest.mark.parametrize(
    "answer, expected",
    [
        ('She says “he said "no" to me” sadly.', {"transcript": 'he said "no" to me', "emotion": "sad"}),
        ("She says \"he said 'no' to me\" sadly.", {"transcript": "he said 'no' to me", "emotion": "sad"}),
        ('She says "he said “no” to me" sadly.', {"transcript": "he said “no” to me", "emotion": "sad"}),
        ('Sadly, she says: "I am happy and', {"transcript": "I am happy and", "emotion": "sad"}),  # cut off
        ('She sounds sad". Low pitch.', {"emotion": "sad", "pitch": "low"}),
        ('She says "hello there with a low pitch, sadly.', {"pitch": "low", "emotion": "sad"}),
    ],
)  # fmt: skip
def test_nested_and_unpaired_marks(answer: str, expected: dict[str, Any]) -> None:
    assert reader.read(answer) == fields(gender="female", **expected)


@pytest.mark.parametrize(
    "answer, expected",
    [
        ("Transcript: hello there", {"transcript": HELLO}),
        ("**Transcription**: hello there\n**Emotion**: sad", {"transcript": HELLO, "emotion": "sad"}),
        ("Text: hello there\nEmotion: sad", {"transcript": HELLO, "emotion": "sad"}),
        ("Transcript: hello there, Emotion: sad, Pitch: low", {"transcript": HELLO, "emotion": "sad", "pitch": "low"}),
        ('Transcript: he said "no" to me\nEmotion: sad', {"transcript": 'he said "no" to me', "emotion": "sad"}),
        ('Emotion: "sad"\nTranscript: "hello there"', {"transcript": HELLO, "emotion": "sad"}),
        ('The emotion is "sad".', {"emotion": "sad"}),
        ('The emotion "sadness" is heard. He says "go away".', {"transcript": "go away", "emotion": "sad", "gender": "male"}),
        ('In a sad tone: "I am fine."', {"transcript": "I am fine.", "emotion": "sad"}),
        ("Gender: 'male', Pitch: “high”", {"gender": "male", "pitch": "high"}),
        ("Age: 35, Gender: male", {"age": "young adult", "gender": "male"}),
        ("A 70-year-old man.", {"age": "elderly", "gender": "male"}),
        ("Age: 30-40", {}),
        ("It is not a man but a woman who is sad.", {"emotion": "sad", "gender": "female"}),
        ("Not loud but soft, not only sad but tired.", {"energy": "low", "emotion": "sad"}),
    ],
)  # fmt: skip
def test_labels_and_values_in_quotation_marks(answer: str, expected: dict[str, Any]) -> None:
    assert reader.read(answer) == fields(**expected)


@pytest.mark.parametrize(
    "answer",
    [
        "Une femme calme parle avec une voix normale et rapide, elle est surprise.",
        "La femme parle avec un pitch normal.",
        "Un hombre adulto habla con voz normal, natural y fast.",
        "Una mujer habla con tono normal y ritmo normal; natural.",
        "Die Frau spricht mit neutral klingender Stimme und ist sad.",
        "Il tono di voce della donna è normal, natural e calm.",
        "Ela fala com uma voz normal, natural.",
        "Een vrouw spreekt met het volume normal.",
    ],
)
def test_other_languages_are_unread(answer: str) -> None:
    assert reader.read(answer) == Fields()
