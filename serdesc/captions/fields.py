"""What a caption says of an utterance, field by field, and the values each field can take."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from serdesc.captions import traits

PITCH = ENERGY = ("low", "normal", "high")
SPEED = ("slow", "normal", "fast")
AGES = ("child", "teenager", "young adult", "middle-aged", "elderly")
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
VALUES: dict[str, tuple[str, ...]] = {
    "emotion": EMOTIONS, "pitch": PITCH, "energy": ENERGY, "speed": SPEED, "age": AGES, "gender": GENDERS,
}  # fmt: skip
VALUES |= {name: trait.values for name, trait in traits.every().items()}


@dataclass(frozen=True, slots=True)
class Fields:
    """None means that nothing is known, or said, of a field. `emphasis` are words of the transcript. Traits are fields too, by their names."""

    transcript: str | None = None
    emotion: str | None = None
    pitch: str | None = None
    energy: str | None = None
    speed: str | None = None
    age: str | None = None
    gender: str | None = None
    emphasis: tuple[str, ...] | None = None
    more: tuple[tuple[str, str], ...] = ()  # traits and their values, sorted

    def __getattr__(self, name: str) -> str | None:
        if name not in traits.every():
            raise AttributeError(f"no field '{name}'")
        return dict(self.more).get(name)

    def __post_init__(self) -> None:
        for name, allowed in VALUES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise ValueError(f"{name} is '{value}': it must be one of {', '.join(allowed)}")

    def present(self) -> tuple[str, ...]:
        return tuple(name for name, value in self.to_dict().items() if value is not None)

    def to_dict(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "more"}
        return {
            **values,
            "emphasis": None if self.emphasis is None else list(self.emphasis),
            **dict(self.more),
        }

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Fields:
        values: dict[str, Any] = {f.name: row.get(f.name) for f in fields(cls) if f.name != "more"}
        values["more"] = tuple(
            (name, row[name]) for name in traits.every() if row.get(name) is not None
        )
        if values["emphasis"] is not None:
            values["emphasis"] = tuple(values["emphasis"])
        return cls(**values)


def age_group(years: float) -> str:
    """SpeechCraft's age groups: under 14 child, under 26 teenager, under 40 young adult, under 55 middle-aged, else elderly."""
    for limit, name in zip((14, 26, 40, 55), AGES):
        if years < limit:
            return name
    return AGES[-1]
