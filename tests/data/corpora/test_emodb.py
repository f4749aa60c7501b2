"""EmoDB: published names, sexes, ages and sentences."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from serdesc import config as configs
from serdesc import f0
from serdesc.data import audio, check, datadir, folds, prepare
from serdesc.data.corpora import emodb
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError

CONF = Path(__file__).parents[3] / "egs/emodb/conf"


def test_names_sexes_ages_and_sentences(tmp_path: Path, tone: Callable[..., Path]) -> None:
    (tmp_path / "emodb/wav").mkdir(parents=True)
    for name in ("03a01Fa", "08b10La", "15a07Wb", "16b03Na", "13a04Ea", "10a05Ac", "09b01Tb"):
        tone("a.wav").rename(tmp_path / "emodb/wav" / f"{name}.wav")
    accepted, rejected = prepare.prepare(
        "emodb", tmp_path / "emodb", tmp_path / "data", configs.Config().prepare, nj=1
    )
    assert not rejected
    found = {u.utt_id: (u.spk, u.emotion, u.gender, u.age) for u in accepted}
    assert found == {
        "03a01Fa": ("03", "happy", "male", 31.0),
        "08b10La": ("08", "bored", "female", 34.0),
        "09b01Tb": ("09", "sad", "female", 21.0),
        "10a05Ac": ("10", "fearful", "male", 32.0),
        "13a04Ea": ("13", "disgusted", "female", 32.0),
        "15a07Wb": ("15", "angry", "male", 25.0),
        "16b03Na": ("16", "neutral", "female", 31.0),
    }
    texts = {u.utt_id: u.text for u in datadir.read(tmp_path / "data")}
    assert texts["10a05Ac"] == emodb.SENTENCES["a05"] and "Stück Papier" in emodb.SENTENCES["a05"]


def test_other_files_and_codes(tmp_path: Path, tone: Callable[..., Path]) -> None:
    """The files may lie in `src` itself; unknown codes are rejected with the reason."""
    tone("03a01Fa.wav"), tone("03a03Fa.wav"), tone("04a01Xa.wav"), tone("readme.wav")
    found = list(emodb.utterances(tmp_path))
    assert [u.utt_id for u in found if isinstance(u, Utterance)] == ["03a01Fa"]
    reasons = [u.reason for u in found if not isinstance(u, Utterance)]
    assert reasons == ["sentence a03: not of EmoDB", "speaker 04, emotion X: not of EmoDB"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no files such as wav/03a01Fa.wav"):
        list(emodb.utterances(tmp_path / "empty"))


def test_published_counts_and_speakers() -> None:
    facts = emodb.PUBLISHED
    assert sum(facts.emotions.values()) == facts.total == 535
    assert set(facts.emotions) == set(emodb.EMOTIONS.values())
    sexes = Counter(sex for sex, _ in emodb.SPEAKERS.values())
    assert sexes == {"female": 5, "male": 5} and len(emodb.SPEAKERS) == facts.speakers


def test_emodb_as_it_is(real_data: Callable[[str], Path]) -> None:
    """The four emotions that can be had; ten folds of a speaker, and five of a man and a woman."""
    utterances = [u for u in emodb.utterances(real_data("emodb")) if isinstance(u, Utterance)]
    found = Counter(u.emotion for u in utterances)
    assert found == {e: emodb.PUBLISHED.emotions[e] for e in ("angry", "happy", "neutral", "sad")}
    made = folds.split(utterances, configs.load(CONF / "four.yaml").folds, 1)
    assert [sorted({u.spk for u in fold.test}) for fold in made] == [[s] for s in emodb.SPEAKERS]
    pairs = folds.split(utterances, configs.load(CONF / "four_pairs.yaml").folds, 1)
    assert len(pairs) == 5
    for fold in pairs:
        assert Counter({u.spk: u.gender for u in fold.test}.values()) == {"female": 1, "male": 1}
    assert sorted(u.utt_id for fold in pairs for u in fold.test) == [u.utt_id for u in utterances]


def test_the_sexes_are_those_of_the_voices(real_data: Callable[[str], Path]) -> None:
    """Median F0 of neutral and sad speech: every man is below 150 Hz, every woman above."""
    by_speaker: dict[str, list[float]] = {}
    for utt in emodb.utterances(real_data("emodb")):
        if isinstance(utt, Utterance) and utt.emotion in ("neutral", "sad"):
            if len(by_speaker.setdefault(utt.spk, [])) < 5:
                value = f0.median(f0.track(audio.load(utt.wav)))
                by_speaker[utt.spk].append(value or 0.0)
    for speaker, values in by_speaker.items():
        sex = "male" if np.median(values) < 150 else "female"
        assert sex == emodb.SPEAKERS[speaker][0], (speaker, values)


def test_check_compares_with_the_published_counts(
    tmp_path: Path, tone: Callable[..., Path]
) -> None:
    tone("03a01Fa.wav")
    data = tmp_path / "data"
    prepare.prepare("emodb", tmp_path, data, configs.Config().prepare, nj=1)
    texts = [finding.detail for finding in check.check(data, None, None, 1)]
    assert any("1 utterances, 535 are published" in text for text in texts)
