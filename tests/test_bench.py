"""Benchmarks run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_benchmark_runs() -> None:
    command = [
        sys.executable,
        str(ROOT / "tools/bench/speechcraft_prepare.py"),
        "--utterances",
        "70",
        "--nj",
        "1",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (
        "made 70 labelled segments, 135 in all, of 3 recordings" in said
        and "data: 70 utterances, 3 speakers" in said
    )
    assert "serdesc prepare: " in said and "naive json.load: " in said
