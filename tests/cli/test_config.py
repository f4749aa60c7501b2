"""serdesc config."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import yaml
from helpers.cli import serdesc

from serdesc import config as configs

ROOT = Path(__file__).parents[2]


def test_config_prints_what_files_and_settings_come_to() -> None:
    mini = ROOT / "egs/mini/conf/mini.yaml"
    code, said = serdesc(
        "config", "--config", mini, "--config", "two_stage", "--set", "training.beta=1e-3"
    )
    assert code == 0 and yaml.safe_load(said) == asdict(
        configs.load([mini, Path("two_stage")], ["training.beta=1e-3"])
    )
    assert serdesc("config", "encoder.model") == (0, "facebook/hubert-large-ls960-ft\n")
    assert yaml.safe_load(serdesc("config", "training.content")[1]) == asdict(
        configs.Config().training.content
    )
    assert serdesc("config", "training.beta.x") == (
        2,
        "serdesc config: training.beta.x: beta has no 'x'; it is a value\n",
    )
    assert "encoder has no 'modl'; it has model, layers" in serdesc("config", "encoder.modl")[1]
