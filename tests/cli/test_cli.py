"""Commands and their errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.cli import serdesc

from serdesc.config import Config
from serdesc.data import datadir
from serdesc.scoring.experiment import Experiment

ROOT = Path(__file__).parents[2]


def test_mistakes_that_libraries_find_are_told(
    corpus: Path, tmp_path: Path, tiny_settings: list[str]
) -> None:
    options = [part for setting in tiny_settings for part in ("--set", setting)]
    code, said = serdesc("extract", corpus, tmp_path / "s", *options, "--set", "device=gpu")
    assert code == 2 and "device: 'gpu' is unknown to torch" in said
    code, said = serdesc("annotate", corpus, *options, "--set", "measure.language=english")
    assert code == 2 and "has no voice 'english': name a language for measure.language" in said
    serdesc("annotate", corpus, *options)
    code, said = serdesc(
        "train",
        corpus / "fold1/train",
        "live",
        tmp_path / "e",
        *options,
        "--set",
        "adapter.hidden=100000000000",
    )
    assert code == 1 and "serdesc train: out of memory" in said and "serdesc plan" in said


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("annotate", "nowhere"), "no such data directory"),
        (("prepare", "ravdess", "nowhere", "data"), "no such folder"),
        (("extract", "nowhere", "store", "--shard", "3/2"), "1 <= I <= N"),
        (("score", "nowhere", "--hyp", "none.jsonl"), "no such data directory"),
        (("train", "nowhere", "store", "exp", "--set", "beta=1"), "beta: no such key"),
        (("report", "nowhere"), "Train, decode and score first"),
        (("describe", "x.wav", "--model", "nowhere"), "no built-in model"),
        (("check", "nowhere"), "no such data directory"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        code, text = serdesc(*arguments)
    finally:
        os.chdir(before)
    assert code == 2 and message in text and "Traceback" not in text


def test_paths_that_cannot_be_read_are_named_with_a_remedy(
    corpus: Path, tmp_path: Path, tiny_settings: list[str]
) -> None:
    with_settings = [item for setting in tiny_settings for item in ("--set", setting)]
    assert serdesc("annotate", corpus, *with_settings)[0] == 0
    test, hyp, latin = corpus / "fold1" / "test", tmp_path / "hyp.jsonl", tmp_path / "latin.yaml"
    hyp.write_text(
        "".join(
            json.dumps({"utt_id": utt.utt_id, "response": "She is sad."}) + "\n"
            for utt in datadir.read(test)
        )
    )
    latin.write_bytes("# Müller's\nseed: 2\n".encode("latin-1"))
    for arguments, said in (
        (
            ("--hyp", hyp, "--refs", tmp_path / "none"),
            f"{tmp_path / 'none'}: no such file. Name another",
        ),
        (("--hyp", hyp, "--refs", tmp_path), f"{tmp_path}: a folder, where a file is expected"),
        (("--hyp", tmp_path), f"{tmp_path}: a folder, where a file is expected"),
        (("--hyp", tmp_path / "none.jsonl"), "none.jsonl"),
        (("--hyp", hyp, "--config", tmp_path), f"{tmp_path}: a folder, not a configuration file"),
        (("--hyp", hyp, "--config", latin), f"{latin}:1: not UTF-8: byte 3 is 0x"),
        (
            ("--hyp", hyp, "--metric", "ua", "--out", tmp_path),
            f"{tmp_path}: is a folder; name a file",
        ),
        (
            ("--hyp", hyp, "--metric", "ua", "--set", "scoring.resamples=-5"),
            "scoring.resamples: '-5' is not 1 or more",
        ),
    ):
        code, text = serdesc("score", test, *arguments)
        assert code == 2 and said in text and "Errno" not in text and "GB" not in text, (
            arguments,
            text,
        )


def test_a_locale_that_lacks_a_letter_gets_a_question_mark() -> None:
    env = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "iso-8859-1", "COLUMNS": "200"}
    for arguments in (["table", "1", "nowhere"], ["table", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "serdesc.cli", *arguments],
            env=env,
            capture_output=True,
            cwd=ROOT,
        )
        assert b"Traceback" not in done.stderr, done.stderr
    script = "from serdesc import cli; cli.app = lambda: print('\u2264 \u00b1'); cli.entry()"
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, cwd=ROOT, check=True
    )
    assert done.stdout == b"? \xb1\n"


def test_a_folder_beside_the_folds_is_none_of_them(tmp_path: Path) -> None:
    for name in ("fold1", "fold1_old", "fold10", "fold2"):
        (tmp_path / "exp" / name / "decode_test").mkdir(parents=True)
        (tmp_path / "exp" / name / "decode_test" / "score.json").write_text("{}")
    assert [fold.name for fold in Experiment.open(tmp_path / "exp", "test", Config()).folds] == [
        "fold1",
        "fold2",
        "fold10",
    ]


@pytest.mark.slow
def test_the_whole_path_verb_by_verb(
    corpus: Path, tmp_path: Path, tiny_settings: list[str]
) -> None:
    with_settings = [item for setting in tiny_settings for item in ("--set", setting)]
    store, exp = tmp_path / "dump", tmp_path / "exp" / "fold1"
    for arguments in (
        ("annotate", corpus, *with_settings),
        ("extract", corpus, store, *with_settings),
        ("check", store),
        ("train", corpus / "fold1" / "train", store, exp, *with_settings),
        ("check", exp),
        ("decode", corpus / "fold1" / "test", store, exp),
        (
            "score",
            corpus / "fold1" / "test",
            "--hyp",
            exp / "decode_test" / "hyp.jsonl",
            *with_settings,
        ),
        ("baselines", corpus, "--out", tmp_path / "exp" / "baselines.json"),
        ("report", tmp_path / "exp", *with_settings),
        ("check", corpus),
    ):
        code, text = serdesc(*arguments)
        assert code == 0, (arguments, text)
    stored = (exp / "decode_test" / "hyp.jsonl").read_text()
    rows = [json.loads(line) for line in stored.splitlines()]
    keys = "utt_id response transcript emotion pitch energy speed age gender emphasis posterior unread".split()
    assert [list(row) for row in rows] == [keys] * 6
    code, text = serdesc(
        "decode",
        corpus / "fold1" / "test",
        "live",
        exp,
        "--out",
        tmp_path / "live.jsonl",
        "--set",
        "store.dtype=float16",
    )
    assert code == 0, text
    assert [
        json.loads(line)["utt_id"] for line in (tmp_path / "live.jsonl").read_text().splitlines()
    ] == [row["utt_id"] for row in rows]


@pytest.mark.slow
def test_one_recording_that_went_bad_is_named_and_the_others_go_on(
    corpus: Path, tmp_path: Path, tiny_settings: list[str]
) -> None:
    with_settings = [item for setting in tiny_settings for item in ("--set", setting)]
    assert serdesc("annotate", corpus, *with_settings)[0] == 0
    test, train, store, exp = (
        corpus / "fold1" / "test",
        corpus / "fold1" / "train",
        tmp_path / "dump",
        tmp_path / "exp" / "fold1",
    )
    ids = [utt.utt_id for utt in datadir.read(test)]
    for utt in (datadir.read(test)[0], datadir.read(train)[0]):
        Path(utt.wav).unlink()
    for arguments, said in (
        (("extract", corpus, store, *with_settings), "2 utterances have no features"),
        (
            ("train", train, store, exp, *with_settings),
            "1 utterances without features were not used",
        ),
        (("decode", test, "live", exp), f"{ids[0]}.wav ({ids[0]}): no such file"),
        (
            ("decode", test, store, exp, "--out", tmp_path / "stored.jsonl"),
            f"{ids[0]}.wav ({ids[0]}): no such file",
        ),
        (
            (
                "score",
                test,
                "--hyp",
                tmp_path / "stored.jsonl",
                "--metric",
                "ua",
                "--missing",
                "wrong",
                "--faithful",
            ),
            "2 utterances are not measured",
        ),
    ):
        code, text = serdesc(*arguments)
        assert code == 0 and said in text.replace("\n", " ") and "Traceback" not in text, (
            arguments,
            text,
        )
    for hyp in (exp / "decode_test" / "hyp.jsonl", tmp_path / "stored.jsonl"):
        assert [json.loads(line)["utt_id"] for line in hyp.read_text().splitlines()] == ids[1:]
    for utt in datadir.read(test):
        Path(utt.wav).unlink(missing_ok=True)
    code, text = serdesc("decode", test, "live", exp, "--out", tmp_path / "none.jsonl")
    assert (
        code == 1
        and "none of 6 utterances has usable audio" in text
        and not (tmp_path / "none.jsonl").exists()
    )
    code, text = serdesc("train", train, "live", tmp_path / "exp" / "fold2", *with_settings)
    assert code == 0 and "no such file; skipped, see" in text
    Path(datadir.read(train)[-1].wav).unlink()
    code, text = serdesc("train", train, "live", tmp_path / "exp" / "fold3", *with_settings)
    assert code == 1 and "run `serdesc prepare` and `serdesc annotate` again" in text


def test_only_training_acts_on_the_signal_of_a_near_time_limit() -> None:
    """It ends other programs; utils/slurm.sh sends it to every command."""
    code = (
        "import os, signal, sys; from serdesc import cli; sys.argv = ['serdesc', '--version']\n"
        "try: cli.entry()\n"
        "except SystemExit: os.kill(os.getpid(), signal.SIGUSR1); print('running')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("running\n"), done.stderr
