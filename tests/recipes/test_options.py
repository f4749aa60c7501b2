"""utils/parse_options.sh, and the options of every recipe."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from helpers import RECIPES, ROOT, dry_run, run_script

pytestmark = pytest.mark.recipes

SCRIPT = """#!/usr/bin/env bash
# What it does.
#   ./run.sh --nj 4
set -euo pipefail

nj=1              # jobs
stop_stage=7      # last stage
quick=false       # a switch
corpus=           # a directory
init=none         # a model
set=()            # settings
. PARSE
outside=1
printf '%s|' "$nj" "$stop_stage" "$quick" "$corpus" "$init" "$outside" "${set[@]}"
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "egs" / "x" / "run.sh"
    path.parent.mkdir(parents=True)
    path.write_text(SCRIPT.replace("PARSE", f'"{ROOT}/utils/parse_options.sh"'))
    path.chmod(0o755)
    return path


def test_options_of_recipes(script: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        return run_script(script, *arguments)

    assert run() == (0, "1|7|false||none|1|")
    assert run("--nj", "3", "--quick", "--stop-stage", "2") == (0, "3|2|true||none|1|")
    assert run("--quick", "false") == (0, "1|7|false||none|1|")
    assert run("--nj", "3", "rest")[0] == 2 and "unknown option rest" in run("rest")[1]
    assert run("--njj", "3")[0] == 2 and "unknown option --njj" in run("--njj", "3")[1]
    assert run("--nj")[0] == 2 and "--nj needs a value" in run("--nj")[1]
    assert run("--nj", "many")[0] == 2 and "--nj many: not a number" in run("--nj", "many")[1]


def test_help_prints_the_header_and_the_block_only(script: Path) -> None:
    code, output = run_script(script, "--help")
    assert code == 0
    assert output.splitlines() == [
        "What it does.",
        "  ./run.sh --nj 4",
        "",
        "  --nj 1              # jobs",
        "  --stop-stage 7      # last stage",
        "  --quick false       # a switch",
        "  --corpus            # a directory",
        "  --init none         # a model",
        "  --set               # settings",
    ]


def test_nothing_outside_the_block_is_an_option(script: Path) -> None:
    for name in ("--outside", "--PATH", "--_name", "--_block", "--", "--nj=3", "--nj stop", "-n"):
        code, output = run_script(script, name, "3")
        assert code == 2 and f"unknown option {name}" in output
    for recipe in RECIPES:
        for name in ("--data", "--exp", "--conf", "--name", "--train-cmd", "--passed"):
            code, output = run_script(ROOT / "egs" / recipe / "run.sh", "--dry-run", name, "3")
            assert code == 2 and f"unknown option {name}" in output, recipe


def test_settings_can_be_repeated_and_hold_spaces(script: Path) -> None:
    def settings(*values: str) -> str:
        options = [word for value in values for word in ("--set", value)]
        code, output = run_script(script, *options)
        assert code == 0, output
        return output.removeprefix("1|7|false||none|1|")

    assert settings("a=1", "b=2 c") == "a=1|b=2 c|"
    assert settings("a=1 b=2") == "a=1|b=2|", "several assignments in one value, as before"
    assert settings("a=[1, 2]", "") == "a=[1, 2]|"
    assert settings("a=1\nb=2 ") == "a=1|b=2|"
    assert settings("a=$x `y` * \"q\" 'r' \\ é") == "a=$x `y` * \"q\" 'r' \\ é|"


def test_relative_paths_refer_to_the_callers_directory(script: Path, tmp_path: Path) -> None:
    def paths(cwd: Path, *options: str) -> tuple[str, str]:
        code, output = run_script(script, *options, cwd=cwd)
        assert code == 0, output
        return tuple(output.split("|")[3:5])  # type: ignore[return-value]

    caller = tmp_path / "my data"
    (caller / "model").mkdir(parents=True)
    assert paths(caller, "--corpus", "IEMOCAP", "--init", "model") == (
        f"{caller}/IEMOCAP",
        f"{caller}/model",
    )
    assert paths(caller, "--corpus", "/abs", "--init", "exp/own") == ("/abs", "exp/own")
    assert paths(script.parent, "--corpus", "x", "--init", "../y") == ("x", "../y")
    (caller / "none").mkdir()
    (caller / "describer-mini").mkdir()
    (script.parents[2] / "serdesc").symlink_to(ROOT / "serdesc")
    assert paths(caller, "--init", "none")[1] == "none"
    assert paths(caller, "--init", "describer-mini")[1] == "describer-mini"


@pytest.mark.parametrize("value", ["JOB", "/x/JOB/y", "foldJOB", "a.JOB.b", "JOB-1"])
def test_a_path_with_the_word_job_is_rejected(script: Path, tmp_path: Path, value: str) -> None:
    code, output = run_script(script, "--corpus", value)
    assert code == 2 and "JOB is replaced by the job's number" in output
    for fine in ("/kd/JOBS/f", "/JOB_1", "/JOB1", "/job"):
        assert run_script(script, "--corpus", fine)[0] == 0
    caller = tmp_path / "JOB"
    caller.mkdir()
    assert run_script(script, "--corpus", "x", cwd=caller)[0] == 2, "part of the resolved path"
    assert run_script(script, "--set", f"a={value}")[0] == 2


def test_the_callers_environment_is_not_read(script: Path) -> None:
    env = {"nj": "9", "stop_stage": "9", "quick": "true", "corpus": "x", "set": "y", "passed": "z"}
    assert run_script(script, **env) == (0, "1|7|false||none|1|")
    assert run_script(script, "--njj", "3", **env)[0] == 2
    others = {"stage": "5", "tag": "x", "folds": "9", "init": "none", "dump": "d", "set": "a=1"}
    others |= {"system": "full", "exp": "e", "data": "d", "max_jobs": "7", "slurm_options": "-x"}
    for recipe in RECIPES:
        assert dry_run(recipe) == dry_run(recipe, **others), recipe


@pytest.mark.parametrize("recipe", RECIPES)
def test_options_that_were_replaced_name_the_replacement(recipe: str) -> None:
    run = ROOT / "egs" / recipe / "run.sh"
    for option, value in (("--systems", "all"), ("--other-folds", "1")):
        code, output = run_script(run, "--dry-run", option, value)
        assert code == 2 and f"{option}: use local/run_systems.sh --systems" in output
        assert "--folds" in output and "stage" not in output.replace("parse", "")
    code, output = run_script(run, "--quick")
    assert code == 2 and '--config conf/quick.yaml --folds "1 2"' in output
    assert (ROOT / "egs/mini/conf/quick.yaml").exists()


@pytest.mark.parametrize("recipe", RECIPES)
def test_help_lists_every_variable_of_the_block(recipe: str) -> None:
    script = ROOT / "egs" / recipe / "run.sh"
    code, output = run_script(script, "--help")
    head = script.read_text().partition("parse_options.sh")[0]
    names = re.findall(r"^([a-z_]+)=", head, flags=re.M)
    options = re.findall(r"^  --([a-z-]+)", output, flags=re.M)
    assert code == 0 and [name.replace("_", "-") for name in names] == options
    assert {"stage", "stop_stage", "nj", "dry_run"} <= set(names)
    assert all(
        re.search(r"=\S*( .*)?  # \w", line)
        for line in re.findall(r"^[a-z_]+=.*", head, flags=re.M)
    )
    assert all(len(line) <= 80 for line in output.splitlines()), "fits a terminal"


def test_scripts_are_short() -> None:
    for recipe in RECIPES:
        assert len((ROOT / "egs" / recipe / "run.sh").read_text().splitlines()) <= 90, recipe
    for name in ("parse_options.sh", "stage.sh"):
        assert len((ROOT / "utils" / name).read_text().splitlines()) < 40, name
    scripts = [*ROOT.glob("egs/*/*.sh"), *ROOT.glob("egs/*/local/*.sh"), *ROOT.glob("utils/*.sh")]
    for path in scripts:
        assert max(len(line) for line in path.read_text().splitlines()) <= 100, path


def test_no_recipe_knows_the_queue() -> None:
    """cmd.sh and conf/slurm.conf alone name it."""
    for path in [*ROOT.glob("egs/*/run.sh"), *ROOT.glob("egs/*/local/*.sh")]:
        assert "slurm" not in path.read_text().lower(), path


def test_commands_are_visible_in_the_recipes() -> None:
    for recipe in ("iemocap", "speechcraft"):
        path = str(ROOT / "egs" / recipe / "run.sh")
        counted = subprocess.run(
            ["grep", "-c", "serdesc [a-z]", path], capture_output=True, text=True
        )
        assert int(counted.stdout) >= 7


@pytest.mark.parametrize("init", ["describer-mini", "describer-base"])
def test_emodb_refuses_the_models_that_learnt_it(init: str) -> None:
    run = ROOT / "egs/emodb/run.sh"
    code, output = run_script(run, "--dry-run", "--corpus", "x", "--init", init)
    assert code != 0 and f"{init} was trained on EmoDB: --init none" in output
