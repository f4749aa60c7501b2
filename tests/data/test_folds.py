"""Folds share no speaker; protocols."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest
from helpers.cli import serdesc

from serdesc import config as configs
from serdesc.data import annotate, datadir, folds
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, write_json


def test_emobox_leaves_out_what_is_longer_than_its_limit(real_data: Callable[[str], Path]) -> None:
    """Two of IEMOCAP's fifth session: 1239 of 1241."""
    rows = [
        line.split("\t")
        for line in (real_data("lists") / "iemocap_5531.tsv").read_text().splitlines()[1:]
    ]
    utterances = [
        Utterance(i, "", f"{i[:5]}{i[-4]}", seconds=float(seconds), session=i[:5])
        for i, _, _, seconds in rows
    ]
    sizes = {
        protocol: [
            len(fold.test)
            for fold in folds.split(
                utterances, configs.load(settings=[f"folds.protocol={protocol}"]).folds, 1
            )
        ]
        for protocol in ("all", "emobox")
    }
    assert sizes == {
        "all": [1085, 1023, 1151, 1031, 1241],
        "emobox": [1085, 1023, 1151, 1031, 1239],
    }


def test_folds_never_share_a_speaker_and_test_everything_once(corpus: Path) -> None:
    utterances = datadir.read(corpus)
    made = folds.split(utterances, configs.FoldsConfig(rule="session"), seed=1)
    assert [f.number for f in made] == [1, 2]
    assert sorted(u.utt_id for f in made for u in f.test) == [u.utt_id for u in utterances]
    for fold in made:
        assert not {u.spk for u in fold.train} & {u.spk for u in fold.test}
    with_dev = folds.split(
        utterances, configs.FoldsConfig(dev="speakers", dev_fraction=0.5), seed=1
    )[0]
    assert with_dev.dev and not {u.spk for u in with_dev.dev} & {u.spk for u in with_dev.train}
    listed = folds.split(
        utterances,
        configs.FoldsConfig(
            rule="speakers", test_speakers=[["s0", "s1"], ["s2"], ["s3"]], labels=["angry", "sad"]
        ),
        1,
    )
    assert [len(f.test) for f in listed] == [4, 2, 2]


def test_faulty_folds_are_refused(corpus: Path) -> None:
    utterances = datadir.read(corpus)
    with pytest.raises(UserError, match="no fold tests: s2 s3"):
        folds.split(
            utterances, configs.FoldsConfig(rule="speakers", test_speakers=[["s0"], ["s1"]]), 1
        )
    mixed = [replace(u, spk="s0") for u in utterances]
    with pytest.raises(UserError, match="speakers s0 are in training and in test"):
        folds.split(mixed, configs.FoldsConfig(rule="session"), 1)
    with pytest.raises(UserError, match="utt2session"):
        folds.split([replace(u, session=None) for u in utterances], configs.FoldsConfig(), 1)


def test_labels_of_other_settings_are_not_trained_on(
    corpus: Path, tmp_path: Path, tiny_settings: list[str]
) -> None:
    """`--set` of the folds, the measures or the preparation cannot contradict the data."""
    config = configs.load(settings=tiny_settings)
    annotate.annotate(corpus, config, nj=1)
    part = corpus / "fold1/train"
    folds.check_labels(part, config)
    folds.check_labels(tmp_path / "elsewhere/fold1/train", config)  # no record: nothing to compare
    for setting, message in (
        ("folds.protocol=emobox", "folds.protocol all, the configuration has emobox"),
        ("folds.labels=[sad]", r"folds.labels \[\], the configuration has \['sad'\]"),
        ("measure.pitch=speechcraft", "measure.pitch f0, the configuration has piptrack"),
    ):
        other = configs.load(settings=[*tiny_settings, setting])
        with pytest.raises(UserError, match=f"labelled.json: the labels .* {message}.*annotate"):
            folds.check_labels(part, other)
    code, text = serdesc(
        *("train", part, "live", tmp_path / "exp"),
        *[part for one in [*tiny_settings, "measure.trim=true"] for part in ("--set", one)],
    )
    assert code == 2 and "measure.trim False, the configuration has True" in text
    record = read_json(corpus / "labelled.json")
    before = {key: value for key, value in record["measure"].items() if key != "speech_time"}
    write_json(corpus / "labelled.json", {**record, "measure": before})  # as written before 0.4.0
    with pytest.raises(UserError, match="measure.speech_time whole, the configuration has gated"):
        folds.check_labels(part, config)
    record["settings"] = {**record.get("settings", {}), "turns": "all", "speeds": [0.9]}
    write_json(corpus / "labelled.json", record)
    with pytest.raises(UserError, match=r"prepare.speeds \[0.9\], the configuration has \[\]"):
        folds.check_labels(part, config)
