"""The command line: one verb a stage. Heavy imports stay inside the verbs, so `serdesc --help` answers at once."""

from __future__ import annotations

import sys

from serdesc.cli import data, model, scores  # noqa: F401  (each puts its verbs into the app, in the order of the data's path)
from serdesc.cli.verbs import app


def entry() -> None:
    """Console script."""
    try:
        app()
    except BrokenPipeError:
        sys.exit(0)
