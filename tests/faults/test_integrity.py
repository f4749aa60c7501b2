"""A file that changes after it was written is found by `serdesc check EXP`, and named."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from helpers.cli import serdesc

from serdesc import manifest
from serdesc.files import read_json


@pytest.fixture
def experiment(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> Path:
    """Two trained, decoded and scored folds."""
    options = [word for setting in tiny_settings for word in ("--set", setting)]
    for arguments in (("annotate", corpus), ("extract", corpus, tmp_path / "dump")):
        assert serdesc(*arguments, *options)[0] == 0
    for fold in ("fold1", "fold2"):
        exp = tmp_path / "exp" / fold
        hyp = exp / "decode_test" / "hyp.jsonl"
        for command in (
            ("train", corpus / fold / "train", tmp_path / "dump", exp, *options),
            ("decode", corpus / fold / "test", tmp_path / "dump", exp),
            ("score", corpus / fold / "test", "--hyp", hyp, "--metric", "ua,wer"),
        ):
            code, text = serdesc(*command)
            assert code == 0, text
    return tmp_path / "exp"


def test_every_file_of_an_experiment_is_checked_and_a_flipped_bit_found(experiment: Path) -> None:
    code, text = serdesc("check", experiment)
    assert code == 0, text
    assert text.count("3 of 3 blocks trained") == 2
    assert text.count("files checked by manifest.json; made by") == 2
    recorded = []
    for folder in (experiment / "fold1", experiment / "fold1" / "decode_test"):
        recorded += [folder / name for name in manifest.read(folder)]
    names = {path.name for path in recorded}
    assert names >= {"config.yaml", "env.json", "train.jsonl", "targets.json", "hyp.jsonl"}
    assert names >= {"hyp.made.json", "hyp.branches.safetensors", "score.json", "rows.jsonl"}
    weights = [p for p in (experiment / "fold1" / "checkpoint").rglob("*.safetensors")]
    rng = random.Random(2)
    for path in [*recorded, *weights]:
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        code, text = serdesc("check", experiment)
        assert code != 0 and str(path) in text.replace("\n", ""), (path, text)
        path.write_bytes(content)
    (experiment / "fold2" / "decode_test" / "rows.jsonl").unlink()
    code, text = serdesc("check", experiment)
    assert code == 1 and "rows.jsonl: missing" in text


def test_the_commands_that_repeat_an_experiment_are_recorded(experiment: Path) -> None:
    environment = read_json(experiment / "fold1" / "env.json")
    for key in ("command", "directory", "commit", "processor", "gpus", "driver", "variables"):
        assert key in environment
    commands = manifest.commands(experiment / "fold1" / "decode_test")
    assert len(commands) >= 1 and all(commands)


def test_experiments_of_earlier_versions_have_no_record(experiment: Path) -> None:
    for folder in (experiment / "fold1", experiment / "fold1" / "decode_test"):
        (folder / manifest.NAME).unlink()
    shutil.rmtree(experiment / "fold2")
    code, text = serdesc("check", experiment)
    assert code == 0 and "no manifest.json" in text, text


def test_secrets_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    from serdesc.runtime import environment

    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setenv("SERDESC_API_KEY", "hf_x")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    variables = environment()["variables"]
    assert variables["SLURM_JOB_ID"] == "77" and "hf_x" not in variables.values()
