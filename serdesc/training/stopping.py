"""When training writes checkpoints, and when it ends early with one. Imports no torch."""

from __future__ import annotations

import math
import re
import signal
import time
from contextlib import contextmanager
from types import FrameType
from typing import Iterator, NamedTuple

from serdesc.config import TrainingConfig
from serdesc.errors import UserError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")  # of Slurm, with days or without


class StopRequest:
    """A signal or a time limit, in seconds from here, that ends training with a checkpoint."""

    def __init__(self, time_limit: float = math.inf) -> None:
        self.start, self.time_limit = time.monotonic(), time_limit
        self.received = ""  # name of the signal

    @contextmanager
    def listening(self) -> Iterator[None]:
        """In the block, SIGTERM and SIGUSR1 are requests to stop; for the main thread."""
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name

    def seconds_left(self) -> float:
        return self.start + self.time_limit - time.monotonic()


class Due(NamedTuple):
    """What follows a step."""

    save: bool
    stop: bool


class Pace:
    """Decides after each step; measures how long steps and checkpoints take."""

    def __init__(self, training: TrainingConfig, stop: StopRequest) -> None:
        self.training, self.stop = training, stop
        self.longest_step = 0.0
        # Until one was written, a checkpoint is assumed to take this long.
        self.longest_save = min(10.0, stop.time_limit / 10)
        self.last_step = self.last_save = time.monotonic()

    def after_step(self, steps: int) -> Due:
        """steps: taken in the block."""
        now = time.monotonic()
        self.longest_step = max(self.longest_step, now - self.last_step)
        self.last_step = now
        training = self.training
        save = bool(training.save_steps) and steps % training.save_steps == 0
        save |= 0 < training.save_seconds <= now - self.last_save
        # Time for another step and a checkpoint, each up to twice as long as any before.
        needed = 2 * (self.longest_step + self.longest_save)
        return Due(save, bool(self.stop.received) or self.stop.seconds_left() < needed)

    def after_save(self, started: float) -> None:
        """started: the time when writing began."""
        self.last_step = self.last_save = time.monotonic()
        self.longest_save = max(self.longest_save, self.last_save - started)


def seconds_of(time_limit: str) -> float:
    """Seconds of `3600`, `1:00:00` or `2-00:00:00`, as sbatch's --time. Raises UserError."""
    if found := TIME.fullmatch(time_limit):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    if re.fullmatch(r"\d+(\.\d+)?", time_limit) and float(time_limit) > 0:
        return float(time_limit)
    raise UserError(
        f"--time-limit '{time_limit}': write seconds, hours:minutes:seconds or"
        " days-hours:minutes:seconds, for example 3600, 1:00:00 or 2-00:00:00"
    )
