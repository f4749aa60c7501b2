"""IEMOCAP, from a tree in its own layout: the published counts and folds, odd files and tags, and a
doctor that finds what is planted.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import soundfile
from helpers import FEW, RNG, noise, tree
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.cli import app
from serdesc.data import annotate, check, datadir, folds, prepare
from serdesc.data.corpora import iemocap
from serdesc.errors import UserError

ROOT = Path(__file__).parents[3]


def recipe(*settings: str) -> configs.Config:
    return configs.load(ROOT / "egs/iemocap/conf/iemocap.yaml", list(settings))


@pytest.fixture(scope="session")
def golden(real_data: Callable[[str], Path]) -> list[dict[str, str]]:
    with (real_data("lists") / "iemocap_5531.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="session")
def whole(golden: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 5531 and other labels, prepared: the data directory."""
    root = tmp_path_factory.mktemp("iemocap")
    labels = {row["utt_id"]: row["raw_label"] for row in golden}
    labels |= {
        f"Ses0{k}F_impro04_M{900 + i}": label
        for k in range(1, 6)
        for i, label in enumerate(("fru", "fea", "sur", "dis", "oth", "xxx"))
    }
    texts = {
        golden[0]["utt_id"]: "[LAUGHTER] Excuse [garbage] me.",
        golden[1]["utt_id"]: "[BREATHING]",
    }
    prepare.prepare(
        "iemocap", tree(root / "src", labels, texts), root / "data", recipe().prepare, nj=2
    )
    return root / "data"


def test_the_5531_with_their_labels_and_folds(whole: Path, golden: list[dict[str, str]]) -> None:
    every = {utt.utt_id: utt for utt in datadir.read(whole)}
    assert len(every) == 5561 and len((whole / "rejected.tsv").read_text().splitlines()) == 1
    raw = {"neu": "neutral", "hap": "happy", "exc": "happy", "ang": "angry", "sad": "sad"}
    made = folds.split(list(every.values()), recipe().folds, seed=1)
    for fold, size in zip(made, (1085, 1023, 1151, 1031, 1241), strict=True):
        wanted = {
            row["utt_id"]: raw[row["raw_label"]]
            for row in golden
            if row["test_fold"] == str(fold.number)
        }
        assert {utt.utt_id: utt.emotion for utt in fold.test} == wanted and len(fold.test) == size
        assert len(fold.train) + len(fold.test) == 5531 and not fold.dev
        assert not {u.spk for u in fold.train} & {u.spk for u in fold.test}
    assert Counter(u.emotion for fold in made for u in fold.test) == {
        "neutral": 1708, "happy": 1636, "angry": 1103, "sad": 1084,
    }  # fmt: skip
    assert every[golden[0]["utt_id"]].text == "Excuse me." and not every[golden[1]["utt_id"]].text


def test_the_speakers_sex_is_the_letter_before_the_number(whole: Path) -> None:
    for utt in datadir.read(whole):
        letter = utt.utt_id[-4]
        assert (
            utt.spk == utt.utt_id[:5] + letter
            and utt.gender == {"F": "female", "M": "male"}[letter]
        )


def test_a_sound_copy_has_no_fault(whole: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(whole), "--corpus", "iemocap"])
    assert result.exit_code == 0 and "no errors" in result.output.splitlines()[-1], result.output


