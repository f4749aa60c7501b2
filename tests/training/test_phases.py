"""Order of the phases, learning rates."""

from __future__ import annotations

from typing import Any

import pytest

from serdesc.config import PhaseConfig, TrainingConfig
from serdesc.training.phases import PhaseEpoch, learning_rate, schedule


def test_the_order_of_the_phases() -> None:
    def order(**changes: Any) -> list[str]:
        settings = TrainingConfig(
            content=PhaseConfig(epochs=2), descriptor=PhaseConfig(epochs=3), **changes
        )
        return [
            "+".join(f"{turn.phase[0]}{turn.epoch}" for turn in block)
            for block in schedule(settings)
        ]

    assert order() == ["c0", "d0", "c1", "d1", "d2"]
    assert order(alternate="step") == ["c0+d0", "c1+d1", "d2"]
    assert order(strategy="two-stage") == ["c0", "c1", "d0", "d1", "d2"]
    assert order(strategy="one-stage") == ["j0", "j1", "j2"]
    assert schedule(TrainingConfig())[:2] == [
        (PhaseEpoch("content", 0),),
        (PhaseEpoch("descriptor", 0),),
    ]


def test_rates_of_the_paper() -> None:
    content, descriptor = TrainingConfig().content, TrainingConfig().descriptor
    assert [learning_rate(content, s, 100) for s in (0, 1, 2, 3, 99)] == pytest.approx(
        [2e-4 / 3, 4e-4 / 3, 2e-4, 2e-4, 2e-4]
    )
    assert learning_rate(descriptor, 2, 100) == pytest.approx(2e-5) and learning_rate(
        descriptor, 3, 100
    ) == pytest.approx(2e-5)
    assert (
        learning_rate(descriptor, 51, 100) == pytest.approx(1e-5, rel=0.02)
        and learning_rate(descriptor, 99, 100) < 1e-8
    )
