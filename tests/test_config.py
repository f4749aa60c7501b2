"""Configuration files and settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from serdesc import config as configs
from serdesc.config import Config
from serdesc.errors import UserError

ROOT = Path(__file__).parents[1]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "training:\n  betta: 1\n  batch_size: many\n  content: {lr: 2e-4, schedule: steps}\nllm:"
        " big\nfolds: {labels: sad}\n"
    )
    with pytest.raises(UserError) as error:
        configs.load(path)
    for part in (
        "5 error(s)",
        "training.betta: no such key; did you mean 'beta'?",
        "training.batch_size: 'many' where a whole number",
        "training.content.schedule: 'steps' is not one of constant, cosine",
        "llm: 'big' where a section",
        "folds.labels: 'sad' where a list",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "setting, told",
    [
        ("scoring.resamples=-5", "scoring.resamples: '-5' is not 1 or more"),
        ("training.batch_size=0", "training.batch_size: '0' is not 1 or more"),
        ("training.content.epochs=-1", "training.content.epochs: '-1' is not 0 or more"),
        ("training.descriptor.lr=0", "training.descriptor.lr: '0' is not more than 0"),
        ("llm.lora.dropout=1.5", "llm.lora.dropout: '1.5' is not between 0 and 1"),
        ("encoder.max_seconds=.nan", "encoder.max_seconds: 'nan' is not more than 0"),
        ("store.shard_seconds=.inf", "store.shard_seconds: 'inf' is not more than 0"),
        ("adapter.k=true", "adapter.k: 'True' where a whole number is expected"),
    ],
)
def test_senseless_numbers_are_told_with_their_range(setting: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        configs.load(None, [setting])
    assert "1 error(s)" in str(error.value) and told in str(error.value)


def test_numbers_in_yaml_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("training: {beta: 1e-3, content: {lr: 2e-4}}\n")
    loaded = configs.load(
        path,
        [
            "training.content.epochs=7",
            "folds.test_speakers=[[a],[b, c]]",
            "training.descriptor.lr=3e-5",
            "llm.model=x",
        ],
    )
    assert (loaded.training.beta, loaded.training.content.lr, loaded.training.descriptor.lr) == (
        1e-3,
        2e-4,
        3e-5,
    )
    papers = configs.Config().training.descriptor
    assert (loaded.training.descriptor.epochs, loaded.training.descriptor.schedule) == (
        papers.epochs,
        "cosine",
    )  # the rest of a section stays
    assert loaded.training.content.epochs == 7 and loaded.folds.test_speakers == [["a"], ["b", "c"]]


def test_includes_are_laid_under_and_must_not_turn_round(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("seed: 3\ntraining: {beta: 1, content: {epochs: 9}}\n")
    (tmp_path / "over.yaml").write_text("include: base.yaml\ntraining: {beta: 0.5}\n")
    loaded = configs.load(tmp_path / "over.yaml")
    assert (loaded.seed, loaded.training.beta, loaded.training.content.epochs) == (3, 0.5, 9)
    (tmp_path / "base.yaml").write_text("include: over.yaml\n")
    with pytest.raises(UserError, match="includes itself"):
        configs.load(tmp_path / "over.yaml")


@pytest.mark.parametrize(
    "settings, message",
    [
        (["training.beta"], "write key=value"),
        (["a: b: c=1"], "no such key"),
        (["seed=[1"], "not YAML"),
    ],
)
def test_faulty_settings_are_named(settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        configs.load(None, settings)


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("seed: 1\ntraining:\n  beta: 1e-2\n  loss: mean\n  beta: 1e-3\n")
    with pytest.raises(UserError, match="twice.yaml: the key 'beta' stands in lines 3 and 5"):
        configs.load(path)
    with pytest.raises(UserError, match="the key 'r' stands in lines 1 and 1"):
        configs.load(None, ["llm.lora={r: 8, r: 16}"])


def test_a_resolved_configuration_reads_back(tmp_path: Path) -> None:
    configs.dump(Config(), tmp_path / "c.yaml")
    assert configs.load(tmp_path / "c.yaml") == Config()


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("egs/*/conf/*.yaml")), ids=lambda p: f"{p.parts[-3]}-{p.stem}"
)
def test_every_recipes_configuration_loads(path: Path) -> None:
    configs.load(path)
