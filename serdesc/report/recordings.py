"""The report of described recordings: the cards of an experiment's report, without references."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from serdesc import __version__
from serdesc.captions.fields import Fields
from serdesc.data.curves import measures
from serdesc.data.datadir import Utterance
from serdesc.report import experiment, latents, rows, site


@dataclass(frozen=True)
class Described:
    """A recording, or a piece of one, with what the page shows of it."""

    path: Path
    start: float | None  # seconds, of a piece
    seconds: float
    caption: str
    fields: Fields
    posterior: Mapping[str, float] | None
    kl: Mapping[str, Any]  # branch -> KL, 25 values a second
    curves: Mapping[str, Any]


def write(
    folder: Path,
    described: Sequence[Described],
    run: Mapping[str, Any],
    rejected: Sequence[Sequence[str]] = (),
    audio: str = "link",
) -> Path:
    """Write the report of recordings to a folder; returns its report.html.

    run: `model` in words, `config` as text, `environment` and `command`. rejected: place and reason
    of what could not be described. Raises UserError if the folder has other files.
    """
    target = site.Site(folder, audio)
    target.clear()
    found, curves = [], []
    names = _names([one.path for one in described])
    for number, one in enumerate(described):
        span = None if one.start is None else (one.start, one.start + one.seconds)
        name = names[one.path]
        utt_id = name if one.start is None else f"{name} {one.start:.1f}"
        utt = Utterance(utt_id, str(one.path), "", span=span)
        row = {
            "id": utt_id,
            "rec": name,
            "start": round(one.start or 0.0, 3),
            "sec": round(one.seconds, 3),
            **rows.answer(one.caption, one.fields, one.posterior),
            "sound": _sound(one.curves),
            "audio": target.audio_of(utt, number),
        }
        found.append(row)
        curves.append({**one.curves, "kl": one.kl})
    largest = latents.largest(curves)
    target.add_curves(curves, largest)
    title = next(iter(names.values())) if len(names) == 1 else f"{len(names)} recordings"
    summary = {
        "kind": "recordings",
        "name": title,
        "described": run["model"],
        "version": __version__,
        "scales": {**experiment.SCALES, "kl": largest},
        "rejected": [list(pair) for pair in rejected],
        "folds": ["describe"],
        "commands": [run["command"]],
        "environment": run["environment"],
        "config": run["config"],
    }
    return target.write(title, summary, found)


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """Names of recordings for the page: without folders where these are distinct."""
    distinct = dict.fromkeys(paths)
    short = {path: path.name for path in distinct}
    if len(set(short.values())) < len(short):
        return {path: str(path) for path in distinct}
    return short


def _sound(curves: Mapping[str, Any]) -> dict[str, list[list[str]]]:
    """What the curves say of pitch, energy and speed: no classes, which need a corpus."""
    shown = {
        "f0": ("pitch", "{:.0f} Hz", "median F0"),
        "level": ("energy", "{:.0f} dB", "mean level of speech"),
        "rate": ("speed", "{:.1f} syllables/s", "of speech"),
    }
    sound = {}
    for name, number in measures(dict(curves)).items():
        field, form, how = shown[name]
        sound[field] = [[form.format(number).replace("-", "\u2212"), "", how]]
    return sound
