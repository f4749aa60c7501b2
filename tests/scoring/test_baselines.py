"""Trivial baselines."""

from __future__ import annotations

from pathlib import Path

import pytest

from serdesc.data.datadir import Utterance
from serdesc.files import read_json
from serdesc.scoring import baselines


@pytest.mark.slow
def test_baselines_know_what_can_be_known(parts: Path) -> None:
    baselines.write(parts / "baselines.json", table := baselines.baselines(parts, nj=1))
    rows = read_json(parts / "baselines.json")
    assert baselines.read_rows(parts / "baselines.json")[baselines.LOGMEL]["ua"] == [
        (Utterance(u.utt_id, "", u.spk), counts) for u, counts in table[baselines.LOGMEL]["ua"]
    ]
    assert set(rows) == {"constant", "words alone", "reference descriptors", "log-mel statistics"}
    assert (
        rows["words alone"]["ua"] == 100.0
    )  # the corpus of tones says another word for each emotion
    assert rows["constant"]["gender"] == 50.0 and "gender" in rows["log-mel statistics"]
