"""The command line: configuration faults, exit codes, the whole path on made-up data, and descriptions of any recording."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Callable

import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.cli import app
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.errors import UserError
from serdesc.scoring.experiment import Experiment

ROOT = Path(__file__).parents[2]


def serdesc(*arguments: object) -> tuple[int, str]:
    """Exit code and output of a verb, called as the program calls it."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


# ---- configuration ----


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("training:\n  betta: 1\n  batch_size: many\n  content: {lr: 2e-4, schedule: steps}\nllm: big\nfolds: {labels: sad}\n")
    with pytest.raises(UserError) as error:
        configs.load(path)
    for part in (
        "5 error(s)",
        "training.betta: no such key; did you mean 'beta'?",
        "training.batch_size: 'many' where a whole number",
        "training.content.schedule: 'steps' is not one of constant, cosine",
        "llm: 'big' where a section",
        "folds.labels: 'sad' where a list",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "setting, told",
    [
        ("scoring.resamples=-5", "scoring.resamples: '-5' is not 1 or more"),
        ("training.batch_size=0", "training.batch_size: '0' is not 1 or more"),
        ("training.content.epochs=-1", "training.content.epochs: '-1' is not 0 or more"),
        ("training.descriptor.lr=0", "training.descriptor.lr: '0' is not more than 0"),
        ("llm.lora.dropout=1.5", "llm.lora.dropout: '1.5' is not between 0 and 1"),
        ("encoder.max_seconds=.nan", "encoder.max_seconds: 'nan' is not more than 0"),
        ("store.shard_seconds=.inf", "store.shard_seconds: 'inf' is not more than 0"),
        ("adapter.k=true", "adapter.k: 'True' where a whole number is expected"),
    ],
)
def test_senseless_numbers_are_told_with_their_range(setting: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        configs.load(None, [setting])
    assert "1 error(s)" in str(error.value) and told in str(error.value)


def test_mistakes_that_libraries_find_are_told(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> None:
    options = [part for setting in tiny_settings for part in ("--set", setting)]
    code, said = serdesc("extract", corpus, tmp_path / "s", *options, "--set", "device=gpu")
    assert code == 2 and "device: 'gpu' is unknown to torch" in said
    code, said = serdesc("annotate", corpus, *options, "--set", "measure.language=english")
    assert code == 2 and "has no voice 'english': name a language for measure.language" in said
    serdesc("annotate", corpus, *options)
    code, said = serdesc("train", corpus / "fold1/train", "live", tmp_path / "e", *options, "--set", "adapter.hidden=100000000000")
    assert code == 1 and "serdesc train: out of memory" in said and "serdesc plan" in said


def test_config_prints_what_files_and_settings_come_to() -> None:
    mini = ROOT / "egs/mini/conf/mini.yaml"
    code, said = serdesc("config", "--config", mini, "--config", "two_stage", "--set", "training.beta=1e-3")
    assert code == 0 and yaml.safe_load(said) == asdict(configs.load([mini, Path("two_stage")], ["training.beta=1e-3"]))
    assert serdesc("config", "encoder.model") == (0, "facebook/hubert-large-ls960-ft\n")
    assert yaml.safe_load(serdesc("config", "training.content")[1]) == asdict(configs.Config().training.content)
    assert serdesc("config", "training.beta.x") == (2, "serdesc config: training.beta.x: beta has no 'x'; it is a value\n")
    assert "encoder has no 'modl'; it has model, layers" in serdesc("config", "encoder.modl")[1]


def test_numbers_in_yaml_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("training: {beta: 1e-3, content: {lr: 2e-4}}\n")
    loaded = configs.load(path, ["training.content.epochs=7", "folds.test_speakers=[[a],[b, c]]", "training.descriptor.lr=3e-5", "llm.model=x"])
    assert (loaded.training.beta, loaded.training.content.lr, loaded.training.descriptor.lr) == (1e-3, 2e-4, 3e-5)
    papers = configs.Config().training.descriptor
    assert (loaded.training.descriptor.epochs, loaded.training.descriptor.schedule) == (papers.epochs, "cosine")  # the rest of a section stays
    assert loaded.training.content.epochs == 7 and loaded.folds.test_speakers == [["a"], ["b", "c"]]


def test_includes_are_laid_under_and_must_not_turn_round(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("seed: 3\ntraining: {beta: 1, content: {epochs: 9}}\n")
    (tmp_path / "over.yaml").write_text("include: base.yaml\ntraining: {beta: 0.5}\n")
    loaded = configs.load(tmp_path / "over.yaml")
    assert (loaded.seed, loaded.training.beta, loaded.training.content.epochs) == (3, 0.5, 9)
    (tmp_path / "base.yaml").write_text("include: over.yaml\n")
    with pytest.raises(UserError, match="includes itself"):
        configs.load(tmp_path / "over.yaml")


@pytest.mark.parametrize("settings, message", [(["training.beta"], "write key=value"), (["a: b: c=1"], "no such key"), (["seed=[1"], "not YAML")])
def test_faulty_settings_are_named(settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        configs.load(None, settings)


def test_a_resolved_configuration_reads_back(tmp_path: Path) -> None:
    configs.dump(Config(), tmp_path / "c.yaml")
    assert configs.load(tmp_path / "c.yaml") == Config()


@pytest.mark.parametrize("path", sorted(ROOT.glob("egs/*/conf/*.yaml")), ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_every_recipes_configuration_loads(path: Path) -> None:
    configs.load(path)


# ---- verbs ----


def test_help_of_every_verb_shows_an_example() -> None:
    code, listing = serdesc("--help")
    verbs = [command.name for command in app.registered_commands]
    assert code == 0 and len(verbs) >= 10
    for name in verbs:
        code, text = serdesc(name, "--help")
        assert code == 0 and f"serdesc {name} " in text.replace("\n", " "), name


def test_help_and_scoring_import_no_torch() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from serdesc.cli import app; assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "light = {'torch', 'transformers', 'pandas', 'sklearn', 'librosa'} & set(sys.modules); assert not light, light; "
        "import serdesc.scoring.report, serdesc.scoring.baselines, serdesc.scoring.metrics as m; m.every(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


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
def test_a_users_mistake_is_one_message_and_exit_code_2(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        code, text = serdesc(*arguments)
    finally:
        os.chdir(before)
    assert code == 2 and message in text and "Traceback" not in text


def test_paths_that_cannot_be_read_are_named_with_a_remedy(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> None:
    with_settings = [item for setting in tiny_settings for item in ("--set", setting)]
    assert serdesc("annotate", corpus, *with_settings)[0] == 0
    test, hyp, latin = corpus / "fold1" / "test", tmp_path / "hyp.jsonl", tmp_path / "latin.yaml"
    hyp.write_text("".join(json.dumps({"utt_id": utt.utt_id, "response": "She is sad."}) + "\n" for utt in datadir.read(test)))
    latin.write_bytes("# Müller's\nseed: 2\n".encode("latin-1"))
    for arguments, said in (
        (("--hyp", hyp, "--refs", tmp_path / "none"), f"{tmp_path / 'none'}: no such file. Name another"),
        (("--hyp", hyp, "--refs", tmp_path), f"{tmp_path}: a folder, where a file is expected"),
        (("--hyp", tmp_path), f"{tmp_path}: a folder, where a file is expected"),
        (("--hyp", tmp_path / "none.jsonl"), "none.jsonl"),
        (("--hyp", hyp, "--config", tmp_path), f"{tmp_path}: a folder, not a configuration file"),
        (("--hyp", hyp, "--config", latin), f"{latin}:1: not UTF-8: byte 3 is 0x"),
        (("--hyp", hyp, "--metric", "ua", "--out", tmp_path), f"{tmp_path}: is a folder; name a file"),
        (("--hyp", hyp, "--metric", "ua", "--set", "scoring.resamples=-5"), "scoring.resamples: '-5' is not 1 or more"),
    ):
        code, text = serdesc("score", test, *arguments)
        assert code == 2 and said in text and "Errno" not in text and "GB" not in text, (arguments, text)


def test_without_torch_models_say_what_to_install(corpus: Path, tmp_path: Path) -> None:
    """A process in which torch cannot be imported, as where only the scorer was installed."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "serdesc.cli", "describe", str(tmp_path / "x.wav")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "package torch is not installed" in done.stderr and "pip install torch transformers peft safetensors" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_locale_that_lacks_a_letter_gets_a_question_mark() -> None:
    env = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "iso-8859-1", "COLUMNS": "200"}
    for arguments in (["table", "1", "nowhere"], ["table", "--help"]):
        done = subprocess.run([sys.executable, "-m", "serdesc.cli", *arguments], env=env, capture_output=True, cwd=ROOT)
        assert b"Traceback" not in done.stderr, done.stderr
    script = "from serdesc import cli; cli.app = lambda: print('\u2264 \u00b1'); cli.entry()"
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, cwd=ROOT, check=True)
    assert done.stdout == b"? \xb1\n"


def test_a_folder_beside_the_folds_is_none_of_them(tmp_path: Path) -> None:
    for name in ("fold1", "fold1_old", "fold10", "fold2"):
        (tmp_path / "exp" / name / "decode_test").mkdir(parents=True)
        (tmp_path / "exp" / name / "decode_test" / "score.json").write_text("{}")
    assert [fold.name for fold in Experiment.open(tmp_path / "exp", "test", Config()).folds] == ["fold1", "fold2", "fold10"]


def test_the_whole_path_verb_by_verb(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> None:
    with_settings = [item for setting in tiny_settings for item in ("--set", setting)]
    store, exp = tmp_path / "dump", tmp_path / "exp" / "fold1"
    for arguments in (
        ("annotate", corpus, *with_settings),
        ("extract", corpus, store, *with_settings),
        ("check", store),
        ("train", corpus / "fold1" / "train", store, exp, *with_settings),
        ("check", exp),
        ("decode", corpus / "fold1" / "test", store, exp),
        ("score", corpus / "fold1" / "test", "--hyp", exp / "decode_test" / "hyp.jsonl", *with_settings),
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
    code, text = serdesc("decode", corpus / "fold1" / "test", "live", exp, "--out", tmp_path / "live.jsonl", "--set", "store.dtype=float16")
    assert code == 0, text
    assert [json.loads(line)["utt_id"] for line in (tmp_path / "live.jsonl").read_text().splitlines()] == [row["utt_id"] for row in rows]


def test_one_recording_that_went_bad_is_named_and_the_others_go_on(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> None:
    with_settings = [item for setting in tiny_settings for item in ("--set", setting)]
    assert serdesc("annotate", corpus, *with_settings)[0] == 0
    test, train, store, exp = corpus / "fold1" / "test", corpus / "fold1" / "train", tmp_path / "dump", tmp_path / "exp" / "fold1"
    ids = [utt.utt_id for utt in datadir.read(test)]
    for utt in (datadir.read(test)[0], datadir.read(train)[0]):
        Path(utt.wav).unlink()
    for arguments, said in (
        (("extract", corpus, store, *with_settings), "2 utterances have no features"),
        (("train", train, store, exp, *with_settings), "1 utterances without features were not used"),
        (("decode", test, "live", exp), f"{ids[0]}.wav ({ids[0]}): no such file"),
        (("decode", test, store, exp, "--out", tmp_path / "stored.jsonl"), f"{ids[0]}.wav ({ids[0]}): no such file"),
        (("score", test, "--hyp", tmp_path / "stored.jsonl", "--metric", "ua", "--missing", "wrong", "--faithful"), "2 utterances are not measured"),
    ):
        code, text = serdesc(*arguments)
        assert code == 0 and said in text.replace("\n", " ") and "Traceback" not in text, (arguments, text)
    for hyp in (exp / "decode_test" / "hyp.jsonl", tmp_path / "stored.jsonl"):
        assert [json.loads(line)["utt_id"] for line in hyp.read_text().splitlines()] == ids[1:]
    for utt in datadir.read(test):
        Path(utt.wav).unlink(missing_ok=True)
    code, text = serdesc("decode", test, "live", exp, "--out", tmp_path / "none.jsonl")
    assert code == 1 and "none of 6 utterances has usable audio" in text and not (tmp_path / "none.jsonl").exists()
    code, text = serdesc("train", train, "live", tmp_path / "exp" / "fold2", *with_settings)
    assert code == 1 and "): no such file. Restore the file, or run `serdesc prepare`" in text and "serdesc train: " in text


def test_describe_takes_any_recording_and_names_the_unusable(
    corpus: Path, tmp_path: Path, tiny_settings: list[str], tone: Callable[..., Path]
) -> None:
    with_settings = [item for setting in tiny_settings for item in ("--set", setting)]
    exp = tmp_path / "exp" / "fold1"
    for arguments in (("annotate", corpus, *with_settings), ("train", corpus / "fold1" / "train", "live", exp, *with_settings)):
        code, text = serdesc(*arguments)
        assert code == 0, text
    files = [
        tone("phone.wav", rate=8000), tone("studio.flac", rate=48_000, channels=2, subtype="PCM_24"), tone("long.flac", seconds=1200, rate=8000),
        tone("short.wav", seconds=0.03),
    ]  # fmt: skip
    soundfile.write(tmp_path / "silent.wav", [0.0] * 16_000, 16_000)
    code, text = serdesc("describe", *files, tmp_path / "silent.wav", tmp_path / "absent.wav", "--model", exp, "--json")
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [Path(row["audio"]).name for row in rows] == [path.name for path in files]
    assert all(set(row) >= {"audio", "caption", "fields", "seconds"} for row in rows) and rows[2]["seconds"] <= 30
    assert code == 1 and "silent.wav: silent" in text and "absent.wav: no such file" in text and "2 of 6 files" in text and "Traceback" not in text
