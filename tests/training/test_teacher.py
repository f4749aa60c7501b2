"""The teacher of emotion, sex and age in pretraining."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from serdesc.training.teacher import GROUPS, Teacher, mean_of_layers


def noisy(count: int, seed: int = 1) -> tuple[np.ndarray, list[str], list[str]]:
    """Means, labels and speakers; half of the labels follow from the first dimension."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 12)) * rng.uniform(0.5, 3, size=12) + 1
    emotions = np.where(x[:, 0] + rng.normal(size=count) > 1, "sad", "happy")
    return x, [str(one) for one in emotions], [f"s{i % 7}" for i in range(count)]


def test_it_is_a_logistic_regression_of_the_standardised_layers() -> None:
    x, labels, _ = noisy(40)
    found = Teacher(torch.tensor(x), labels, ["s"] * 40, 0.1)  # one speaker: nobody to leave out
    regression = LogisticRegression(C=0.1, class_weight="balanced")
    reference = make_pipeline(StandardScaler(), regression).fit(x, labels)
    assert found.classes == ["happy", "sad"] and found.factor == 1.0
    # Its deviation is of a sample (N - 1), StandardScaler's of a population.
    expected = reference.predict_proba(x)
    assert found(torch.tensor(x)).numpy() == pytest.approx(expected, abs=0.02)


def test_with_a_small_c_it_is_soft_and_right() -> None:
    rng = torch.Generator().manual_seed(3)
    labels = [("angry", "sad")[i % 2] for i in range(36)]
    means = []
    for i in range(36):
        x = torch.randn(2, 7, 6, generator=rng)
        x[:, :, i % 2] += 3.0  # what tells the two emotions apart
        means.append(mean_of_layers(x))
    teacher = Teacher(torch.stack(means), labels, ["s"] * 36, 1e-3)
    answers = teacher(torch.stack(means))
    torch.testing.assert_close(answers.sum(-1), torch.ones(36))
    assert answers.argmax(-1).tolist() == [i % 2 for i in range(36)]
    assert 0.5 < float(answers.max(-1).values.mean()) < 0.99


@pytest.mark.parametrize("c", [1e-3, 1e-2, 10.0])
def test_its_factor_suits_speakers_that_were_left_out(c: float) -> None:
    x, labels, speakers = noisy(280)
    found = Teacher(torch.tensor(x), labels, speakers, c)
    standardised = (x - x.mean(0)) / x.std(0, ddof=1)
    regression = LogisticRegression(C=c, max_iter=400, class_weight="balanced")
    groups = GroupKFold(GROUPS)
    probabilities = cross_val_predict(
        regression, standardised, labels, groups=speakers, cv=groups, method="predict_proba"
    )

    def loss(factor: float) -> float:
        powers = probabilities**factor
        return float(log_loss(labels, powers / powers.sum(1, keepdims=True)))

    factors = np.exp(np.linspace(-1, 3, 401))
    best = factors[np.argmin([loss(one) for one in factors])]
    assert found.factor == pytest.approx(best, rel=0.02)
    assert (c < 1) == (found.factor > 1)  # a strong penalty makes all classes alike

    regression.fit(standardised, labels)
    powers = regression.predict_proba(standardised) ** found.factor
    expected = powers / powers.sum(1, keepdims=True)
    assert found(torch.tensor(x)).numpy() == pytest.approx(expected, abs=1e-4)


def test_a_class_of_one_speaker_leaves_the_others_to_judge() -> None:
    x, labels, speakers = noisy(280)
    labels = ["angry" if speaker == "s3" else label for label, speaker in zip(labels, speakers)]
    found = Teacher(torch.tensor(x), labels, speakers, 1e-2)
    assert found.classes == ["angry", "happy", "sad"] and found.factor != 1.0
    alone = ["angry" if speaker == "s0" else "sad" for speaker in speakers[:280]]
    two = ["s0" if one == "s0" else "s1" for one in speakers]
    assert Teacher(torch.tensor(x), alone, two, 1e-2).factor == 1.0


def test_a_mean_is_of_normalised_layers() -> None:
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1)) * 9 + 4
    expected = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0)).sqrt()
    torch.testing.assert_close(mean_of_layers(x), expected.mean(1).flatten(), atol=1e-4, rtol=1e-4)