@pytest.mark.slow
def test_the_doctor_finds_what_is_planted_and_nothing_else(
    golden: list[dict[str, str]], tmp_path: Path
) -> None:
    labels = {row["utt_id"]: row["raw_label"] for row in golden}
    ids = list(labels)
    del labels[ids[0]]  # a lost utterance: one neutral of Session 1
    labels[ids[1]] = "zzz"
    texts = {ids[2]: "a word " * 30}
    src = tree(tmp_path / "src", labels, texts, seconds=lambda utt_id: 0.15)

    def wav(i: int) -> Path:
        return (
            src
            / f"Session{ids[i][4]}"
            / "sentences/wav"
            / ids[i].rsplit("_", 1)[0]
            / f"{ids[i]}.wav"
        )

    wav(3).unlink()
    wav(4).write_bytes(wav(5).read_bytes())
    soundfile.write(wav(6), np.clip(RNG.normal(0, 3, 2400), -1, 1), 16_000)
    soundfile.write(wav(7), np.full(2400, 1e-4) * np.sin(np.arange(2400)), 16_000)
    soundfile.write(wav(8), RNG.uniform(-0.2, 0.2, (2400, 2)), 16_000)
    wav(9).write_bytes(wav(9).read_bytes()[:20])
    noise(wav(10), 1.0)
    listed = tmp_path / "list.tsv"
    listed.write_text("utt_id\tseconds\n" + "".join(f"{utt_id}\t0.15\n" for utt_id in ids))
    config = recipe()
    prepare.prepare("iemocap", src, tmp_path / "data", config.prepare, nj=2)
    found = check.check(tmp_path / "data", "iemocap", listed, nj=2)
    kinds: dict[str, list[str]] = defaultdict(list)
    for finding in found:
        assert finding.is_error
        kinds[finding.kind].append(finding.detail)
    expected: dict[str, Any] = {
        "rejected": [ids[1], ids[3], ids[9]], "not in the data": [ids[0]], "duplicated audio": [f"{ids[4]} = {ids[5]}"],
        "transcript longer than the audio allows": [ids[2]], "clipped": [ids[6]], "silent": [ids[7]], "channels": [ids[8]], "duration": [ids[10]],
    }  # fmt: skip
    for kind, wanted in expected.items():
        assert sorted(what.split(":")[0].split(" is in")[0] for what in kinds[kind]) == sorted(
            wanted
        ), kind
    lost = Counter(labels.get(ids[i], "neu") if i else "neu" for i in (0, 3, 9)) + Counter(
        [golden[1]["raw_label"]]
    )
    assert len(kinds["counts"]) == 1 + len(lost) and any(
        what.startswith("session Ses01: 1081") for what in kinds["counts"]
    )
    assert set(kinds) == {*expected, "counts"}
    result = CliRunner().invoke(app, ["check", str(tmp_path / "data"), "--corpus", "iemocap"])
    assert result.exit_code == 1 and "duplicated audio" in result.output


