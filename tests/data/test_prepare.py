"""Preparation: rejected audio, full disks, paths."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
import soundfile
from helpers.data import broken_files

from serdesc import config as configs
from serdesc.data import annotate, audio, datadir, perturb, prepare
from serdesc.data.corpora import mini
from serdesc.errors import FailedError, UserError
from serdesc.files import read_json, write_json


def test_mini_speaks_a_recording_that_is_none_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mini, "lines", lambda every=mini.lines(): every[:2])
    mini.make(tmp_path, configs.Config().prepare, 1)
    first, second = sorted(tmp_path.glob("*.wav"))
    whole = first.read_bytes()
    first.write_bytes(b"")
    mini.make(tmp_path, configs.Config().prepare, 1)
    assert first.read_bytes() == whole and len([*mini.utterances(tmp_path)]) == 2


def test_data_without_lengths_is_timed_and_speeds_are_prepared_before_they_are_trained_on(
    corpus: Path, tmp_path: Path
) -> None:
    (corpus / "utt2dur").unlink()
    annotate.annotate(corpus, configs.Config(), nj=1)
    assert all(
        utt.seconds == pytest.approx(audio.seconds(utt.wav), abs=1e-3)
        for utt in datadir.read(corpus / "fold1" / "train")
    )
    write_json(corpus / prepare.PREPARE_RECORD, {"corpus": "tones", "settings": {"speeds": []}})
    with pytest.raises(
        UserError, match=r"prepared with prepare.speeds \[\], the configuration has \[0.9\]"
    ):
        annotate.annotate(corpus, configs.load(settings=["prepare.speeds=[0.9]"]), nj=1)


def test_a_full_disk_is_told_whoever_writes(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *given: object, **more: object) -> None:
        Path(path).write_bytes(b"R")
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(FailedError, match=r"sp0.9-s0-0.flac: could not be written .*make room"):
        perturb._copy(datadir.read(corpus)[0], 0.9, tmp_path)
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_preparing_costs_the_bad_files_alone(tmp_path: Path, tone: Callable[..., Path]) -> None:
    chapter = tmp_path / "src" / "dev" / "19" / "198"
    chapter.mkdir(parents=True)
    bad = broken_files(tmp_path)
    lines = []
    for i, (path, _) in enumerate(bad.values()):
        lines.append(f"19-198-{i:04d} BAD ONE")
        if path.exists():
            (chapter / f"19-198-{i:04d}{path.suffix}").write_bytes(path.read_bytes())
    for i, seconds in enumerate((1.0, 0.05, 70.0), start=100):
        tone(f"t{i}.wav", seconds=seconds).rename(chapter / f"19-198-{i:04d}.wav")
        lines.append(f'19-198-{i:04d} IT IS "GOOD"')
    (chapter / "19-198.trans.txt").write_text("\n".join(lines) + "\n")
    accepted, rejected = prepare.prepare(
        "librispeech", tmp_path / "src", tmp_path / "data", configs.Config().prepare, nj=2
    )
    assert [(u.utt_id, u.text, u.seconds) for u in accepted] == [
        ("19-198-0100", "it is 'good'", 1.0)
    ]
    listed = (tmp_path / "data" / "rejected.tsv").read_text()
    assert len(rejected) == len(bad) + 2 and listed.count("\n") == len(rejected) + 1
    assert "too short: 0.050 s" in listed and "too long: 70.0 s" in listed
    assert datadir.read(tmp_path / "data") == accepted


def test_an_unknown_corpus_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="known are csv, emodb, iemocap, librispeech, meld, mini, ravdess"
    ):
        prepare.prepare("nope", tmp_path, tmp_path / "d", configs.Config().prepare, 1)


def test_paths_are_written_from_the_root(
    tmp_path: Path, tone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `prepare` was called from makes no difference to who reads the data later."""
    (tmp_path / "src" / "Actor_01").mkdir(parents=True)
    tone().rename(tmp_path / "src" / "Actor_01" / "03-01-01-01-01-01-01.wav")
    monkeypatch.chdir(tmp_path)
    prepare.prepare(
        "ravdess",
        Path("src"),
        Path("data"),
        configs.load(settings=["prepare.speeds=[0.9]", "prepare.gigaspeech=g.json"]).prepare,
        1,
    )
    monkeypatch.chdir("/")
    for utt in datadir.read(tmp_path / "data"):
        assert utt.wav.startswith(str(tmp_path)) and Path(utt.wav).exists()
    assert read_json(tmp_path / "data" / "prepare.json")["settings"]["gigaspeech"] == str(
        tmp_path / "g.json"
    )
