"""Benchmarks run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["recordings", "parquet", "clips"])
def test_the_benchmark_runs(form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    script = str(ROOT / "tools/bench/speechcraft_prepare.py")
    command = [sys.executable, script, "--utterances", "70", "--nj", "1", "--form", form]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (
        "made 70 labelled segments, 135 in all, of 3 recordings" in said
        and "data: 70 utterances, 3 speakers" in said
    )
    second = "serdesc prepare, again: " if form == "parquet" else "naive json.load: "
    assert f"serdesc prepare, {form}: " in said and second in said


@pytest.mark.slow
def test_the_benchmark_of_coverage_runs() -> None:
    script = str(ROOT / "tools/bench/coverage.py")
    command = [sys.executable, script, "--simulations", "20", "--units", "3", "--nj", "1"]
    command += ["--metric", "cider"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "| metric | 3 speakers |" in said and "| cider, difference | " in said
