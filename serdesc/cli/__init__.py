"""The command line: one verb a stage. Heavy imports stay inside the verbs, so `serdesc --help` answers at once."""

from __future__ import annotations

import io
import sys

from serdesc.cli import data, model, scores  # noqa: F401  (each puts its verbs into the app, in the order of the data's path)
from serdesc.cli.verbs import app


def entry() -> None:
    """Console script. What the locale's encoding lacks is printed as a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except BrokenPipeError:
        sys.exit(0)
