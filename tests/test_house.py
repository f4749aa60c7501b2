"""The house itself: imports run one way, shell is sound, and the shipped models are what they say."""

from __future__ import annotations

import ast
import os
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Along the data. A module may import from floors before its own, and from its own floor.
FLOORS = (
    ("errors", ""),
    ("files", "builtin", "plugins"),
    ("config",),
    ("progress", "captions"),
    ("runtime", "data"),
    ("features", "scoring"),
    ("models",),
    ("training", "inference"),
    ("plan",),
    ("cli",),
)


def room(module: str) -> str:
    """The part of the package that a module belongs to; the package itself is the empty name."""
    return (module.split(".") + [""])[1]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "serdesc":
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "serdesc" else [str(node.module)]
            found |= {room(name) for name in names if room(name) != "__version__"}
        elif isinstance(node, ast.Import):
            found |= {room(alias.name) for alias in node.names if alias.name.split(".")[0] == "serdesc"}
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "serdesc").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_along_the_data(path: Path) -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    own = path.relative_to(ROOT / "serdesc").parts[0].removesuffix(".py").replace("__init__", "")
    assert own in floor, f"{own} has no floor yet: give it one in FLOORS"
    for name in imports(path):
        assert floor[name] <= floor[own], f"{own} imports {name}, which comes after it"
    pair = {"training", "inference"}
    assert not (own in pair and imports(path) & (pair - {own})), "training and inference do not import each other"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_files(path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules of the package that are imported when `path` is; imports inside functions do not count."""
    found = set()
    tree = ast.parse(path.read_text())
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.If)) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in inside and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in names} & modules.keys()
    return found - {module_name(path)}


def test_no_import_cycle_between_files() -> None:
    modules = {module_name(path): path for path in (ROOT / "serdesc").rglob("*.py")}
    left = {name: imported_files(path, modules) for name, path in modules.items()}
    while free := [name for name, needs in left.items() if not needs]:
        for name in free:
            del left[name]
        for needs in left.values():
            needs -= set(free)
    assert not left, f"import cycle among {sorted(left)}"


def test_scoring_and_data_import_no_torch() -> None:
    for path in [*(ROOT / "serdesc" / "scoring").rglob("*.py"), *(ROOT / "serdesc" / "data").rglob("*.py")]:
        assert "torch" not in {alias.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import) for alias in node.names}
        assert not imports(path) & {"runtime", "features", "models", "training", "inference"}, path


def test_files_stay_readable() -> None:
    for path in [*(ROOT / "serdesc").rglob("*.py"), *(ROOT / "egs").rglob("*.py")]:
        if "downloads" not in path.parts:
            assert len(path.read_text().splitlines()) <= 400, f"{path} is too long: split it"


def test_options_of_recipes(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(
        "#!/usr/bin/env bash\n# What it does.\n#   ./run.sh --nj 4\nnj=1\nstop_stage=7\nquick=false\n"
        f'. {ROOT}/utils/parse_options.sh\necho "$nj $stop_stage $quick [$*]"\n'
    )

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(["bash", str(script), *arguments], capture_output=True, text=True)
        return done.returncode, (done.stdout + done.stderr).strip()

    assert run() == (0, "1 7 false []")
    assert run("--nj", "3", "--quick", "--stop-stage", "2", "rest") == (0, "3 2 true [rest]")
    assert run("--quick", "false") == (0, "1 7 false []")
    assert run("--help") == (0, "What it does.\n  ./run.sh --nj 4")
    assert run("--njj", "3")[0] == 2 and "unknown option --njj" in run("--njj", "3")[1]
    assert run("--nj")[0] == 2 and "--nj needs a value" in run("--nj")[1]


VERBS = ["prepare", "annotate", "extract", "train", "decode", "score", "baselines", "report"]
LEFT_OUT = {
    "speechcraft": {"baselines"},  # by default: over 670,070 clips they cost hours and hold every word in memory
    "secap600": {"extract", "train", "baselines"},  # no training part: a trained model is asked
}
RECIPES = sorted(path.parent for path in ROOT.glob("egs/*/run.sh") if "recipe.sh" in path.read_text())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_dry_run_prints_every_stage_and_does_nothing(recipe: Path) -> None:
    """Every command of the seven stages, each a verb that exists, with the configuration given; and no folder is made."""
    before = sorted(recipe.iterdir())
    done = subprocess.run(["./run.sh", "--dry-run", "--folds", "1 2"], cwd=recipe, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    begun = [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith("stage")]
    assert list(dict.fromkeys(begun)) == [f"stage {n}" for n in range(1, 8)]
    verbs = [line.split("serdesc ")[1].split()[0] for line in done.stdout.splitlines() if "serdesc " in line]
    assert [verb for verb in dict.fromkeys(verbs) if verb != "check"] == [verb for verb in VERBS if verb not in LEFT_OUT.get(recipe.name, set())]
    assert sorted(recipe.iterdir()) == before


def test_a_sweep_takes_every_system_once_and_ends_in_the_tables() -> None:
    """Five folds for rows 4 to 7 of Table 2, fewer for the others; each system starts from its own SpeechCraft model; what a recipe lacks is left."""
    systems = sorted(path.stem for path in (ROOT / "serdesc/systems").glob("*.yaml"))

    def dry(recipe: str, *options: str) -> list[str]:
        command = ["./run.sh", "--dry-run", "--systems", "all", "--other-folds", "1", *options]
        done = subprocess.run(command, cwd=ROOT / "egs" / recipe, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    mini = dry("mini")
    trained = {line.split("exp/")[1].split("/")[0]: line.split("JOB=")[1].split(" exp/")[0] for line in mini if "serdesc train" in line}
    assert sorted(trained) == [name for name in systems if name not in ("ssl_wavlm", "ssl_wav2vec2")]
    assert {name for name, folds in trained.items() if "5" in folds} == {"full", "no_disentanglement", "ser_asr", "ser_sed"}
    assert not any("training.init" in line for line in mini)
    assert [line.split()[2] for line in mini if "serdesc table" in line] == ["1", "2", "3"]
    iemocap = [line for line in dry("iemocap") if "serdesc train" in line]
    for line in iemocap:
        name = line.split("exp/")[1].split("/")[0]
        assert f"--config {name}" in line and (f"training.init=../speechcraft/exp/{name}/fold1" in line) == (not name.startswith("ssl"))
        assert ("dump/iemocap-wavlm-large" in line) == (name == "ssl_wavlm") and ("dump/iemocap-wav2vec2-large" in line) == (name == "ssl_wav2vec2")
    assert len(iemocap) == len(systems)
    one = subprocess.run(["./run.sh", "--dry-run", "--system", "two_stage"], cwd=ROOT / "egs/mini", capture_output=True, text=True).stdout
    assert "exp/two_stage/foldJOB" in one and "--config two_stage" in one and "table" not in one


def test_sweeps_do_not_meet_and_each_encoder_has_its_store(tmp_path: Path) -> None:
    """Another label set's sweep, or a tagged one, has its own folder; one's own systems are swept; a store is named after an encoder, not an LLM."""
    (tmp_path / "systems").mkdir()
    (tmp_path / "systems" / "qwen.yaml").write_text("llm:\n  model: Qwen/Qwen2.5-0.5B-Instruct\n")
    (tmp_path / "systems" / "plus.yaml").write_text("encoder: {model: microsoft/wavlm-base-plus}\nllm: {model: Qwen/Qwen2.5-0.5B-Instruct}\n")

    def dry(*options: str) -> subprocess.CompletedProcess[str]:
        command = ["./run.sh", "--dry-run", "--stage", "3", "--init", "none", *options]
        env = {**os.environ, "SERDESC_PLUGINS": str(tmp_path)}
        return subprocess.run(command, cwd=ROOT / "egs/iemocap", capture_output=True, text=True, env=env)

    trained = [line for line in dry("--systems", "all").stdout.splitlines() if "serdesc train" in line]
    assert any("exp/qwen/" in line and "dump/iemocap exp" in line for line in trained)
    assert any("exp/plus/" in line and "dump/iemocap-wavlm-base-plus exp" in line for line in trained)
    for options, store, exp in (
        (["--systems", "full", "--config", "conf/six.yaml"], "dump/six", "exp/six/full"),
        (["--systems", "full", "--tag", "lr1"], "dump/iemocap", "exp/lr1/full"),
        (["--systems", "full", "--set", "folds.protocol=emobox"], "dump/iemocap", "exp/iemocap-protocol-emobox/full"),
        (["--set", "folds.protocol=emobox"], "dump/iemocap", "exp/iemocap-protocol-emobox"),
        (["--system", "ssl_wavlm"], "dump/iemocap-wavlm-large", "exp/ssl_wavlm"),
        (["--set", "encoder.model=microsoft/wavlm-large/"], "dump/iemocap-wavlm-large", "exp/iemocap"),
    ):
        said = dry(*options).stdout
        assert f" {store} {exp}/foldJOB " in said and f" {exp}/foldJOB/decode_test/hyp.jsonl" in said, said
    wrong = dry("--systems", "fulll")
    assert wrong.returncode == 2 and "fulll: no such configuration file, nor a system" in wrong.stderr


def test_paths_start_where_the_recipe_is_called_and_models_are_there_before_it_begins(tmp_path: Path) -> None:
    """A relative --corpus from elsewhere; what is prepared or labelled otherwise in its own folder; and no run of hours towards a missing model."""
    recipe = ROOT / "egs" / "iemocap" / "run.sh"

    def run(*options: str) -> tuple[int, str]:
        done = subprocess.run([str(recipe), *options], cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    (tmp_path / "mine.yaml").write_text(f"include: {ROOT}/egs/iemocap/conf/five.yaml\n")
    options = ["--corpus", "IEMOCAP", "--list", "list.tsv", "--config", "mine.yaml", "--set", "folds.protocol=emobox prepare.turns=improvised"]
    said = run("--dry-run", "--stop-stage", "3", *options)[1]
    assert f"prepare iemocap {tmp_path}/IEMOCAP data/mine-turns-improvised --config {tmp_path}/mine.yaml" in said
    assert f"check data/mine-turns-improvised --corpus iemocap --list {tmp_path}/list.tsv" in said
    assert "--out data/mine-folds-turns-improvised-protocol-emobox " in said and " dump/mine-turns-improvised " in said
    assert "--config conf/six.yaml" in run("--dry-run", "--config", "conf/six.yaml", "--stop-stage", "1")[1]
    mini = [str(ROOT / "egs/mini/run.sh"), "--dry-run", "--set", "prepare.speeds=[1.2]"]
    said = subprocess.run(mini, capture_output=True, text=True).stdout
    assert (
        "prepare mini downloads/mini data/mini-speeds--1.2- " in said and " dump/hubert-mini/mini-speeds--1.2- exp/mini-speeds--1.2-/foldJOB " in said
    )
    assert run("--help")[1].startswith("IEMOCAP, leave one session out")
    code, said = run("--corpus", "IEMOCAP", "--init", "nowhere")
    assert code == 2 and "nowhere is no trained model" in said and "--init none" in said and "stage 1" not in said
    code, said = run("--corpus", "IEMOCAP", "--init", "../SYSTEM", "--systems", "full two_stage")
    assert code == 2 and "../full is no trained model" in said and "stage" not in said
    code, said = run("--corpus", "IEMOCAP", "--stop-stage", "1")
    assert code == 2 and f"{tmp_path}/IEMOCAP: no such folder" in said, "preparing needs no model"


def test_jobs_end_with_the_script_that_runs_them(tmp_path: Path) -> None:
    command = ["bash", str(ROOT / "utils/run.sh"), "JOB=1:2", f"{tmp_path}/log.JOB", "bash", "-c", "while sleep 0.05; do echo on; done"]
    with subprocess.Popen(command) as running:
        while not all((tmp_path / f"log.{i}").exists() and "on" in (tmp_path / f"log.{i}").read_text() for i in (1, 2)):
            time.sleep(0.05)
        running.terminate()
        assert running.wait(timeout=20) == 143
    before = [(tmp_path / f"log.{i}").read_text() for i in (1, 2)]
    time.sleep(0.3)
    assert before == [(tmp_path / f"log.{i}").read_text() for i in (1, 2)]


def test_jobs_run_side_by_side_and_a_failure_is_told(tmp_path: Path) -> None:
    command = ["bash", str(ROOT / "utils/run.sh"), "--max-jobs", "2"]
    done = subprocess.run([*command, "JOB=1:3", f"{tmp_path}/log.JOB", "bash", "-c", "echo job JOB"], capture_output=True, text=True)
    assert done.returncode == 0 and [f"job {i}" in (tmp_path / f"log.{i}").read_text() for i in (1, 2, 3)] == [True] * 3
    done = subprocess.run([*command, "JOB=1 4", f"{tmp_path}/log.JOB", "bash", "-c", "echo why >&2; exit JOB"], capture_output=True, text=True)
    assert done.returncode == 1 and "job 4 failed with status 4" in done.stderr and "why" in done.stderr


def test_shell_scripts_parse_and_run() -> None:
    scripts = subprocess.run(["git", "-C", str(ROOT), "ls-files", "*.sh", ".ci/run"], capture_output=True, text=True).stdout.split()
    for name in scripts:
        subprocess.run(["bash", "-n", str(ROOT / name)], check=True)
        assert (ROOT / name).stat().st_mode & 0o100 or Path(name).name in (
            "path.sh",
            "cmd.sh",
            "parse_options.sh",
            "recipe.sh",
        ), f"{name} has no run bit"


def test_slurm_gets_one_array_with_folders_for_its_logs(tmp_path: Path) -> None:
    """A stand-in for sbatch notes how it was called, and runs the wrapped command for each job as Slurm would."""
    fake = tmp_path / "bin" / "sbatch"
    fake.parent.mkdir()
    fake.write_text(
        '#!/usr/bin/env bash\necho "$*" >>"$NOTES"\nfor a in "$@"; do case $a in --array=*) ids=${a#--array=};; esac; wrap=$a; done\n'
        'for i in ${ids//,/ }; do SLURM_ARRAY_TASK_ID=${i%\\%*} bash -c "$wrap" || exit 1; done\n'
    )
    fake.chmod(0o755)
    notes = tmp_path / "notes"
    env = {"PATH": f"{fake.parent}:/usr/bin:/bin", "NOTES": str(notes), "slurm_options": "--partition=gpu"}
    command = ["bash", str(ROOT / "utils/slurm.sh"), "--max-jobs", "2", "JOB=1 3", f"{tmp_path}/foldJOB/log", "touch", f"{tmp_path}/done JOB"]
    assert subprocess.run(command, env=env).returncode == 0
    assert (tmp_path / "done 1").exists() and (tmp_path / "done 3").exists() and (tmp_path / "fold3").is_dir()
    assert "--array=1,3%2" in notes.read_text() and "--partition=gpu" in notes.read_text() and "--wait" in notes.read_text()
    failed = subprocess.run([*command[:6], "false"], env=env, capture_output=True, text=True)
    assert failed.returncode == 1 and "Slurm job failed" in failed.stderr
