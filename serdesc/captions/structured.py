"""Fields of an answer in JSON, fenced or bare: keys name fields, and values are never speech.

A value is read by the word rules as `name: value`, so that "very high" and "Anger" are understood.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, Callable, Iterator

from serdesc.captions import traits

# Field -> names of keys, in lower case with spaces
KEYS = {
    "transcript": "transcript|transcription|text|speech|speech content|content|words|utterance"
    "|spoken text|spoken words|asr",
    "emotion": "emotion|emotions|feeling|mood|emotional state|emotion label|predicted emotion"
    "|final emotion|tone",
    "pitch": "pitch|pitch level",
    "energy": "energy|volume|loudness|intensity|energy level",
    "speed": "speed|pace|rate|tempo|speaking rate|speech rate|speaking speed|speech speed"
    "|speaking pace|talking speed",
    "gender": "gender|sex|speaker gender",
    "age": "age|age group|speaker age",
    "emphasis": "emphasis|emphasized words|emphasised words|stressed words|stress",
    "caption": "caption|description|response|answer|explanation|summary|reasoning",
}
_FIELD_OF = {key: name for name, keys in KEYS.items() for key in keys.split("|")}
_LABELS = ("label", "value", "name", "prediction", "class", "category", "type")
# `"key": "value"` of JSON that was cut off
_PAIR = re.compile(
    r"""["'](?P<key>[A-Za-z][\w -]*)["']\s*:\s*"""
    r"""(?:"(?P<text>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)')"""
)


def read(answer: str, read_text: Callable[[str], dict[str, Any]]) -> dict[str, Any] | None:
    """Fields of an answer, or None if it has no JSON with a key of KEYS.

    read_text: fields of a caption in words.
    """
    values: dict[str, Any] = {}
    captions: list[str] = []
    found = False
    for key, value in _pairs(_parse(answer)[0]):
        name = _field_of(key)
        found = found or name is not None
        if name == "caption" and isinstance(value, str):
            captions.append(value)
        elif name and name not in values:
            field = _field(name, value, read_text)
            if field is not None:
                values[name] = field
    for caption in captions:  # what no key states
        for name, field in read_text(caption).items():
            if field is not None:
                values.setdefault(name, field)
    return values if found else None


def without_objects(answer: str) -> str:
    """An answer without its JSON: of keys that name no field, nothing is read."""
    value, start, end = _parse(answer)
    while value is not None:
        answer = f"{answer[:start]} {answer[end:]}"
        value, start, end = _parse(answer)
    return answer


def _parse(answer: str) -> tuple[Any, int, int]:
    """The first object in an answer, or what is complete of one that was cut off; its position.

    None without an object.
    """
    decoder = json.JSONDecoder(strict=False)
    for opening in re.finditer(r"\{\s*['\"]", answer):
        start = opening.start()
        try:
            value, end = decoder.raw_decode(answer, start)
            return value, start, end
        except (ValueError, RecursionError):
            pass
        end = answer.rfind("}") + 1
        if python := _python(answer[start:end]):
            return python, start, end
        return _incomplete(answer[start:]), start, len(answer)
    return None, 0, 0


def _python(text: str) -> Any:
    """An object as Python prints it, with single quotation marks."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _incomplete(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for match in _PAIR.finditer(text):
        value = match["text"] if match["single"] is None else match["single"]
        pairs.setdefault(match["key"], value.replace('\\"', '"'))
    return pairs


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of an object and of the objects in it that are no field themselves."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        yield str(key), inner
        if isinstance(inner, dict) and not _field_of(str(key)):
            yield from _pairs(inner)


def _field_of(key: str) -> str | None:
    """The field, trait or caption that a key names, in any case: speakingRate, Speaking_rate."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key)
    name = re.sub(r"[\W_]+", " ", words).strip().lower()
    return name if name in traits.by_name() else _FIELD_OF.get(name)


def _field(name: str, value: Any, read_text: Callable[[str], dict[str, Any]]) -> Any:
    """The value of a field, or None if it is none of the field's."""
    if isinstance(value, dict):
        label = next((value[key] for key in _LABELS if key in value), None)
        if label is None:  # {"sad": 0.1, "angry": 0.8}
            label = ", ".join(f"{key}: {number}" for key, number in value.items())
        value = label
    if name == "transcript":
        return value.strip() if isinstance(value, str) and value.strip() else None
    if name == "emphasis":
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            return None
        return [word for word in words if word.strip()] or None
    if name == "age" and isinstance(value, (int, float)):
        value = f"{value:g} years old"
    options = value if isinstance(value, list) else [value]
    if name in traits.by_name():
        known = traits.by_name()[name].values
        read = {str(option).lower() if str(option).lower() in known else None for option in options}
    else:
        read = {read_text(f"{name}: {option}").get(name) for option in options}
    return read.pop() if len(read) == 1 else None
