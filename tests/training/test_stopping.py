"""When checkpoints are due and when training stops."""

from __future__ import annotations

import os
import signal
import time

import pytest

from serdesc.config import TrainingConfig
from serdesc.errors import UserError
from serdesc.training.stopping import Due, Pace, StopRequest, seconds_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_times_are_written_as_for_sbatch() -> None:
    assert seconds_of("90") == 90 and seconds_of("0:01:30") == 90 and seconds_of("1.5") == 1.5
    assert seconds_of("2-01:00:00") == (2 * 24 + 1) * 3600
    for wrong in ("", "0", "1h", "1:30", "2-1", "-5", "1:2:3"):
        with pytest.raises(UserError, match="write seconds, hours:minutes:seconds"):
            seconds_of(wrong)


def test_a_checkpoint_is_due_by_time_or_by_steps(clock: list[float]) -> None:
    pace = Pace(TrainingConfig(save_seconds=60), StopRequest())
    due = []
    for step in range(1, 8):
        clock[0] += 20
        due.append(pace.after_step(step).save)
        if due[-1]:
            pace.after_save(clock[0])
    assert due == [False, False, True, False, False, True, False]
    by_steps = Pace(TrainingConfig(save_seconds=0, save_steps=3), StopRequest())
    clock[0] += 1e6
    assert [by_steps.after_step(step).save for step in range(1, 7)] == [False, False, True] * 2
    never = Pace(TrainingConfig(save_seconds=0), StopRequest())
    clock[0] += 1e6
    assert never.after_step(6) == Due(False, False)


def test_the_limit_leaves_time_for_a_step_and_a_checkpoint(clock: list[float]) -> None:
    """Steps of 10 s and a checkpoint of 20 s: 60 s before the end is the last moment."""
    pace = Pace(TrainingConfig(save_seconds=0), StopRequest(200))
    clock[0] += 10
    assert not pace.after_step(1).stop
    clock[0] += 20
    pace.after_save(clock[0] - 20)
    stops = []
    for step in range(2, 14):
        clock[0] += 10
        stops.append(pace.after_step(step).stop)
    assert stops.index(True) == 11  # after 140 s exactly 60 s are left, after 150 s less


def test_signals_are_requests_inside_the_block_only() -> None:
    stop = StopRequest()
    before = signal.getsignal(signal.SIGTERM)
    for number in (signal.SIGUSR1, signal.SIGTERM):
        with stop.listening():
            os.kill(os.getpid(), number)
        assert stop.received == number.name and Pace(TrainingConfig(), stop).after_step(1).stop
    assert signal.getsignal(signal.SIGTERM) == before
