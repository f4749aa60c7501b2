"""The command line: one command per stage, one file per command.

Heavy imports are inside the commands, so that `serdesc --help` answers at once.
"""

from __future__ import annotations

import io
import signal
import sys
import warnings
from typing import TextIO

# Each module registers its command; their order here is the order of `serdesc --help`.
from serdesc.cli import prepare, annotate, check, config, plan, extract, train, decode  # noqa: F401
from serdesc.cli import describe, translate, score, compare, baselines  # noqa: F401
from serdesc.cli import report, table, probe, export  # noqa: F401
from serdesc.cli.command import app
from serdesc.errors import Notice


def entry() -> None:
    """Console script. Characters outside the locale's encoding are printed as a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a time limit is near: only training acts on it
    warnings.showwarning = _show_warning
    if not sys.warnoptions:  # warnings of other libraries appear with python -W default
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", Notice)
    try:
        app()
    except BrokenPipeError:
        sys.exit(0)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"serdesc: {message}", file=sys.stderr)
