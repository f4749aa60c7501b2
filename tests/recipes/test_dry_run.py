"""What --dry-run prints of every recipe: stages in order, commands that exist, directories, start
models and sweeps.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from helpers import RECIPES, ROOT, copy_recipe, dry_run, run_script

from serdesc.cli import app

pytestmark = pytest.mark.recipes

VERBS = ["prepare", "annotate", "extract", "train", "decode", "score", "baselines", "report"]
LEFT_OUT = {
    "speechcraft": {
        "baselines"
    },  # by default: over 670,070 clips they cost hours and hold every word in memory
    "secap600": {"extract", "train", "baselines"},  # no training part: a trained model is tested
    "builtin": {"baselines", "report"},
}
STAGES = {"iemocap": 8, "meld": 8, "secap600": 6, "builtin": 6}  # 7 in the others
SWEEPS = sorted(path.parents[1].name for path in ROOT.glob("egs/*/local/run_systems.sh"))


def stages(lines: list[str]) -> list[str]:
    return [line.split(":")[0] for line in lines if line.startswith("stage")]


def commands(lines: list[str], verb: str) -> list[str]:
    return [line for line in lines if f"serdesc {verb} " in line]


def options_of(recipe: str) -> set[str]:
    block = (ROOT / "egs" / recipe / "run.sh").read_text().partition("parse_options.sh")[0]
    return set(re.findall(r"^([a-z_]+)=", block, flags=re.M))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_dry_run_prints_every_stage_and_does_nothing(recipe: str) -> None:
    """Every command of the stages, each a verb that exists, with the configuration given; and no
    folder is made.
    """
    folder = ROOT / "egs" / recipe
    before = sorted(folder.iterdir())
    lines = dry_run(recipe, *(["--folds", "1 2"] if "folds" in options_of(recipe) else []))
    assert stages(lines) == [
        f"stage {n}" for n in range(1, STAGES.get(recipe, 7) + 1)
    ], "in order, none twice"
    verbs = [line.split("serdesc ")[1].split()[0] for line in lines if "serdesc " in line]
    seen = [verb for verb in dict.fromkeys(verbs) if verb != "check"]
    assert seen == [verb for verb in VERBS if verb not in LEFT_OUT.get(recipe, set())]
    assert set(verbs) <= {str(command.name) for command in app.registered_commands}
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_dry_run_needs_no_set_up_and_leaves_nothing(recipe: str, tmp_path: Path) -> None:
    """In a checkout without tools/venv, whose set-up would fail; scripts and sweeps alike."""
    folder = copy_recipe(tmp_path, recipe)
    (tmp_path / "tools").unlink()
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/setup.sh").write_text("#!/bin/sh\ntouch made; exit 1\n")
    (tmp_path / "tools/setup.sh").chmod(0o755)
    before = sorted(tmp_path.rglob("*"))
    env = {"PATH": "/usr/bin:/bin", "NUMBA_CACHE_DIR": ""}
    code, output = run_script(folder / "run.sh", "--dry-run", cwd=tmp_path, **env)
    assert code == 0 and output.splitlines() == dry_run(recipe), output
    if (folder / "local/run_systems.sh").exists():
        code, output = run_script(folder / "local/run_systems.sh", "--dry-run", **env)
        assert code == 0 and "serdesc table 3" in output
    assert sorted(tmp_path.rglob("*")) == before
    code, output = run_script(folder / "run.sh", cwd=tmp_path, **env)
    assert code == 1 and (folder / "made").exists(), "without --dry-run it calls set-up"


@pytest.mark.parametrize("recipe", RECIPES)
def test_stages_are_numbered_in_order_and_each_once(recipe: str) -> None:
    script = (ROOT / "egs" / recipe / "run.sh").read_text()
    found = re.findall(r"^if .*\bbegin (\d+) \"[a-z]", script, flags=re.M)
    assert [int(n) for n in found] == list(range(1, STAGES.get(recipe, 7) + 1))
    assert len(found) == len(re.findall(r"begin \d", script))
    for n in found:
        assert stages(dry_run(recipe, "--stage", n, "--stop-stage", n)) == [f"stage {n}"]
    assert dry_run(recipe, "--stage", "9") == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_only_models_run_on_gpus(recipe: str) -> None:
    """cuda_cmd for extract, train and decode, and train_cmd for them where ngpu is 0; the report
    runs directly.
    """
    if "ngpu" not in options_of(recipe):
        assert not any("--gpu" in line for line in dry_run(recipe))
        return
    for ngpu in ("0", "1", "2"):
        for line in dry_run(recipe, "--ngpu", ngpu):
            if "serdesc " not in line:
                continue
            verb = line.split("serdesc ")[1].split()[0]
            expected = " local.sh --max-jobs-run 2 "
            if ngpu != "0" and verb in ("extract", "train", "decode"):
                expected = " local.sh --gpu 1 "
            if verb == "report":
                assert line.startswith(" serdesc report")
            else:
                assert line.startswith(expected), line
            if verb == "train":
                assert ("device=cpu" in line) == (ngpu == "0")
    if "train" not in LEFT_OUT.get(recipe, set()):
        (line,) = commands(dry_run(recipe, "--ngpu", "4"), "train")
        launcher = "python -m serdesc.training.processes --standalone --nproc-per-node 4"
        assert f"{launcher} --no-python serdesc train" in line
        assert line.startswith(" local.sh --gpu 1 --gpu 4 ")
        assert "--allow-cpu" not in "".join(dry_run(recipe))
        (line,) = commands(dry_run(recipe, "--allow-cpu"), "train")
        assert line.endswith(" --allow-cpu")


def test_printed_commands_can_be_pasted(tmp_path: Path) -> None:
    """Every argument is quoted: a shell reads from a printed line what the recipe would have run."""
    corpus, setting = (
        "/my corpora/it's \u8bed\u6c14",
        'prompt.system=Say "so", $HOME\nand 50% & more',
    )
    options = [
        "--corpus",
        corpus,
        "--set",
        setting,
        "--set",
        "seed=2",
        "--tag",
        "a b",
        "--config",
        "conf/six.yaml",
    ]
    command = [str(ROOT / "egs/iemocap/run.sh"), "--dry-run", *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    script = 'local.sh() { printf \'%s\\037\' "$@"; echo; }; serdesc() { local.sh serdesc "$@"; }\n'
    lines = [line for line in printed.splitlines() if not line.startswith("stage")]
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-c", script + "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        env=env,
    )
    words = [line.split("\x1f") for line in done.stdout.split("\x1f\n")[:-1]]
    prepare = words[1]  # after the one that looks for GPUs
    assert prepare[3:7] == ["serdesc", "prepare", "iemocap", corpus]
    assert f"--set={setting}" in prepare and "--set=seed=2" in prepare
    train = next(line for line in words if "train" in line)
    assert "exp/a b/foldJOB" in train and "JOB=1 2 3 4 5" in train


def test_paths_with_spaces_reach_the_commands(tmp_path: Path) -> None:
    """A caller's directory with spaces; every printed word is one argument."""
    caller = tmp_path / "my work"
    caller.mkdir()
    (caller / "my.yaml").write_text("threads: 1\n")
    options = [
        "--corpus",
        "IEMOCAP full",
        "--config",
        "my.yaml",
        "--dump",
        "my dump",
        "--list",
        "a list.tsv",
    ]
    code, output = run_script(ROOT / "egs/iemocap/run.sh", "--dry-run", *options, cwd=caller)
    assert code == 0
    (prepare,) = commands(output.splitlines(), "prepare")
    assert shlex.split(prepare)[6:11] == [
        "iemocap",
        f"{caller}/IEMOCAP full",
        "data/my/all",
        "--config",
        f"{caller}/my.yaml",
    ]
    (extract,) = commands(output.splitlines(), "extract")
    assert f"{caller}/my dump" in shlex.split(extract)
    assert f"{caller}/a list.tsv" in shlex.split(commands(output.splitlines(), "check")[0])


