"""Extraction: size of the features, live features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.cli import app
from serdesc.config import StoreConfig
from serdesc.data import datadir
from serdesc.errors import UserError
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_the_size_is_known_before_anything_is_stored(
    corpus: Path, encoder: Encoder, tmp_path: Path, dtype: str
) -> None:
    utterances = datadir.read(corpus)
    config = StoreConfig(dtype=dtype, shard_seconds=1.5)  # type: ignore[arg-type]
    stores.write(tmp_path / "s", utterances, encoder, config)
    held = sum(
        tensor.nbytes
        for shard in (tmp_path / "s").glob("shard*")
        for tensor in load_file(shard).values()
    )
    assert stores.size(utterances, encoder, config) == pytest.approx(held, rel=0.05)


def test_features_that_would_not_fit_are_computed_live(
    corpus: Path, tiny_settings: list[str], tmp_path: Path
) -> None:
    settled = configs.load(None, tiny_settings)
    options = [
        str(corpus),
        str(tmp_path / "s"),
        *(part for setting in tiny_settings for part in ("--set", setting)),
    ]

    def extract(*more: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["extract", *options, *more])
        return result.exit_code, result.output

    code, said = extract("--max-disk", "0.00001")
    assert code == 0 and "GB, more than 1e-05 GB (--max-disk): they are computed live" in said
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["header.json"]
    features = stores.open_features(str(tmp_path / "s"), settled, CPU)
    assert isinstance(features, stores.Live)
    with pytest.raises(UserError, match="layers is '1..n', expected '0..n'"):
        stores.open_features(
            str(tmp_path / "s"), configs.load(None, [*tiny_settings, "encoder.layers=0..n"]), CPU
        )
    with pytest.raises(UserError, match="computed live"):
        stores.Store(tmp_path / "s")
    assert extract("--max-disk", "1")[0] == 0  # with room it becomes a store
    kept = stores.open_features(str(tmp_path / "s"), settled, CPU)
    assert (
        isinstance(kept, stores.Store) and kept.made_by == features.made_by and kept.verify() == 12
    )
    code, said = extract("--max-disk", "0.00001")
    assert code == 2 and "is a feature store already" in said
