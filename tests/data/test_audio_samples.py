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


VOICE = 0.1 * np.sin(np.arange(1600) / 20)


@pytest.mark.parametrize(
    "samples, message",
    [
        (np.zeros(0), "empty"),
        (np.zeros(900), "silent"),
        (np.full(900, 0.3), "silent: no sample is 0.00001 of full scale away from the mean"),
        (np.full(900, np.nan), "not numbers"),
        (VOICE[:16], "too short: 16 samples at 16000 Hz, 0.01 s are needed"),
        (VOICE * 2e5, "samples reach 20000, .* divide them by full scale, .* by 32768"),
        (np.stack([VOICE, -VOICE], axis=1), "channels cancel each other: .* remix 1"),
        (np.stack([VOICE, -VOICE * 1.0001], axis=1), "channels cancel each other"),
    ],
)
def test_unusable_samples_are_rejected(samples: np.ndarray, message: str) -> None:
    with pytest.raises(audio.AudioError, match=message):
        audio.from_samples(samples, 16_000)


def test_a_rate_that_holds_no_speech_is_named() -> None:
    with pytest.raises(audio.AudioError, match="sampled at 1 Hz: speech needs 4000 Hz or more"):
        audio.from_samples(VOICE, 1)


def test_channels_of_other_levels_and_loud_samples_are_used() -> None:
    apart = audio.from_samples(np.stack([VOICE, -0.9 * VOICE], axis=1), 16_000)
    assert apart == pytest.approx(0.05 * VOICE, abs=1e-6)
    one_sided = audio.from_samples(np.stack([VOICE, 0 * VOICE], axis=1), 16_000)
    assert one_sided == pytest.approx(0.5 * VOICE, abs=1e-6)
    assert audio.from_samples(40 * VOICE, 16_000).max() == pytest.approx(4, abs=0.01)