def test_a_sweep_takes_every_system_once_and_ends_in_the_tables() -> None:
    """Five folds for rows 4 to 7 of Table 2, fewer for the others; each system starts from its own
    SpeechCraft model; what a recipe lacks is left.
    """
    systems = sorted(path.stem for path in (ROOT / "serdesc/systems").glob("*.yaml"))

    def dry(recipe: str, *options: str) -> list[str]:
        return dry_run(
            recipe,
            "--systems",
            "all",
            "--other-folds",
            "1",
            *options,
            script="local/run_systems.sh",
        )

    mini = dry("mini")
    trained = {
        line.split("exp/")[1].split("/")[0]: line.split("JOB=")[1].split(" exp/")[0]
        for line in mini
        if "serdesc train" in line
    }
    assert sorted(trained) == [
        name for name in systems if name not in ("ssl_wavlm", "ssl_wav2vec2")
    ]
    assert {name for name, folds in trained.items() if "5" in folds} == {
        "full",
        "no_disentanglement",
        "ser_asr",
        "ser_sed",
    }
    assert not any("training.init" in line for line in mini)
    assert [line.split()[2] for line in mini if "serdesc table" in line] == ["1", "2", "3"]
    assert (
        len(commands(mini, "prepare")) == 1 and len(commands(mini, "annotate")) == 1
    ), "the data are the same for all systems"
    iemocap = [line for line in dry("iemocap") if "serdesc train" in line]
    for line in iemocap:
        name = line.split("exp/")[1].split("/")[0]
        assert f"--config {name}" in line and (
            f"training.init=../speechcraft/exp/{name}/fold1" in line
        ) == (not name.startswith("ssl"))
        assert ("dump/wavlm-large/iemocap" in line) == (name == "ssl_wavlm") and (
            "dump/wav2vec2-large/iemocap" in line
        ) == (name == "ssl_wav2vec2")
    assert len(iemocap) == len(systems)
    one = "\n".join(dry_run("mini", "--system", "two_stage"))
    assert "exp/two_stage/foldJOB" in one and "--config two_stage" in one and "table" not in one


