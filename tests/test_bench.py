"""Benchmarks run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.training import Lab

from serdesc import config as configs

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
def test_the_cost_of_a_checkpoint_is_measured(lab: Lab) -> None:
    config = lab.folder / "config.yaml"
    configs.dump(lab.config, config)
    script, data = str(ROOT / "tools/bench/checkpoints.py"), str(lab.corpus / "fold1" / "train")
    command = [sys.executable, script, data, str(lab.folder / "store"), "--config", str(config)]
    done = subprocess.run(
        [*command, "--steps", "3"], capture_output=True, text=True, check=True, cwd=lab.folder
    )
    assert "(median of 3)" in done.stdout and "% at training.save_seconds=60" in done.stdout
    assert sorted(path.name for path in lab.folder.iterdir()) == ["config.yaml", "store"]


@pytest.mark.slow
@pytest.mark.parametrize("padded", [False, True])
def test_the_probe_of_an_encoder_runs_beside_log_mel(
    parts: Path, tiny_whisper: Path, padded: bool
) -> None:
    """Every layer alone too; with --padded from recordings with silence up to max_seconds."""
    script = str(ROOT / "tools/bench/probe.py")
    settings = [f"--set=encoder.model={tiny_whisper}", "--set=encoder.max_seconds=2"]
    command = [sys.executable, script, str(parts), "live", *settings, "--set=threads=1", "--layers"]
    command += ["--padded"] * padded
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "12 test utterances in 2 folds" in said
    rows = [line.split("|")[1].strip() for line in said.splitlines() if line.startswith("|")]
    names = ["log-mel statistics", "all layers", "output 1", "output 2", "output 3"]
    assert [row for row in rows if row[0].isalpha()] == ["classifier", *names]
    (logmel,) = [line for line in said.splitlines() if "log-mel statistics" in line]
    assert "+0.0 (+0.0 to +0.0)" in logmel
    assert ("cosine to frames without silence, by layer: " in said) == padded


def test_the_benchmark_of_coverage_runs() -> None:
    script = str(ROOT / "tools/bench/interval_coverage.py")
    command = [sys.executable, script, "--simulations", "20", "--units", "3", "--nj", "1"]
    command += ["--metric", "cider"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "| metric | 3 speakers |" in said and "| cider, difference | " in said


@pytest.mark.slow
def test_the_benchmark_of_scale_runs(tmp_path: Path) -> None:
    script = str(ROOT / "tools/bench/scale.py")
    command = [sys.executable, script, "24", "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("24")]
    assert [row[1] for row in rows] == ["annotate", "check", "extract", "train, 60 s", "score"]
    assert all(0 < float(row[4]) < 4 for row in rows)


def test_words_of_an_experiment_are_listed(lab: Lab) -> None:
    settings = ("adapter.slots=8", "adapter.k=1", "training.pretrain.epochs=1")
    exp = lab.train("words", *settings, "training.content.epochs=0", "training.descriptor.epochs=0")
    data = str(lab.corpus / "fold1" / "train")
    command = [sys.executable, str(ROOT / "tools/bench/words.py"), str(exp), data]
    command.append(str(lab.folder / "store"))
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"WER \d+\.\d %, 6 utterances", shown)
    assert re.search(r"emotion +6 +\d", shown) and re.search(r"pitch +\d +\d", shown)