def test_wrong_labels_speakers_and_sessions_are_found(
    whole: Path, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """A sound copy agrees with the golden list in label and fold; one that was mixed up says whose."""
    listed = real_data("lists") / "iemocap_5531.tsv"

    def found(data: Path) -> dict[str, list[str]]:
        kinds: dict[str, list[str]] = defaultdict(list)
        for finding in check.check(data, "iemocap", listed, nj=2):
            kinds[finding.kind].append(finding.detail)
        return kinds

    every = {utt.utt_id: utt for utt in datadir.read(whole)}
    assert set(found(whole)) == {"duration"}, "the made sound is short, and nothing else differs"
    angry, sad = (
        next(i for i, utt in every.items() if utt.emotion == emotion)
        for emotion in ("angry", "sad")
    )
    crossed = next(i for i in every if i.startswith("Ses02F") and i[-4] == "M")
    moved = next(i for i in every if i.startswith("Ses04"))
    every[angry], every[sad] = replace(every[angry], emotion="sad"), replace(
        every[sad], emotion="calm"
    )
    every[crossed] = replace(
        every[crossed], spk="Ses02F", gender="female"
    )  # by the dialogue's name
    every[moved] = replace(every[moved], session="Ses05")
    datadir.write(tmp_path / "mixed", every.values())
    kinds = found(tmp_path / "mixed")
    wrong = ((angry, "sad", "ang"), (sad, "calm", "sad"))
    assert sorted(kinds["label"]) == sorted(
        f"{i}: {now}, iemocap_5531.tsv has {was}" for i, now, was in wrong
    )
    assert kinds["labels outside the map"] == [f"{sad}: calm"]
    assert (
        f"{crossed}: speaker Ses02F, its id has Ses02M; sex female, its id has male"
        in kinds["speaker or session"]
    )
    assert (
        f"{moved}: session Ses05, its id has Ses04" in kinds["speaker or session"]
        and len(kinds["speaker or session"]) == 2
    )
    if any(row.startswith(moved) for row in listed.read_text().splitlines()):
        assert kinds["fold"] == [f"{moved}: session Ses05, iemocap_5531.tsv has 4"]


@pytest.mark.slow
def test_folds_have_the_published_sizes(whole: Path, tmp_path: Path) -> None:
    """Of the protocol that they are published of; a label set that counts the same clips has them
    too, another says that it is not compared.
    """
    for name, settings, exit_code, said in (
        ("four", [], 0, "no errors"),
        ("emobox", ["folds.protocol=emobox"], 0, "note: sizes of folds (1)"),
        (
            "six",
            ["folds.labels=[angry, happy, neutral, sad, frustrated]"],
            0,
            "note: sizes of folds (1)",
        ),
    ):
        annotate.annotate(
            whole, recipe("measure.source=corpus", *settings), nj=1, out=tmp_path / name
        )
        result = CliRunner().invoke(app, ["check", str(tmp_path / name), "--corpus", "iemocap"])
        assert result.exit_code == exit_code and said in result.output, result.output
    test, train = (datadir.read(tmp_path / "four" / "fold3" / part) for part in ("test", "train"))
    datadir.write(tmp_path / "four" / "fold3" / "test", test[:-1])
    datadir.write(tmp_path / "four" / "fold3" / "train", [*train, test[-1]])
    result = CliRunner().invoke(app, ["check", str(tmp_path / "four")])
    assert (
        result.exit_code == 1 and "fold3/test: 1150 utterances, 1151 are published" in result.output
    )
    assert f"fold3: 1 speakers in train and in test: {test[-1].spk}" in result.output


def test_five_classes_prepared_as_four_are_refused(tmp_path: Path) -> None:
    prepare.prepare("iemocap", tree(tmp_path / "src", FEW), tmp_path / "data", recipe().prepare, 1)
    with pytest.raises(UserError, match="prepare.excited happy, the configuration has excited"):
        annotate.annotate(tmp_path / "data", configs.load(ROOT / "egs/iemocap/conf/five.yaml"), 1)


def test_other_label_sets_by_one_key(tmp_path: Path) -> None:
    src = tree(tmp_path / "src", FEW | {"Ses01F_impro02_M001": "fru", "Ses01F_impro02_M002": "xxx"})

    def emotions(*settings: str) -> Counter[str | None]:
        accepted, _ = prepare.prepare(
            "iemocap", src, tmp_path / "data", recipe(*settings).prepare, 1
        )
        return Counter(utt.emotion for utt in accepted)

    assert emotions() == {
        "neutral": 10,
        "angry": 10,
        "happy": 10,
        "sad": 10,
        "frustrated": 1,
        None: 1,
    }
    assert emotions("prepare.excited=excited")["excited"] == 5
    assert emotions("prepare.turns=improvised") == {
        "neutral": 10,
        "angry": 5,
        "sad": 10,
        "frustrated": 1,
        None: 1,
    }
    for name, classes in (("four", 4), ("five", 5), ("six", 6)):
        config = (
            configs.load(ROOT / f"egs/iemocap/conf/{name}.yaml") if name != "four" else recipe()
        )
        assert len(config.folds.labels) == classes


def test_a_release_in_parts_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    src = tree(tmp_path / "src", FEW)
    (src / "Session3/dialog/transcriptions").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="missing Session3/dialog/transcriptions"):
        list(iemocap.utterances(src))


def test_text_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    src = tree(tmp_path / "src", FEW, {"Ses01M_impro01_F000": "A caf\u00e9"})
    path = src / "Session1/dialog/transcriptions/Ses01M_impro01.txt"
    path.write_bytes(path.read_text().encode("cp1252"))
    texts = {
        utt.utt_id: utt.text
        for utt in iemocap.utterances(src)
        if isinstance(utt, datadir.Utterance)
    }
    assert texts["Ses01M_impro01_F000"] == "A caf\u00e9" and len(texts) == len(FEW)


@pytest.mark.parametrize("dev", ["utterances", "speakers"])
def test_a_dev_part_only_when_it_is_asked_for(dev: str, tmp_path: Path) -> None:
    config = recipe(f"folds.dev={dev}")
    prepare.prepare("iemocap", tree(tmp_path / "src", FEW), tmp_path / "data", config.prepare, 1)
    for fold in folds.split(datadir.read(tmp_path / "data"), config.folds, seed=1):
        assert len(fold.train) + len(fold.dev) == 32 and len(fold.test) == 8
        if dev == "speakers":  # a fifth of eight
            assert len({u.spk for u in fold.dev}) == 2 and not {u.spk for u in fold.dev} & {
                u.spk for u in fold.train
            }
        else:
            assert len(fold.dev) == 6
