"""Emphasis."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.scoring import metric, value

from serdesc.captions.fields import Fields
from serdesc.scoring import score as scoring


def test_emphasis_is_exact_and_chance_is_one_of_the_words() -> None:
    ref = Fields(transcript="one two three four", emphasis=("two",))
    pairs = [
        (ref, replace(ref, emphasis=e))
        for e in (("two",), ("Two",), ("one",), ("two", "one"), None)
    ]
    assert value("emphasis", pairs) == 40.0
    m = metric("emphasis")
    assert (
        m.chance is not None and m.chance(scoring.total([m.count(*p) or {} for p in pairs])) == 25.0
    )


def test_stressed_words_are_found_and_made_up() -> None:
    ref = Fields(transcript="one two three four", emphasis=("two", "four"))
    pairs = [(ref, replace(ref, emphasis=e)) for e in (("two",), ("Two", "one", "three"), None)]
    assert value("emphasis_precision", pairs) == 50.0 and value(
        "emphasis_recall", pairs
    ) == pytest.approx(100 / 3)
