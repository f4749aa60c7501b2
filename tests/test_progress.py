"""Progress in a log."""

from __future__ import annotations

import pytest

from serdesc.progress import progress


def test_lines_say_how_far_and_how_fast_and_hidden_ones_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for hidden in (False, True):
        with progress("fold 1", 3, "steps", hidden) as advance:
            for _ in range(3):
                advance(1)
        said = capsys.readouterr().err
        assert said.startswith("" if hidden else "fold 1: 3/3 steps, ") and hidden == (not said)
