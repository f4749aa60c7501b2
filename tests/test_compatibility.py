"""Experiments, records and settings that version 0.1 wrote (tests/golden/v0.1) remain usable."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from serdesc import config as configs
from serdesc import configfile
from serdesc.errors import Notice, UserError
from serdesc.files import read_json, read_jsonl

GOLDEN = Path(__file__).parent / "golden" / "v0.1"
# As the experiments were trained, with the keys of version 0.1.
SETTINGS = (
    "encoder.model=hubert llm.model=llama llm.dtype=float32 llm.lora.r=2 branch.latent=4 "
    "adapter.hidden=8 training.content.epochs=2 training.descriptor.epochs=2 "
    "training.content.rate=1e-3 training.content.warmup=0.1 training.batch_size=4 "
    "training.accumulate=2 training.clip=0.5 training.reword=true decoding.max_new_tokens=8 "
    "training.kl=sum "  # version 0.1 had no such key
    "measure.pitch=speechcraft measure.speech_time=whole "  # and measured so
    "decoding.batch_size=2 store.shard_seconds=3 threads=1 device=cpu"
).split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN, tmp_path / "v0.1")


def serdesc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, where the relative paths of the fixture hold."""
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(configs.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "serdesc.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.slow
def test_a_half_trained_experiment_is_resumed(folder: Path) -> None:
    """Four more steps end at the weights of the unbroken run, and the log has one column for both."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    done = serdesc(folder, "train", "data/fold1/train", "dump", "exp/half/fold1", *settings)
    assert done.returncode == 0, done.stderr
    assert "training.clip is now training.max_grad_norm" in done.stderr
    assert "4/4 steps" in done.stderr, "half of the training was done already"
    for name in ("model.safetensors", "lora/adapter_model.safetensors"):
        resumed, whole = (
            load_file(folder / f"exp/{exp}/fold1/checkpoint/{name}") for exp in ("half", "whole")
        )
        for key, tensor in whole.items():
            torch.testing.assert_close(resumed[key], tensor, atol=1e-6, rtol=1e-4)
    rows = read_jsonl(folder / "exp/half/fold1/train.jsonl")
    assert len(rows) == 8 and all("lr" in row and "rate" not in row for row in rows)
    assert read_json(folder / "exp/half/fold1/checkpoint/state.json")["done"] == 4


@pytest.mark.slow
def test_labels_by_former_measures_are_refused_with_the_settings_that_made_them(
    folder: Path,
) -> None:
    settings = [setting for setting in SETTINGS if not setting.startswith("measure.")]
    options = [part for setting in settings for part in ("--set", setting)]
    refused = serdesc(folder, "train", "data/fold1/train", "dump", "exp/new/fold1", *options)
    assert refused.returncode == 2
    assert "measure.pitch piptrack, the configuration has f0" in refused.stderr
    assert "measure.speech_time whole, the configuration has gated" in refused.stderr


@pytest.mark.slow
def test_a_half_decoded_experiment_is_resumed(folder: Path) -> None:
    decoded = folder / "exp/whole/fold1/decode_test"
    partial = [
        json.loads(line) for line in (decoded / ".hyp.jsonl.partial").read_text().splitlines()
    ]
    done = serdesc(folder, "decode", "data/fold1/test", "dump", "exp/whole/fold1")
    assert done.returncode == 0, done.stderr
    assert "4/4 utterances" in done.stderr, "two of six were decoded already"
    rows = {row["utt_id"]: row for row in read_jsonl(decoded / "hyp.jsonl")}
    assert len(rows) == 6 and [rows[row["utt_id"]] for row in partial] == partial
    other = ["--set", "decoding.max_new_tokens=9"]
    refused = serdesc(folder, "decode", "data/fold1/test", "dump", "exp/whole/fold1", *other)
    assert refused.returncode == 2 and "settings" in refused.stderr


@pytest.mark.slow
def test_labels_of_version_0_1_are_trained_on_and_scored(folder: Path) -> None:
    record = folder / "data/labelled.json"
    made = read_json(record)
    made["settings"] = {"leave_out": "", "only": "", "excited": "happy"}
    record.write_text(json.dumps(made))
    captions = (folder / "data/fold1/test/utt2cap").read_text().splitlines()
    rows = [dict(zip(("utt_id", "response"), line.split(" ", 1))) for line in captions]
    (folder / "hyp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = serdesc(folder, "score", "data/fold1/test", "--hyp", "hyp.jsonl", "--metric", "ua,pitch")
    assert done.returncode == 0, done.stderr
    assert [score["value"] for score in read_json(folder / "score.json")["scores"]] == [100, 100]


def test_former_keys_are_translated_and_both_spellings_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("training: {content: {rate: 1e-3}, clip: 2}\nllm: {quantise: 8bit}\n")
    with pytest.warns(Notice, match="training.content.rate is now training.content.lr") as notices:
        config = configs.load(file, ["training.descriptor.warmup=0.1", "training.max_grad_norm=3"])
    assert len(notices) == 2, "one for the file and one for the setting"
    assert (config.training.content.lr, config.training.max_grad_norm) == (1e-3, 3)
    assert (config.training.descriptor.warmup_ratio, config.llm.quantization) == (0.1, "8bit")
    file.write_text("training: {clip: 2, max_grad_norm: 1}\n")
    with pytest.raises(UserError, match="has both training.clip and training.max_grad_norm"):
        configs.load(file)
    for old in configfile.RENAMED:
        with pytest.warns(Notice, match=f"{old} is now "):
            configs.load(settings=[f"{old}={_value(old)}"])


def _value(key: str) -> str:
    return {"quantise": "8bit", "checkpointing": "true", "reword": "true"}.get(
        key.split(".")[-1], "1"
    )


def test_a_record_without_the_reduction_of_the_kl_was_trained_with_the_sum(tmp_path: Path) -> None:
    """The default changed to the mean; a record has every section, a user's file has not."""
    assert configs.load(GOLDEN / "exp/half/fold1/config.yaml").training.kl == "sum"
    assert configs.load(None).training.kl == "mean"
    own = tmp_path / "own.yaml"
    own.write_text("training: {beta: 1e-3}\n")
    assert configs.load(own).training.kl == "mean"


@pytest.mark.slow
def test_resuming_with_another_reduction_of_the_kl_is_refused(folder: Path) -> None:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    settings += ["--set", "training.kl=mean"]
    done = serdesc(folder, "train", "data/fold1/train", "dump", "exp/half/fold1", *settings)
    assert done.returncode == 2 and "training.kl sum, the configuration has mean" in done.stderr
