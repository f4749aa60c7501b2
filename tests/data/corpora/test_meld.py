"""MELD: the real CSVs, tiny generated clips of one and six channels, both protocols, and what the
doctor says of a sound copy.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile
from helpers import HEAD, clip, tables
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.cli import app
from serdesc.data import annotate, audio, check, datadir, folds, prepare
from serdesc.data.corpora import meld
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError

ROOT = Path(__file__).parents[3]


def recipe(*settings: str) -> configs.Config:
    return configs.load(ROOT / "egs/meld/conf/meld.yaml", list(settings))


def pitch(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave)).argmax() * audio.SAMPLE_RATE / len(wave))


def test_the_centre_channel_of_six_is_the_speech(tmp_path: Path) -> None:
    src = tables(
        tmp_path / "src",
        {
            "test": [
                f'{i},"It’s {i}, ""so""",Joey,joy,positive,0,{i},1,1,"00:00:01,0","00:00:02,0"'
                for i in range(4)
            ]
        },
    )
    clip(src / "output_repeated_splits_test/dia0_utt0.mp4", (300, 500, 800, 60, 1100, 1300))
    clip(src / "output_repeated_splits_test/dia0_utt1.mp4", (440,))
    clip(src / "output_repeated_splits_test/dia0_utt2.mp4", (440, 440))
    whole = (src / "output_repeated_splits_test/dia0_utt1.mp4").read_bytes()
    (src / "output_repeated_splits_test/dia0_utt3.mp4").write_bytes(whole[: len(whole) // 3])
    accepted, rejected = prepare.prepare("meld", src, tmp_path / "data", recipe().prepare, nj=2)
    assert [pitch(audio.load(utt.wav)) for utt in accepted] == pytest.approx([800, 440, 440], abs=3)
    assert [soundfile.info(utt.wav).format for utt in accepted] == ["FLAC"] * 3
    assert [r.utt_id for r in rejected] == [
        "dia0_utt3-test"
    ] and "its index (moov) is missing" in rejected[0].reason
    first = accepted[0]
    assert (first.text, first.spk, first.gender, first.emotion, first.session) == (
        "It’s 0, 'so'",
        "Joey",
        "male",
        "happy",
        "test",
    )
    before = Path(first.wav).stat().st_mtime_ns
    prepare.prepare("meld", src, tmp_path / "data", recipe().prepare, nj=1)
    assert (
        Path(first.wav).stat().st_mtime_ns == before
    ), "a clip that is converted is not converted again"
    Path(src / "output_repeated_splits_test/dia0_utt0.mp4").unlink()
    assert (
        prepare.prepare("meld", src, tmp_path / "data", recipe().prepare, nj=1)[0][0] == first
    ), "nor is one whose clip was removed since"


def test_the_sound_of_another_copy_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    rows = {"test": ['1,"So.",Joey,joy,positive,0,0,1,1,"00:00:01,0","00:00:02,0"']}

    def heard(name: str) -> float:
        return pitch(
            audio.load(
                prepare.prepare("meld", tmp_path / name, tmp_path / "data", recipe().prepare, nj=1)[
                    0
                ][0].wav
            )
        )

    for name, hertz in (("one", 300), ("other", 800)):
        clip(tables(tmp_path / name, rows) / "test/dia0_utt0.mp4", (hertz,))
    assert (heard("one"), heard("other")) == pytest.approx((300, 800), abs=3)
    clip(tmp_path / "other/test/dia0_utt0.mp4", (500,), seconds=0.6)  # mended in its place
    assert heard("other") == pytest.approx(500, abs=3)
    (tmp_path / "one/test/dia0_utt0.mp4").unlink()
    with pytest.raises(UserError, match="none of 1 utterances can be used"):
        heard("one")


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    src = tables(tmp_path / "src", {})
    (src / "dev_sent_emo.csv").write_text("Utterance,Who\nhello,me\n")
    with pytest.raises(
        UserError,
        match="no column Speaker, Emotion, Dialogue_ID, Utterance_ID; found Utterance, Who",
    ):
        list(meld.utterances(src))
    (src / "dev_sent_emo.csv").write_bytes(
        f"{HEAD}\r\n1,It\x92s,".encode("cp1252", "replace").replace(b"?s", b"\x92s")
    )
    with pytest.raises(UserError, match="dev_sent_emo.csv:2: not UTF-8: byte .* is 0x92"):
        list(meld.utterances(src))
    (src / "dev_sent_emo.csv").write_text(f"{HEAD}\r\n1,So\r\n")
    with pytest.raises(
        UserError, match="dev_sent_emo.csv:2: the row ends before its column Speaker"
    ):
        list(meld.utterances(src))
    (src / "train_sent_emo.csv").unlink()
    with pytest.raises(UserError, match="train_sent_emo.csv: missing"):
        list(meld.utterances(src))


@pytest.fixture(scope="module")
def golden(real_data: Callable[[str], Path]) -> dict[str, dict[str, str]]:
    with (real_data("lists") / "meld_13706.tsv").open() as file:
        return {
            row["key"].replace("-valid", "-dev"): row
            for row in csv.DictReader(file, delimiter="\t")
        }


@pytest.fixture(scope="module")
def whole(
    golden: dict[str, dict[str, str]],
    real_data: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The real tables with sound as short as can be; a few clips are mp4 files, the others are as
    if converted before.
    """
    root = tmp_path_factory.mktemp("meld")
    shutil.copytree(real_data("meld_csv"), root / "src")
    for names in meld.FOLDERS.values():
        (root / "src" / names[0]).mkdir()
    (root / "data" / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    sound = {key: rng.uniform(-0.2, 0.2, 800) for key in golden}
    same = {
        key: ids[0] for ids in meld.duplicates(root / "src") for key in ids
    }  # in the real release, too, they sound alike
    for i, key in enumerate(golden):
        if i % 500 == 0:
            stem, _, split = key.rpartition("-")
            clip(
                root / "src" / meld.FOLDERS[split][0] / f"{stem}.mp4",
                (200.0 + i / 20,) * (1, 6)[i // 500 % 2],
                seconds=0.3,
            )
        else:
            stem, _, split = key.rpartition("-")
            with soundfile.SoundFile(
                root / "data" / "audio" / f"{key}.flac", "w", 16_000, 1
            ) as file:
                file.comment = f"{root / 'src' / meld.FOLDERS[split][0] / stem}.mp4 1 1"
                file.write(sound[same.get(key, key)])
    for key in meld.PUBLISHED.broken_clips:
        stem, _, split = key.rpartition("-")
        (root / "src" / meld.FOLDERS[split][0] / f"{stem}.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    prepare.prepare("meld", root / "src", root / "data", recipe().prepare, nj=2)
    return root / "data"


def test_the_counts_and_classes_of_the_real_tables(
    whole: Path, golden: dict[str, dict[str, str]]
) -> None:
    utterances = datadir.read(whole)
    assert {utt.utt_id: utt.emotion for utt in utterances} == {
        key: meld.EMOTIONS[row["label"]] for key, row in golden.items()
    }
    assert Counter(utt.session for utt in utterances) == {"train": 9988, "dev": 1108, "test": 2610}
    test = Counter(utt.emotion for utt in utterances if utt.session == "test")
    assert test == {
        "neutral": 1256,
        "happy": 402,
        "angry": 345,
        "surprised": 281,
        "sad": 208,
        "disgusted": 68,
        "fearful": 50,
    }


def test_the_doctor_names_the_bad_clips_and_finds_no_fault(whole: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(whole), "--corpus", "meld", "--nj", "2"])
    assert result.exit_code == 0, result.output
    assert (
        all(f"{key}: broken in the release" in result.output for key in meld.PUBLISHED.broken_clips)
        and "error:" not in result.output
    )
    for note in (
        "known duplicate across test and train (3)",
        "known duplicate across dev and train (2)",
        "known duplicate (25)",
    ):
        assert f"note: {note}" in result.output


def test_two_other_clips_of_one_sound_are_a_fault(
    tmp_path: Path, tone: Callable[..., Path]
) -> None:
    """Known are the pairs whose rows name one stretch of an episode, and no others."""
    times = ("00:00:01,0", "00:00:01,0", "00:00:05,0", "00:00:09,0")
    rows = [
        f'{i},"So.",Joey,joy,positive,0,{i},1,1,"{start}","00:00:20,0"'
        for i, start in enumerate(times)
    ]
    src = tables(tmp_path / "src", {"train": rows[:1], "test": rows[1:]})
    assert meld.duplicates(src) == [["dia0_utt0-train", "dia0_utt1-test"]]
    for i, split in enumerate(("train", "test", "test", "test")):
        clip(src / split / f"dia0_utt{i}.mp4", (300.0,) if i < 2 else (500.0,))
    prepare.prepare("meld", src, tmp_path / "data", recipe().prepare, nj=1)
    found = {
        finding.kind: finding for finding in check.check(tmp_path / "data", "meld", None, nj=1)
    }
    assert found["duplicated audio"].is_error and found["duplicated audio"].detail.startswith(
        "dia0_utt2-test = dia0_utt3-test"
    )
    assert not found["known duplicate across test and train"].is_error


def test_the_folds_are_checked_where_they_lie(whole: Path, tmp_path: Path) -> None:
    """The official split's sizes, and the leading speakers in all parts as a note; with a clip less
    it is a fault.
    """
    config = recipe("measure.source=corpus")
    annotate.annotate(whole, config, nj=1, out=tmp_path / "folds")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "folds"), "--corpus", "meld"])
    assert (
        result.exit_code == 0
        and "note: speaker overlap (2)" in result.output
        and "error:" not in result.output
    ), result.output
    test = datadir.read(tmp_path / "folds" / "fold1" / "test")
    datadir.write(tmp_path / "folds" / "fold1" / "test", test[1:])
    result = CliRunner().invoke(app, ["check", str(tmp_path / "folds")])
    assert (
        result.exit_code == 1 and "fold1/test: 2609 utterances, 2610 are published" in result.output
    )
    annotate.annotate(
        whole,
        recipe("measure.source=corpus", "folds.protocol=emobox"),
        nj=1,
        out=tmp_path / "folds",
    )
    result = CliRunner().invoke(app, ["check", str(tmp_path / "folds")])
    assert result.exit_code == 0 and "note: sizes of folds (1)" in result.output


def test_the_doctor_reads_the_lengths_of_a_list(
    whole: Path, real_data: Callable[[str], Path]
) -> None:
    """The made sound is far shorter than the list says, and all of it is told."""
    found = check.check(whole, "meld", real_data("lists") / "meld_13706.tsv", nj=1)
    kinds = Counter(finding.kind for finding in found if finding.is_error)
    assert kinds["duration"] > 12_000 and set(kinds) == {"duration"}
    with pytest.raises(UserError, match="none.tsv: no such list"):
        check.check(whole, "meld", Path("none.tsv"), nj=1)


@pytest.mark.parametrize("protocol, size", [("all", 2610), ("emobox", 2608)])
def test_no_test_clip_is_dropped_unless_the_protocol_says_so(
    protocol: str, size: int, golden: dict[str, dict[str, str]]
) -> None:
    utterances = [
        Utterance(
            key,
            "",
            "a",
            seconds=float(row["seconds"]),
            session=key.rpartition("-")[2],
            emotion=meld.EMOTIONS[row["label"]],
        )
        for key, row in golden.items()
    ]
    (fold,) = folds.split(utterances, recipe(f"folds.protocol={protocol}").folds, 1)
    assert (
        len(fold.test) == size
        and len(fold.train) == 9988 - (protocol == "emobox")
        and len(fold.dev) == 1108
    )


def test_what_is_heard_otherwise_is_listed(tmp_path: Path, tone: Callable[..., Path]) -> None:
    lengths = {"a-test": 0.15, "b-test": 31.0, "c-train": 1.0, "d-train": 0.5}
    datadir.write(
        tmp_path / "data",
        [
            Utterance(
                i,
                str(tone(f"{i}.wav", seconds=s)),
                i[0],
                text="one two",
                seconds=s,
                session=i[2:],
                emotion="sad",
                gender="male",
            )
            for i, s in lengths.items()
        ],
    )
    (fold,) = annotate.annotate(tmp_path / "data", recipe(), 1)
    assert len(fold.test) == 2 and (tmp_path / "data" / "adjusted.tsv").read_text().splitlines()[
        1:
    ] == [
        "a-test\t0.150\tfollowed by silence up to 0.4 s",
        "b-test\t31.000\tthe first 30 s are used",
    ]
