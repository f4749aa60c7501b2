"""What the page shows of an experiment as a whole: scores, folds, training, environment."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from serdesc import __version__
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.files import read_json, read_jsonl
from serdesc.scoring import intervals, metrics, typeset
from serdesc.scoring import report as reports
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.protocol import described

Row = dict[str, Any]
POINTS = 120  # of a training curve


def summary(experiment: Experiment, folds: Sequence[str], config: Config) -> Row:
    """The summary of a report. Raises UserError if the folds have not been pooled."""
    path = experiment.path / f"score_{experiment.part}.json"
    if not path.exists():
        raise UserError(f"{path}: no pooled scores: run `serdesc report {experiment.path}` first")
    pooled = read_json(path)
    units = {metric.name: metric.unit for metric in metrics.every()}
    baselines = reports.baselines_of(experiment)
    scores = []
    for score in pooled["scores"]:
        name = score["metric"]
        beside = {base: values.get(name) for base, values in baselines.items()}
        scores.append({**_shown(score), "unit": units.get(name, name), "baselines": beside})
    fold = experiment.folds[0]
    return {
        "kind": "experiment",
        "name": experiment.path.name,
        "part": experiment.part,
        "version": __version__,
        "described": described(experiment.config),
        "folds": list(folds),
        "scores": scores,
        "notes": _notes(pooled["scores"], units, config.scoring.unit),
        "tests": list(_tests(experiment, config)),
        "training": [_training(path) for path in experiment.folds],
        "environment": _environment(fold),
        "config": _text(fold / "config.yaml"),
        "commands": [_command(path) for path in experiment.folds],
    }


def _shown(score: Mapping[str, Any]) -> Row:
    """The entries of a pooled score that the page uses."""
    names = "metric value chance interval n signature note by_fold mean deviation above_log_mel"
    shown = {name: score.get(name) for name in names.split()}
    return {**shown, "unread": score.get("counts", {}).get("unread")}


def _notes(scores: Sequence[Row], units: Mapping[str, str], unit: str) -> list[str]:
    """The method of the intervals, and why scores have no value."""
    present = [s["interval_units"] for s in scores if s["value"] is not None and s["n"]]
    notes = [f"95 % intervals: {intervals.described(present, unit)}"] if present else []
    without: dict[str, list[str]] = {}
    for score in scores:
        if score.get("note"):
            without.setdefault(score["note"], []).append(units.get(score["metric"], ""))
    return notes + [f"not computed: {', '.join(names)}: {why}" for why, names in without.items()]


def _tests(experiment: Experiment, config: Config) -> Iterator[Row]:
    """Title, cells and number of label columns of each further table of the report."""
    for title, frame, labels in reports.tables(experiment, config):
        head, *cells = typeset.grid(frame)
        yield {"title": title, "head": head, "rows": cells, "labels": labels}


def _training(fold: Path) -> list[Row]:
    """The curves of each phase of a fold: means over up to POINTS groups of consecutive steps."""
    path = fold / "train.jsonl"
    log = read_jsonl(path, growing=True) if path.exists() else []
    phases: dict[str, list[Row]] = {}
    for position, step in enumerate(log):
        phases.setdefault(step["phase"], []).append({**step, "position": position})
    return [_phase(name, steps) for name, steps in phases.items()]


def _phase(name: str, steps: Sequence[Row]) -> Row:
    size = math.ceil(len(steps) / POINTS)
    groups = [steps[start : start + size] for start in range(0, len(steps), size)]
    curves: Row = {"phase": name, "steps": len(steps), "step": []}
    for group in groups:
        curves["step"].append(round(_mean([step["position"] for step in group]) or 0, 1))
    for key in ("llm_loss", "kl_loss", "lr"):
        curves[key] = [_mean([step.get(key) for step in group]) for group in groups]
    return curves


def _mean(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return float(f"{sum(finite) / len(finite):.5g}") if finite else None


def _environment(fold: Path) -> Row:
    path = fold / "env.json"
    recorded: Row = read_json(path) if path.exists() else {}
    recorded.pop("command", None)
    return recorded


def _command(fold: Path) -> str:
    path = fold / "env.json"
    return str(read_json(path).get("command", "")) if path.exists() else ""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