@pytest.mark.parametrize("recipe", SWEEPS)
def test_every_sweep_passes_options_to_its_recipe(recipe: str) -> None:
    """Options of its own and those of run.sh; baselines once, beside the tables."""
    options = [
        "--systems",
        "full two_stage",
        "--stage",
        "3",
        "--nj",
        "3",
        "--ngpu",
        "0",
        "--max-disk",
        "7",
        "--set",
        "seed=2",
        "--set",
        "a=1 b=2",
    ]
    lines = dry_run(
        recipe, *options, "--tag", "sweep", "--init", "models/SYSTEM", script="local/run_systems.sh"
    )
    trained = commands(lines, "train")
    assert [
        f"exp/sweep/{name}/fold" in line
        for name, line in zip(("full", "two_stage"), trained, strict=True)
    ] == [True] * 2
    for name, line in zip(("full", "two_stage"), trained):
        assert (
            "--set=seed=2 --set=a=1 --set=b=2" in line
            and f"training.init=models/{name}" in line
            and "device=cpu" in line
        )
    assert all("--max-disk 7" in line and "JOB=1:3" in line for line in commands(lines, "extract"))
    assert (
        len(commands(lines, "baselines")) == 1
        and "--out exp/sweep/baselines.json" in commands(lines, "baselines")[0]
    )
    assert [f"{recipe}=exp/sweep" in line for line in commands(lines, "table")] == [True] * 3
    some = dry_run(recipe, *options, "--stop-stage", "5", script="local/run_systems.sh")
    assert not commands(some, "table") and not commands(some, "score") and commands(some, "decode")


