"""Annotation: thresholds, labels, resuming."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Iterator

import numpy as np
import pytest
import soundfile

from serdesc import config as configs
from serdesc.data import annotate, datadir, rejections
from serdesc.errors import UserError
from serdesc.files import read_json


def test_thresholds_do_not_move_with_the_test_part(corpus: Path) -> None:
    config = configs.Config()
    annotate.annotate(corpus, config, nj=1)
    before = {k: (corpus / f"fold{k}" / "thresholds.json").read_text() for k in (1, 2)}
    for utt in datadir.read(corpus):
        if utt.session == "session0":  # fold 1's test part: an octave up, and slower
            wave, rate = soundfile.read(utt.wav)
            soundfile.write(utt.wav, np.repeat(wave[::2], 3), rate)
    (corpus / "utt2measure.jsonl").unlink()
    annotate.annotate(corpus, config, nj=2)
    assert (corpus / "fold1" / "thresholds.json").read_text() == before[1]
    assert (corpus / "fold2" / "thresholds.json").read_text() != before[2]


def test_annotated_parts_are_data_directories_with_what_the_captions_say(corpus: Path) -> None:
    from serdesc.captions import reader

    annotate.annotate(corpus, configs.Config(), nj=1)
    part = datadir.read(corpus / "fold1" / "test")
    assert [u.session for u in part] == ["session0"] * 6
    for utt in part:
        assert (
            utt.labels is not None
            and utt.labels.age is None
            and reader.read(utt.caption or "") == utt.labels
        )


def test_annotating_costs_the_bad_files_alone(corpus: Path, tone: Callable[..., Path]) -> None:
    """A user's own directory, which no `prepare` has looked at: bad files are listed and in no
    fold, and are tried again when they are mended.
    """
    first, second = datadir.read(corpus)[:2]
    before = (corpus / "wav.scp").read_bytes()
    whole = Path(first.wav).read_bytes()
    Path(first.wav).write_bytes(whole[:20])
    Path(second.wav).unlink()
    rejections.write(corpus, [("earlier", "x.wav", "too long")])
    fold, _ = annotate.annotate(corpus, configs.Config(), nj=2)
    assert len(fold.test) == 4 and len(datadir.read(corpus / "fold2" / "train")) == 4
    reasons = {utt_id: reason for utt_id, _, reason in rejections.read(corpus)}
    assert (
        list(reasons) == ["earlier", first.utt_id, second.utt_id]
        and reasons[second.utt_id] == "no such file"
    )
    assert (corpus / "wav.scp").read_bytes() == before, "nothing of the user's is taken away"
    Path(first.wav).write_bytes(whole)
    tone(Path(second.wav).name, seconds=0.5)
    assert len(annotate.annotate(corpus, configs.Config(), nj=1)[0].test) == 6
    assert [row[0] for row in rejections.read(corpus)] == ["earlier"]
    for utt in datadir.read(corpus):
        Path(utt.wav).unlink()
    (corpus / "utt2measure.jsonl").unlink()
    with pytest.raises(UserError, match="none of 12 utterances can be used"):
        annotate.annotate(corpus, configs.Config(), nj=1)


def test_a_stopped_annotation_keeps_its_measures(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    real = annotate.descriptors.measure

    def stop_at_seven(*args: object) -> dict[str, float]:
        measured.append("")
        if len(measured) == 7:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    @contextmanager
    def here(
        _: int,
    ) -> Iterator[object]:  # a pool of this process, so that what is patched is called
        yield SimpleNamespace(map=lambda function, *items, chunksize: map(function, *items))

    monkeypatch.setattr(annotate.descriptors, "compile_librosa", lambda config: None)
    monkeypatch.setattr(annotate, "BLOCK", 3)
    monkeypatch.setattr(annotate, "ProcessPoolExecutor", here)
    monkeypatch.setattr(annotate.descriptors, "measure", stop_at_seven)
    with pytest.raises(KeyboardInterrupt):
        annotate.annotate(corpus, configs.Config(), nj=1)
    assert sum(utt.measure is not None for utt in datadir.read(corpus)) == 6
    annotate.annotate(corpus, configs.Config(), nj=1)
    assert len(measured) == 7 + 6, "only what is not there yet is measured"
    stopped = (corpus / "utt2measure.jsonl").read_bytes()
    (corpus / "measure.json").unlink()
    annotate.annotate(corpus, configs.Config(), nj=1)
    assert (corpus / "utt2measure.jsonl").read_bytes() == stopped


def test_a_configuration_that_prepares_otherwise_is_refused(corpus: Path) -> None:
    (corpus / "prepare.json").write_text(
        json.dumps({"corpus": "iemocap", "settings": {"excited": "excited", "turns": "all"}})
    )
    with pytest.raises(
        UserError,
        match=(
            "prepared with prepare.excited excited, the configuration has happy. Prepare it again"
        ),
    ):
        annotate.annotate(corpus, configs.Config(), nj=1)
    annotate.annotate(corpus, configs.load(settings=["prepare.excited=excited"]), nj=1)
    made = read_json(corpus / "labelled.json")
    assert (made["corpus"], made["settings"]["excited"], made["folds"]["protocol"]) == (
        "iemocap",
        "excited",
        "all",
    )
    with pytest.raises(
        UserError, match="folds.labels: no utterance is excited; the data has angry, happy, sad"
    ):
        annotate.annotate(
            corpus,
            configs.load(settings=["prepare.excited=excited", "folds.labels=[happy, excited]"]),
            nj=1,
        )


def test_what_an_earlier_run_made_does_not_stay(corpus: Path) -> None:
    """Parts, folds, thresholds and adjusted.tsv of other settings; a file that somebody else put
    there does.
    """
    annotate.annotate(
        corpus, configs.load(settings=["folds.dev=utterances", "encoder.max_seconds=0.5"]), nj=1
    )
    assert (corpus / "fold1" / "dev" / "wav.scp").exists() and (corpus / "adjusted.tsv").exists()
    (corpus / "fold2" / "notes.txt").write_text("mine")
    (corpus / "folder").mkdir()
    annotate.annotate(
        corpus, configs.load(settings=["folds.rule=none", "measure.source=corpus"]), nj=1
    )
    left = sorted(
        str(path.relative_to(corpus))
        for folder in corpus.glob("fold*")
        for path in [folder, *folder.iterdir()]
    )
    assert (
        left == ["fold1", "fold1/train", "fold2", "fold2/notes.txt", "folder"]
        and not (corpus / "adjusted.tsv").exists()
    )
