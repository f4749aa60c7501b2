"""The command line: one verb a stage. Heavy imports stay inside the verbs, so `serdesc --help` answers at once."""

from __future__ import annotations

import io
import sys
import warnings
from typing import TextIO

from serdesc.cli import (
    data,
    model,
    scores,
)  # noqa: F401  (each puts its verbs into the app, in the order of the data's path)
from serdesc.cli.command import app
from serdesc.errors import Notice

def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    print(f"serdesc: {message}", file=sys.stderr)


def entry() -> None:
    """Console script. What the locale's encoding lacks is printed as a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    warnings.showwarning = _show_warning
    if not sys.warnoptions:  # other libraries' warnings appear with python -W default
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", Notice)
    try:
        app()
    except BrokenPipeError:
        sys.exit(0)
