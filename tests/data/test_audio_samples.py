"""Samples that are not in a file: the same result, and the same errors, as a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile

from serdesc.data import audio


def test_samples_equal_their_file(tone: Callable[..., Path]) -> None:
    path = tone("a.flac", seconds=1.0, rate=48_000, channels=2, subtype="PCM_24")
    samples, rate = soundfile.read(path, dtype="float32")
    assert samples.shape[1] == 2 and rate == 48_000
    np.testing.assert_array_equal(audio.from_samples(samples, rate), audio.load(path))
    np.testing.assert_array_equal(audio.from_samples(samples, rate, 0.5), audio.load(path, 0.5))
    np.testing.assert_array_equal(audio.from_samples(samples[:, 0], 16_000), samples[:, 0])


@pytest.mark.parametrize(
    "samples, message",
    [(np.zeros(0), "empty"), (np.zeros(9), "silent"), (np.full(9, np.nan), "not numbers")],
)
def test_unusable_samples_are_rejected(samples: np.ndarray, message: str) -> None:
    with pytest.raises(audio.AudioError, match=message):
        audio.from_samples(samples, 16_000)