def test_sweeps_do_not_meet_and_each_encoder_has_its_store(tmp_path: Path) -> None:
    """Another label set's sweep, or a tagged one, has its own folder; one's own systems are swept;
    a store is named after an encoder, not an LLM.
    """
    (tmp_path / "systems").mkdir()
    (tmp_path / "systems" / "qwen.yaml").write_text("llm:\n  model: Qwen/Qwen2.5-0.5B-Instruct\n")
    (tmp_path / "systems" / "plus.yaml").write_text(
        "encoder: {model: microsoft/wavlm-base-plus}\nllm: {model: Qwen/Qwen2.5-0.5B-Instruct}\n"
    )
    (tmp_path / "systems" / "slash.yaml").write_text(
        "# an encoder\nencoder:\n  layers: 1..n\n  model: microsoft/wavlm-large/\nllm: {model:"
        " x/y}\n"
    )

    def dry(script: str, *options: str) -> list[str]:
        return dry_run(
            "iemocap",
            "--stage",
            "3",
            "--init",
            "none",
            *options,
            script=script,
            SERDESC_PLUGINS=str(tmp_path),
        )

    trained = [
        line for line in dry("local/run_systems.sh", "--systems", "all") if "serdesc train" in line
    ]
    assert any("exp/qwen/" in line and "dump/hubert-large/iemocap exp" in line for line in trained)
    assert any(
        "exp/plus/" in line and "dump/wavlm-base-plus/iemocap exp" in line for line in trained
    )
    assert any("exp/slash/" in line and "dump/wavlm-large/iemocap exp" in line for line in trained)
    for script, options, store, exp in (
        (
            "local/run_systems.sh",
            ["--systems", "full", "--config", "conf/six.yaml"],
            "dump/hubert-large/six",
            "exp/six/full",
        ),
        (
            "local/run_systems.sh",
            ["--systems", "full", "--tag", "lr1"],
            "dump/hubert-large/iemocap",
            "exp/lr1/full",
        ),
        (
            "local/run_systems.sh",
            ["--systems", "full", "--config", "conf/emobox.yaml"],
            "dump/hubert-large/emobox",
            "exp/emobox/full",
        ),
        ("run.sh", ["--config", "conf/emobox.yaml"], "dump/hubert-large/emobox", "exp/emobox"),
        (
            "local/run_systems.sh",
            ["--systems", "ssl_wavlm"],
            "dump/wavlm-large/iemocap",
            "exp/ssl_wavlm",
        ),
        (
            "run.sh",
            ["--set", "encoder.model=microsoft/wavlm-large/", "--dump", "dump/wavlm-large/iemocap"],
            "dump/wavlm-large/iemocap",
            "exp/iemocap",
        ),
    ):
        said = "\n".join(dry(script, *options))
        assert (
            f" {store} {exp}/foldJOB " in said and f" {exp}/foldJOB/decode_test/hyp.jsonl" in said
        ), said
    code, output = run_script(
        ROOT / "egs/iemocap/local/run_systems.sh", "--dry-run", "--systems", "fulll"
    )
    assert code == 2 and "fulll: no such configuration file, nor a system" in output


def test_paths_start_where_the_recipe_is_called_and_models_are_there_before_it_begins(
    tmp_path: Path,
) -> None:
    """A relative --corpus from elsewhere; a configuration's data in folders of its name; and no run
    of hours towards a missing model.
    """
    recipe = copy_recipe(tmp_path / "w", "iemocap") / "run.sh"

    def run(*options: str, script: Path = recipe) -> tuple[int, str]:
        return run_script(script, *options, cwd=tmp_path)

    (tmp_path / "mine.yaml").write_text(f"include: {ROOT}/egs/iemocap/conf/five.yaml\n")
    options = ["--corpus", "IEMOCAP", "--list", "list.tsv", "--config", "mine.yaml"]
    said = run("--dry-run", "--stop-stage", "3", *options)[1]
    assert f"prepare iemocap {tmp_path}/IEMOCAP data/mine/all --config {tmp_path}/mine.yaml" in said
    assert f"check data/mine/all --corpus iemocap --list {tmp_path}/list.tsv" in said
    assert "annotate data/mine/all --out data/mine " in said and " dump/hubert-large/mine " in said
    assert (
        "--config conf/six.yaml"
        in run("--dry-run", "--config", "conf/six.yaml", "--stop-stage", "1")[1]
    )
    (tmp_path / "slow.yaml").write_text(
        f"include: {ROOT}/egs/mini/conf/mini.yaml\nprepare: {{speeds: [1.2]}}\n"
    )
    said = run("--dry-run", "--config", "slow.yaml", script=ROOT / "egs/mini/run.sh")[1]
    assert (
        "prepare mini downloads/mini data/slow " in said
        and " dump/hubert-mini/slow exp/slow/foldJOB " in said
    )
    said = run("--dry-run", "--config", "conf/emobox.yaml", script=ROOT / "egs/meld/run.sh")[1]
    assert (
        "annotate data/meld/all --out data/emobox " in said
        and " dump/hubert-large/meld exp/emobox/fold1 " in said
    )
    said = run("--dry-run", "--config", "conf/four.yaml", script=ROOT / "egs/ravdess/run.sh")[1]
    assert (
        "annotate data/ravdess --out data/four " in said
        and " dump/hubert-mini/four exp/four/foldJOB " in said
    )
    assert run("--help")[1].startswith("IEMOCAP, five folds, leave one session out")
    code, said = run("--corpus", "IEMOCAP", "--init", "nowhere")
    assert (
        code == 2
        and "nowhere is no trained model" in said
        and "--init none" in said
        and "stage 1" not in said
    )
    sweep = recipe.parent / "local" / "run_systems.sh"
    code, said = run(
        "--corpus", "IEMOCAP", "--init", "../SYSTEM", "--systems", "full two_stage", script=sweep
    )
    assert code == 2 and "../full is no trained model" in said and "stage" not in said
    code, said = run("--corpus", "IEMOCAP", "--stop-stage", "1", "--ngpu", "0")
    assert code == 2 and f"{tmp_path}/IEMOCAP: no such folder" in said, "preparing needs no model"


