"""RAVDESS as published."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from serdesc import config as configs
from serdesc.data import folds


def test_ravdess_as_it_is(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    from serdesc.data.corpora import ravdess

    utterances = list(ravdess.utterances(real_data("ravdess")))
    assert len(utterances) == 1080 and len({u.spk for u in utterances}) == 18
    assert (
        sum(u.emotion == "neutral" for u in utterances) == 72
        and sum(u.emotion == "angry" for u in utterances) == 144
    )
    config = configs.load(Path(__file__).parents[3] / "egs/ravdess/conf/eight.yaml")
    made = folds.split(utterances, config.folds, 1)
    assert len(made) == 5
    for fold in made:
        assert {u.gender for u in fold.test} == {"female", "male"}
