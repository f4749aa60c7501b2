"""The report of described recordings: the cards of an experiment's report, without references."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from serdesc import __version__
from serdesc.captions.fields import Fields
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
    for number, one in enumerate(described):
        span = None if one.start is None else (one.start, one.start + one.seconds)
        utt = Utterance(_name(one), str(one.path), "", span=span)
        row = {
            "id": utt.utt_id,
            "rec": str(one.path),
            "start": round(one.start or 0.0, 3),
            "sec": round(one.seconds, 3),
            **rows.answer(one.caption, one.fields, one.posterior),
            "audio": target.audio_of(utt, number),
        }
        found.append(row)
        curves.append({**one.curves, "kl": one.kl})
    largest = latents.largest(curves)
    target.add_curves(curves, largest)
    paths = dict.fromkeys(one.path for one in described)
    name = next(iter(paths)).name if len(paths) == 1 else f"{len(paths)} recordings"
    summary = {
        "kind": "recordings",
        "name": name,
        "described": run["model"],
        "version": __version__,
        "scales": {**experiment.SCALES, "kl": largest},
        "rejected": [list(pair) for pair in rejected],
        "folds": ["describe"],
        "commands": [run["command"]],
        "environment": run["environment"],
        "config": run["config"],
    }
    return target.write(name, summary, found)


def _name(one: Described) -> str:
    return str(one.path) if one.start is None else f"{one.path} {one.start:.1f}"
