"""One module a metric (or a family of them): `METRICS` is what it offers. The name you type is the file you open."""

from __future__ import annotations

import importlib
import pkgutil

from serdesc import plugins
from serdesc.errors import UserError
from serdesc.scoring.metric import Metric

__path__ += plugins.folders("metrics")


def every() -> list[Metric]:
    modules = sorted(m.name for m in pkgutil.iter_modules(__path__))
    metrics = [
        metric
        for name in modules
        for metric in importlib.import_module(f"{__name__}.{name}").METRICS
    ]
    return sorted(metrics, key=lambda metric: metric.column)


def chosen(names: str) -> list[Metric]:
    """Metrics by name, separated by commas; empty: all."""
    known = {metric.name: metric for metric in every()}
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UserError(f"--metric {', '.join(unknown)}: not known; known are {', '.join(known)}")
    return [known[name] for name in wanted]
