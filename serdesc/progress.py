"""Progress of a long computation: a bar with rate and time left on a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import Callable, Iterator

INTERVAL = 15.0  # seconds between two plain lines


@contextmanager
def progress(
    description: str, total: int, unit: str, hidden: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yields `advance(n)`, to be called after n units of work; prints to standard error.

    hidden: prints nothing, in all but one of several processes that work together.
    """
    if hidden:
        yield lambda n: None
    elif sys.stderr.isatty():
        yield from _bar(description, total, unit)
    else:
        yield from _lines(description, total, unit)


def _bar(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, rate="")
        start, done = time.monotonic(), 0

        def advance(n: int = 1) -> None:
            nonlocal done
            done += n
            per_second = done / max(1e-9, time.monotonic() - start)
            bar.update(task, advance=n, rate=f"{per_second:.1f}/s")

        yield advance


def _lines(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    start = last = time.monotonic()
    done = 0

    def advance(n: int = 1) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= INTERVAL or (done == total and total):
            last = now
            per_second = done / max(1e-9, now - start)
            left = (total - done) / per_second
            line = f"{description}: {done}/{total} {unit}, {per_second:.1f}/s, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)

    yield advance
