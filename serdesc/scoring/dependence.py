"""Dependence of the emotion on the descriptors: how far its posterior moves when one is replaced.

inference/dependence.py computes the posteriors. A control stands beside each replacement: another
phrase for the same value. The distance of two posteriors is the total variation, half the sum of
the absolute differences: 0 % if they are equal, 100 % if they have no emotion in common.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from serdesc import __version__
from serdesc.captions.fields import VALUES
from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.files import read_json, write_json, write_jsonl
from serdesc.scoring.bootstrap import Rows, total
from serdesc.scoring.intervals import MIN_BOOTSTRAP, interval
from serdesc.scoring.metric import Counts, Metric
from serdesc.scoring.score import BY_DESCRIPTORS, ROWS, beside

if TYPE_CHECKING:
    import pandas as pd

NAME = "depends.json"
ROWS_NAME = f"depends.{ROWS}"
Posterior = Mapping[str, float]
# One replacement: utt_id, spk, field, from, to; posteriors before, after and control
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Moved:
    """Effect of one replacement on the posterior of the emotion; percent, with 95 % intervals."""

    field: str  # ALL: any replacement
    to: str  # the value in place of the predicted one
    n: int
    moves: float  # mean distance of the posteriors before and after
    moves_interval: tuple[float, float] | None
    control: float  # the same, of the control
    control_interval: tuple[float, float] | None
    difference: float
    difference_interval: tuple[float, float] | None
    changes: float  # how often another emotion becomes the most likely one
    changes_interval: tuple[float, float] | None
    control_changes: float
    control_changes_interval: tuple[float, float] | None
    rises: dict[str, float]  # emotion -> mean change of its probability


ALL = "all"


def distance(p: Posterior, q: Posterior) -> float:
    """Total variation of two posteriors over the same emotions, 0 to 1."""
    return math.fsum(abs(p[emotion] - q[emotion]) for emotion in p) / 2


def _top(posterior: Posterior) -> str:
    return max(sorted(posterior), key=lambda emotion: posterior[emotion])


def _counts(row: Row) -> Counts:
    before, after, control = row["before"], row["after"], row["control"]
    moves, by_control = distance(before, after), distance(before, control)
    counts = {
        "n": 1,
        "moves": moves,
        "control": by_control,
        "difference": moves - by_control,
        "changes": int(_top(before) != _top(after)),
        "control_changes": int(_top(before) != _top(control)),
    }
    for emotion in before:
        counts[f"rises.{emotion}"] = after[emotion] - before[emotion]
    return counts


def _percent(key: str, summed: Mapping[str, float]) -> float:
    return 100 * summed[key] / summed["n"] if summed.get("n") else math.nan


def table(rows: Sequence[Row], config: ScoringConfig) -> list[Moved]:
    """All replacements together, then each field and value; rows may be of several folds."""
    groups: dict[tuple[str, str], Rows] = {(ALL, ""): []}
    for row in rows:
        counted = (Utterance(row["utt_id"], "", row["spk"]), _counts(row))
        groups[ALL, ""].append(counted)
        groups.setdefault((row["field"], row["to"]), []).append(counted)
    ordered = sorted(groups, key=_position)
    return [_moved(*group, groups[group], config) for group in ordered if groups[group]]


def _position(group: tuple[str, str]) -> tuple[int, int]:
    """Place of a field and value in the table."""
    field, value = group
    if field == ALL:
        return -1, 0
    return list(VALUES).index(field), VALUES[field].index(value)


def _moved(field: str, to: str, counted: Rows, config: ScoringConfig) -> Moved:
    summed = total([counts for _, counts in counted])
    figures: dict[str, Any] = {}
    for key in ("moves", "control", "difference", "changes", "control_changes"):
        bounds = (-100.0, 100.0) if key == "difference" else (0.0, 100.0)
        metric = Metric(key, "%", None, partial(_percent, key), bounds=bounds)
        figures[key] = round(_percent(key, summed), 2)
        figures[f"{key}_interval"] = interval(metric, counted, config)
    rises = {}
    for key in summed:
        if key.startswith("rises."):
            rises[key.removeprefix("rises.")] = round(_percent(key, summed), 2)
    return Moved(field, to, len(counted), rises=rises, **figures)


def write(
    out: Path, rows: Sequence[Row], used: Mapping[str, Any], config: ScoringConfig
) -> list[Moved]:
    """Write depends.json beside the scores `out`, and its rows, which `report` pools.

    used: how many utterances could be used, and why the others could not.
    """
    moved = table(rows, config)
    write_jsonl(beside(out, ROWS_NAME), rows)
    tree = {
        **used,
        "signature": _signature(config),
        "replaced": [asdict(row) for row in moved],
        BY_DESCRIPTORS: read_json(out).get(BY_DESCRIPTORS),
        "rows": beside(out, ROWS_NAME).name,
    }
    write_json(beside(out, NAME), tree)
    return moved


def _signature(config: ScoringConfig) -> str:
    """What the figures depend on, as in score.json."""
    settings = "test:depends|distance:total variation|control:other phrase|order:descriptors first"
    method = f"t below {MIN_BOOTSTRAP} units, bootstrap"
    return f"{settings}|unit:{config.unit}|ci:{method}|serdesc:{__version__}"


TITLE = "movement of the posterior of the emotion where one descriptor is replaced"


def cells(moved: Sequence[Moved]) -> pd.DataFrame:
    """Text cells, one row per replacement; two decimals, because the movements may be small."""
    import pandas as pd

    rows = []
    for row in moved:
        interval = row.difference_interval
        cells = {
            "replaced": row.field,
            "by": row.to,
            "cases": str(row.n),
            "posterior moves %": f"{row.moves:.2f}",
            "other phrase %": f"{row.control:.2f}",
            "difference": f"{row.difference:+.2f}",
            "95 %": "{:+.2f} to {:+.2f}".format(*interval) if interval else "",
            "emotion changes %, other phrase": f"{row.changes:.2f}, {row.control_changes:.2f}",
        }
        rows.append(cells)
    return pd.DataFrame(rows, dtype=object)
