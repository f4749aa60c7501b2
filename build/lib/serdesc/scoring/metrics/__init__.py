"""Metrics, one module per metric or family of metrics; a module lists them in `METRICS`."""

from __future__ import annotations

import importlib
import pkgutil

from serdesc import plugins
from serdesc.errors import UserError
from serdesc.scoring.metric import Metric

__path__ += plugins.folders("metrics")


def every() -> list[Metric]:
    """All metrics, plug-ins included, in the order of the tables' columns."""
    modules = sorted(m.name for m in pkgutil.iter_modules(__path__))
    metrics = [
        metric
        for name in modules
        for metric in importlib.import_module(f"{__name__}.{name}").METRICS
    ]
    return sorted(metrics, key=lambda metric: metric.column)


def chosen(names: str) -> list[Metric]:
    """The metrics with these comma-separated names; an empty string selects all.

    Raises UserError for an unknown name.
    """
    by_name = {metric.name: metric for metric in every()}
    selected = [name.strip() for name in names.split(",") if name.strip()] or list(by_name)
    unknown = [name for name in selected if name not in by_name]
    if unknown:
        raise UserError(f"--metric {', '.join(unknown)}: not known; known are {', '.join(by_name)}")
    return [by_name[name] for name in selected]