def test_a_start_model_is_needed_only_by_the_stages_that_use_it(tmp_path: Path) -> None:
    folders = {
        recipe: copy_recipe(tmp_path / recipe, recipe) for recipe in ("iemocap", "mini", "secap600")
    }

    def missing(recipe: str, *options: str) -> bool:
        code, output = run_script(folders[recipe] / "run.sh", "--init", "nowhere", *options)
        found = "nowhere is no trained model" in output
        assert found == (code == 2 and "stage" not in output), output
        return found

    for stage in ("4", "6"):
        assert missing("iemocap", "--stage", stage) and missing(
            "iemocap", "--stage", stage, "--stop-stage", stage
        )
    assert missing("mini", "--stage", "4") and missing("secap600", "--stage", "3")
    for recipe, stage in (("iemocap", "5"), ("iemocap", "8"), ("mini", "7"), ("secap600", "5")):
        assert not missing(recipe, "--stage", stage, "--stop-stage", stage)


def test_a_sweep_starts_each_system_from_the_callers_models(tmp_path: Path) -> None:
    for name in ("full", "two_stage"):
        (tmp_path / "models" / name / "checkpoint").mkdir(parents=True)
    options = [
        "--systems",
        "full two_stage",
        "--init",
        "models/SYSTEM",
        "--config",
        "conf/six.yaml",
        "--dry-run",
    ]
    code, output = run_script(ROOT / "egs/iemocap/local/run_systems.sh", *options, cwd=tmp_path)
    trained = commands(output.splitlines(), "train")
    assert code == 0
    for name, line in zip(("full", "two_stage"), trained, strict=True):
        assert line.endswith(f" --set training.init={tmp_path}/models/{name}")
    assert all(" dump/hubert-large/six exp/six/" in line for line in trained)


def test_zero_shot_and_adapted_models_are_stages_of_their_own() -> None:
    """adapt false: no training; init none: no zero-shot; an SSL system has no LLM to start from."""
    assert stages(dry_run("iemocap", "--adapt", "false")) == [
        f"stage {n}" for n in (1, 2, 3, 6, 7, 8)
    ]
    assert stages(dry_run("iemocap", "--init", "none")) == [
        f"stage {n}" for n in (1, 2, 3, 4, 5, 7, 8)
    ]
    assert stages(dry_run("meld", "--system", "ssl_hubert")) == [
        f"stage {n}" for n in (1, 2, 3, 4, 5, 7, 8)
    ]
    both = dry_run("meld")
    assert [("exp/meld-zero-shot/" in line) for line in commands(both, "decode")] == [False, True]
    assert [line.split()[2] for line in commands(both, "report")] == [
        "exp/meld",
        "exp/meld-zero-shot",
    ]
    assert len(commands(dry_run("meld", "--baselines", "false"), "baselines")) == 0


