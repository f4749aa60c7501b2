"""Recall, accuracy, F1 and kappa."""

from __future__ import annotations

import random

import pytest
from helpers.scoring import metric, value
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, recall_score

from serdesc.captions.fields import AGES, EMOTIONS, Fields
from serdesc.scoring import classes


def test_ua_is_scikit_learns_mean_recall() -> None:
    rng = random.Random(1)
    truth = [rng.choice(EMOTIONS[:4]) for _ in range(200)]
    said = [t if rng.random() < 0.5 else rng.choice(EMOTIONS[:4]) for t in truth]
    ours = value("ua", [(Fields(emotion=t), Fields(emotion=s)) for t, s in zip(truth, said)])
    assert ours == pytest.approx(100 * recall_score(truth, said, average="macro"))


@pytest.mark.parametrize("unread", [0.0, 0.1])
def test_classes_are_scored_as_scikit_learn_scores_them(unread: float) -> None:
    rng = random.Random(3)
    truth = [rng.choice(AGES[:4]) for _ in range(300)]
    said = [t if rng.random() < 0.4 else rng.choice(AGES) for t in truth]
    said = [None if rng.random() < unread else s for s in said]
    ages = [(Fields(age=t), Fields(age=s)) for t, s in zip(truth, said)]
    names = dict(zip(AGES, EMOTIONS))
    emotions = [
        (Fields(emotion=names[t]), Fields(emotion=s and names[s])) for t, s in zip(truth, said)
    ]
    answered = [s or "unread" for s in said]
    assert value("wa", emotions) == pytest.approx(100 * accuracy_score(truth, answered))
    assert value("age_accuracy", ages) == pytest.approx(100 * accuracy_score(truth, answered))
    for mean in ("macro", "weighted"):
        wanted = f1_score(truth, answered, labels=AGES[:4], average=mean)
        assert value(f"{mean}_f1", emotions) == pytest.approx(100 * wanted)
    read = [(AGES.index(t), AGES.index(s)) for t, s in zip(truth, said) if s]
    assert value("age_kappa", ages) == pytest.approx(
        100 * cohen_kappa_score(*zip(*read), weights="quadratic")
    )
    table = classes.confusion(c for c in (metric("ua").count(*pair) for pair in emotions) if c)
    assert sum(table[names[AGES[0]]].values()) == truth.count(AGES[0])


def test_an_answer_that_cannot_be_read_is_wrong() -> None:
    pairs = [
        (Fields(emotion="sad"), Fields(emotion="sad")),
        (Fields(emotion="sad"), Fields()),
        (Fields(emotion="calm"), Fields(emotion="calm")),
    ]
    assert value("ua", pairs) == 75.0
    assert (
        value("ua", [*pairs, (Fields(), Fields(emotion="sad"))]) == 75.0
    )  # no reference, no count
