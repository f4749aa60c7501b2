"""Copies at other speeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from serdesc import config as configs
from serdesc.data import annotate, audio, datadir, perturb
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.training.examples import examples


def test_copies_at_other_speeds_are_heard_in_training_alone(corpus: Path, tmp_path: Path) -> None:
    """Lengths and pitch go with the speed; a test part has neither a copy nor a threshold that a
    copy moved; an epoch hears one of them.
    """
    source = datadir.read(corpus)
    copies = perturb.copies(source, [0.8, 1.25], tmp_path / "perturbed", nj=2)
    assert (
        len(copies) == 24
        and {c.uniq for c in copies} == {u.utt_id for u in source}
        and {c.spk for c in copies}.isdisjoint({u.spk for u in source})
    )
    slow = next(c for c in copies if c.utt_id == "sp0.8-s0-0")
    wave, original = audio.load(slow.wav), audio.load(source[0].wav)
    assert len(wave) == pytest.approx(len(original) / 0.8, abs=2) and slow.seconds == pytest.approx(
        len(wave) / 16_000
    )
    peak, before = (np.argmax(np.abs(np.fft.rfft(w))) * 16_000 / len(w) for w in (wave, original))
    assert peak == pytest.approx(0.8 * before, abs=3)
    stamp = Path(slow.wav).stat().st_mtime_ns
    assert (
        perturb.copies(source, [0.8, 1.25], tmp_path / "perturbed", nj=1) == copies
        and Path(slow.wav).stat().st_mtime_ns == stamp
    )
    with pytest.raises(UserError, match="0 is not between 0.5 and 2"):
        perturb.copies(source, [0.0], tmp_path / "perturbed", nj=1)

    data = tmp_path / "with"
    datadir.write(data, [*source, *copies])
    config = configs.load(settings=["training.paraphrase_targets=true"])
    plain, perturbed = (annotate.annotate(folder, config, nj=1) for folder in (corpus, data))
    for a, b in zip(plain, perturbed):
        assert a.test == b.test and len(b.train) == 3 * len(a.train)
        assert {u.uniq for u in b.train if u.uniq} == {u.utt_id for u in a.train}
        assert read_json(corpus / f"fold{a.number}/thresholds.json") == read_json(
            data / f"fold{b.number}/thresholds.json"
        )
    ready, _ = examples(datadir.read(data / "fold1" / "train"), config)
    assert len(ready) == len(plain[0].train) and all(len(e.copies) == 2 for e in ready)
    assert {ready[0].at_speed(seed).utterance.utt_id for seed in range(30)} == {
        f"{mark}{ready[0].utterance.utt_id}" for mark in ("", "sp0.8-", "sp1.25-")
    }
    assert datadir.read(data / "fold1" / "train")[-1].uniq is not None


def test_copies_at_other_speeds_are_made_anew_when_their_source_is(
    corpus: Path, tmp_path: Path
) -> None:
    utt = datadir.read(corpus)[0]
    whole = audio.load(utt.wav)
    soundfile.write(utt.wav, whole[:4800], audio.SAMPLE_RATE)
    assert perturb.copies([utt], [0.8], tmp_path / "p", 1)[0].seconds == pytest.approx(0.375)
    soundfile.write(utt.wav, whole, audio.SAMPLE_RATE)
    assert perturb.copies([utt], [0.8], tmp_path / "p", 1)[0].seconds == pytest.approx(
        len(whole) / 16_000 / 0.8, abs=0.01
    )
