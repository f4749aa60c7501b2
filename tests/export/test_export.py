"""Folders to share: what is in them, and that others can load them."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.cli import serdesc

from serdesc import builtin
from serdesc.data import datadir, prepare
from serdesc.config import PrepareConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture
def experiment(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> Path:
    """A trained and scored fold with an LLM and an encoder of random weights."""
    options = [word for setting in tiny_settings for word in ("--set", setting)]
    exp = tmp_path / "exp" / "fold1"
    for command in (
        ("annotate", corpus, *options),
        ("train", corpus / "fold1" / "train", "live", exp, *options),
        ("decode", corpus / "fold1" / "test", "live", exp),
        ("score", corpus / "fold1" / "test", "--hyp", exp / "decode_test" / "hyp.jsonl"),
        ("report", tmp_path / "exp", *options),
    ):
        code, text = serdesc(*command)
        assert code == 0, (command, text)
    return exp


def test_a_model_is_exported_with_its_card_and_loads(
    experiment: Path, tmp_path: Path, tone: Any, tiny_encoder: Path, tiny_llm: Path
) -> None:
    out = tmp_path / "shared-model"
    code, text = serdesc("export", experiment, out)
    assert code == 2 and "encoder.model is the folder" in text and "published name" in text
    # As published models, found by their name in the working directory of who loads it
    (tmp_path / "them" / "someone").mkdir(parents=True)
    for name, folder in (("encoder", tiny_encoder), ("llm", tiny_llm)):
        (tmp_path / "them" / "someone" / name).symlink_to(folder)
    names = ("--set", "encoder.model=someone/encoder", "--set", "llm.model=someone/llm")
    code, text = serdesc("export", experiment, out, *names, "--licence", "cc-by-4.0")
    assert code == 0, text
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {
        "README.md",
        "config.yaml",
        "checkpoint/state.json",
        "checkpoint/model.safetensors",
        "checkpoint/lora/adapter_config.json",
        "checkpoint/lora/adapter_model.safetensors",
    }
    for path in out.rglob("*"):
        if path.suffix in (".md", ".yaml", ".json"):
            assert str(tmp_path) not in path.read_text() and "/hubert" not in path.read_text()
    card = (out / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["base_model"] == ["someone/encoder", "someone/llm"]
    assert head["license"] == "cc-by-4.0"
    for words in (
        "serdesc describe --model",
        "| ua |",
        "No emotion could be read from",
        "All folds",
    ):
        assert words in card, words
    tone("them/voice.wav", seconds=1.0)
    script = f"import serdesc; print(serdesc.load({str(out)!r}).describe_file('voice.wav').caption)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "them",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    code, text = serdesc("export", experiment, out, *names)
    assert code == 2 and "exists already" in text


def test_a_model_of_the_hub_is_fetched_as_weights_and_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetched(model: str, allow_patterns: list[str]) -> str:
        asked.append((model, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    assert builtin.experiment("someone/model") == tmp_path
    ((model, kinds),) = asked
    assert model == "someone/model" and not any(kind.endswith((".py", ".bin")) for kind in kinds)
    assert builtin.experiment("./exp/fold1") == Path("exp/fold1")
    assert builtin.experiment("describer-mini").is_dir() and len(asked) == 1


def test_data_as_csv_is_read_again(corpus: Path, tmp_path: Path) -> None:
    code, text = serdesc("export", corpus, tmp_path / "out", "--to", "csv")
    assert code == 0 and "data.csv" in text
    config = PrepareConfig()
    again, rejected = prepare.prepare("csv", tmp_path / "out", tmp_path / "again", config, nj=1)
    assert not rejected
    for before, after in zip(datadir.read(corpus), again, strict=True):
        for name in ("utt_id", "spk", "text", "emotion", "gender", "age", "session"):
            assert getattr(before, name) == getattr(after, name), name


def test_data_as_lhotse(corpus: Path, tmp_path: Path) -> None:
    serdesc("annotate", corpus)
    code, text = serdesc("export", corpus / "fold1" / "test", tmp_path / "out", "--to", "lhotse")
    assert code == 0, text
    rows = []
    for name in ("recordings", "supervisions"):
        with gzip.open(tmp_path / "out" / f"{name}.jsonl.gz", "rt") as file:
            rows.append([json.loads(line) for line in file])
    recordings, supervisions = rows
    assert len(recordings) == len(supervisions) == 6
    assert recordings[0]["num_samples"] == recordings[0]["duration"] * 16_000
    assert {row["custom"]["emotion"] for row in supervisions} == {"angry", "happy", "sad"}
    lhotse = pytest.importorskip("lhotse")
    cuts = lhotse.CutSet.from_manifests(
        lhotse.RecordingSet.from_file(tmp_path / "out" / "recordings.jsonl.gz"),
        lhotse.SupervisionSet.from_file(tmp_path / "out" / "supervisions.jsonl.gz"),
    )
    assert sum(cut.load_audio().shape[1] for cut in cuts) > 0
    lhotse.validate_recordings_and_supervisions(cuts[0].recording, cuts[0].supervisions)


def test_formats_that_are_not_known(corpus: Path, tmp_path: Path) -> None:
    code, text = serdesc("export", corpus, tmp_path / "out", "--to", "kaldi")
    assert code == 2 and "known are csv, lhotse" in text
    code, text = serdesc("export", tmp_path, tmp_path / "out")
    assert code == 2 and "neither" in text