def test_a_faithful_score_takes_one_fold_after_the_other() -> None:
    (line,) = commands(dry_run("mini", "--faithful", "--nj", "3"), "score")
    assert "--max-jobs-run 1 JOB=" in line and "--faithful --nj 3" in line
    assert "--faithful" not in commands(dry_run("mini"), "score")[0]


def test_a_system_without_encoder_in_the_recipe_says_so(tmp_path: Path) -> None:
    folder = copy_recipe(tmp_path, "mini")
    options = ["--systems", "ssl_wavlm ssl_wav2vec2", "--stage", "9"]
    assert run_script(folder / "local/run_systems.sh", *options) == (
        0,
        "system ssl_wavlm\nsystem ssl_wav2vec2\n",
    )
    for system in ("ssl_wavlm", "ssl_wav2vec2"):
        assert "no encoder in this recipe" in (folder / "exp" / system / "not_run.txt").read_text()


@pytest.mark.parametrize("recipe", ["mini", "ravdess", "iemocap", "meld", "speechcraft"])
def test_seeds_and_parts(recipe: str) -> None:
    """One seed keeps exp/<tag>/fold<k>; several have a folder each; every part is decoded."""
    fold = "fold1" if recipe in ("meld", "speechcraft") else "foldJOB"

    def folders(verb: str, *options: str) -> list[str]:
        lines = commands(dry_run(recipe, "--tag", "t", *options), verb)
        return [line for line in lines if "zero-shot" not in line]

    (one,) = folders("train")
    assert f" exp/t/{fold} " in one and "seed=" not in one, "the seed is the configuration's"
    (named,) = folders("train", "--seeds", "7")
    assert f" exp/t/{fold} " in named and "--set=seed=7" in named
    several = folders("train", "--seeds", "1 2")
    assert [f" exp/t/seed{s}/{fold} " in line for s, line in zip((1, 2), several)] == [True] * 2
    assert ["--set=seed=1" in several[0], "--set=seed=2" in several[1]] == [True] * 2
    decoded = folders("decode", "--seeds", "1 2", "--parts", "dev test")
    expected = [
        (f"{fold}/{part} ", f"exp/t/seed{s}/{fold}") for part in ("dev", "test") for s in (1, 2)
    ]
    for line, (data, exp) in zip(decoded, expected, strict=True):
        assert data in line and f" {exp}" in line, line
    scored = folders("score", "--seeds", "1 2", "--parts", "dev test")
    assert f"--hyp exp/t/seed2/{fold}/decode_dev/hyp.jsonl" in scored[1] and len(scored) == 4
    reports = folders("report", "--seeds", "1 2", "--parts", "dev test")
    assert ["--part dev" in reports[0], "--part test" in reports[1]] == [True] * 2
    assert all(" exp/t " in line for line in reports), "the seeds are reported together"
    assert len(folders("baselines", "--seeds", "1 2", "--baselines", "true")) == 1


def test_speechcraft_passes_the_folder_of_the_clips(tmp_path: Path) -> None:
    """A relative one is that of the caller's directory."""
    script, options = ROOT / "egs/speechcraft/run.sh", ["--dry-run", "--recordings", "clips"]
    code, output = run_script(script, *options, "--config", "conf/tenth.yaml", cwd=tmp_path)
    (line,) = commands(output.splitlines(), "prepare")
    assert code == 0 and line.endswith(f" --set prepare.recordings={tmp_path}/clips")
    assert " data/tenth --config conf/tenth.yaml " in line


def test_speechcraft_decodes_with_an_adapted_model() -> None:
    lines = dry_run("speechcraft", "--model", "/m/fold1", "--tag", "after")
    assert not commands(lines, "train") and "stage 4" not in stages(lines)
    (decode,) = commands(lines, "decode")
    assert " /m/fold1 --out exp/after/fold1/decode_test/hyp.jsonl" in decode
    (score,) = commands(lines, "score")
    assert "--hyp exp/after/fold1/decode_test/hyp.jsonl" in score
