"""Accuracy of the emotion by right descriptors, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.scoring import metric

from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.scoring import by_descriptors
from serdesc.scoring.bootstrap import Rows

REF = Fields(transcript="a b", emotion="sad", pitch="low", speed="slow", emphasis=("a",))
CONFIG = ScoringConfig(resamples=50)


def counted(*pairs: tuple[Fields, Fields]) -> list[by_descriptors.Answer]:
    return by_descriptors.answers_of(table_of(*pairs))


def table_of(*pairs: tuple[Fields, Fields]) -> dict[str, Rows]:
    table: dict[str, Rows] = {}
    for i, (ref, hyp) in enumerate(pairs):
        for name in ("ua", "pitch", "energy", "speed", "emphasis"):
            count = metric(name).count
            assert count
            counts = count(ref, hyp)
            if counts is not None:
                table.setdefault(name, []).append((Utterance(f"u{i}", "", f"s{i % 2}"), counts))
    return table


def test_accuracy_by_right_descriptors_by_hand() -> None:
    """Three right, emotion right; one right, emotion right; one right of two, emotion wrong; a
    caption without descriptors, emotion right."""
    answers = [
        REF,
        replace(REF, pitch="high", speed="fast"),
        replace(REF, emotion="angry", pitch=None, emphasis=("b",)),
        Fields(emotion="sad"),
    ]
    table = counted(*[(REF, answer) for answer in answers])
    tables = by_descriptors.compute(table, CONFIG)
    one, three = tables.by_number
    assert (one.right, one.n, one.accuracy, one.ua) == (1, 2, 50.0, 50.0)
    assert (three.right, three.n, three.accuracy, three.interval) == (3, 1, 100.0, None)
    pitch, speed, emphasis = tables.by_descriptor  # no reference has an energy
    assert (pitch.n_right, pitch.if_right, pitch.n_wrong, pitch.if_wrong) == (1, 100.0, 1, 100.0)
    assert (speed.if_right, speed.if_wrong, speed.difference) == (50.0, 100.0, -50.0)
    assert (emphasis.n_right, emphasis.n_wrong, emphasis.difference) == (2, 1, 100.0)
    titles = [title for title, _ in by_descriptors.cells(tables)]
    assert len(titles) == 2 and all("correlation" in title for title in titles)


def test_chance_is_the_agreement_of_predictions_assigned_at_random() -> None:
    """References sad, sad, angry; predictions sad, angry, angry: (2 x 1 + 1 x 2) / 9."""
    angry = replace(REF, emotion="angry")
    table = counted((REF, REF), (REF, angry), (angry, angry))
    (row,) = by_descriptors.compute(table, CONFIG).by_number
    assert row.chance == pytest.approx(100 * 4 / 9, abs=0.01)
    assert row.accuracy == pytest.approx(100 * 2 / 3, abs=0.01) and row.ua == 75.0


def test_a_descriptor_that_is_always_right_has_no_difference() -> None:
    (row,) = by_descriptors.compute(
        counted((Fields(emotion="sad", pitch="low"),) * 2), CONFIG
    ).by_descriptor
    assert (row.if_right, row.n_wrong, row.if_wrong, row.difference) == (100.0, 0, None, None)


def test_there_are_no_tables_without_emotion_or_descriptors() -> None:
    table = table_of((REF, REF))
    for metric_name in ("ua", "pitch"):
        answers = by_descriptors.answers_of({metric_name: table[metric_name]})
        assert by_descriptors.cells(by_descriptors.compute(answers, CONFIG)) == []


def test_answers_of_several_seeds_are_not_mixed() -> None:
    """One utterance: all right with one seed; with the other emotion and pitch wrong."""
    answers = counted((REF, REF)) + counted((REF, replace(REF, emotion="angry", pitch="high")))
    two, three = by_descriptors.compute(answers, CONFIG).by_number
    assert (two.right, two.accuracy, three.right, three.accuracy) == (2, 0.0, 3, 100.0)
