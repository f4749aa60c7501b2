"""The fields of a caption and the values that each can have."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from serdesc.captions import traits

PITCH = ENERGY = ("low", "normal", "high")
SPEED = ("slow", "normal", "fast")
AGES = ("child", "teenager", "young adult", "middle-aged", "elderly")
AGE_LIMITS = (14, 26, 40, 55)  # years; a group ends below its limit
GENDERS = ("female", "male")
EMOTIONS = (
    "angry",
    "calm",
    "disgusted",
    "excited",
    "fearful",
    "frustrated",
    "happy",
    "neutral",
    "sad",
    "surprised",
)
FURTHER_EMOTIONS = ("bored",)  # of few corpora: models and plans have them if folds.labels does
VALUES: dict[str, tuple[str, ...]] = {
    "emotion": EMOTIONS + FURTHER_EMOTIONS,
    "pitch": PITCH,
    "energy": ENERGY,
    "speed": SPEED,
    "age": AGES,
    "gender": GENDERS,
}
VALUES |= {name: trait.values for name, trait in traits.by_name().items()}


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one utterance; None if a field is unknown or a caption does not state it.

    Each trait can be read as an attribute too. Raises ValueError for a value outside VALUES.
    """

    transcript: str | None = None
    emotion: str | None = None
    pitch: str | None = None
    energy: str | None = None
    speed: str | None = None
    age: str | None = None
    gender: str | None = None
    emphasis: tuple[str, ...] | None = None  # stressed words of the transcript
    more: tuple[tuple[str, str], ...] = ()  # traits and their values, sorted

    def __getattr__(self, name: str) -> str | None:
        if name not in traits.by_name():
            raise AttributeError(f"no field '{name}'")
        return dict(self.more).get(name)

    def __post_init__(self) -> None:
        for name, allowed in VALUES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise ValueError(f"{name} is '{value}': it must be one of {', '.join(allowed)}")

    def present(self) -> tuple[str, ...]:
        """Names of the fields that have a value."""
        return tuple(name for name, value in self.to_dict().items() if value is not None)

    def to_dict(self) -> dict[str, Any]:
        """JSON of utt2sed.jsonl: fields, then traits."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "more"}
        if self.emphasis is not None:
            values["emphasis"] = list(self.emphasis)
        return values | dict(self.more)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Fields:
        """Inverse of to_dict; other keys are ignored."""
        values: dict[str, Any] = {f.name: row.get(f.name) for f in fields(cls) if f.name != "more"}
        present = [name for name in traits.by_name() if row.get(name) is not None]
        values["more"] = tuple((name, row[name]) for name in present)
        if values["emphasis"] is not None:
            values["emphasis"] = tuple(values["emphasis"])
        return cls(**values)


def age_group(years: float) -> str:
    """SpeechCraft's age group of an age (Jin et al., ACM MM 2024)."""
    for limit, name in zip(AGE_LIMITS, AGES):
        if years < limit:
            return name
    return AGES[-1]
