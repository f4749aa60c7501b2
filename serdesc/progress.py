"""How far a long piece of work is: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import Callable, Iterator

EVERY_SECONDS = 15.0  # between two plain lines


@contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """`advance(n)` for the work in the block; everything goes to standard error."""
    if sys.stderr.isatty():
        yield from _bar(what, total, unit)
    else:
        yield from _lines(what, total, unit)


def _bar(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(compact=True), TextColumn("left"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, rate="")
        start, done = time.monotonic(), 0

        def advance(n: int = 1) -> None:
            nonlocal done
            done += n
            bar.update(task, advance=n, rate=f"{done / max(1e-9, time.monotonic() - start):.1f}/s")

        yield advance


def _lines(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    start = last = time.monotonic()
    done = 0

    def advance(n: int = 1) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= EVERY_SECONDS or (done == total and total):
            last = now
            rate = done / max(1e-9, now - start)
            print(
                f"{what}: {done}/{total} {unit}, {rate:.1f}/s, {(total - done) / rate:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    yield advance
