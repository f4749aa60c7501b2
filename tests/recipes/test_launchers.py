"""utils/local.sh and utils/slurm.sh: numbers in place of JOB, arguments, logs and failures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable

import pytest
from helpers import ROOT

pytestmark = pytest.mark.recipes

LOCAL, SLURM = str(ROOT / "utils/local.sh"), str(ROOT / "utils/slurm.sh")
Launch = Callable[..., "subprocess.CompletedProcess[str]"]
SBATCH = """#!/usr/bin/env bash
# Stands in for sbatch --wrap: runs the batch script with dash, each job's output in its own file.
echo "$*" >>"$NOTES"
ids= failed=0
while [ $# -gt 0 ]; do
  case $1 in
    --array=*) ids=${1#--array=} ids=${ids%\\%*} ;;
    --output=*) output=${1#--output=} ;;
    --wrap) printf '#!/bin/sh\\n%s\\n' "$2" >"$NOTES.sh" ;;
  esac
  shift
done
if [ -z "$ids" ]; then dash "$NOTES.sh" >"${output//%%/%}" 2>&1 </dev/null; exit; fi
for i in ${ids//,/ }; do
  name=${output//%a/$i}
  SLURM_ARRAY_TASK_ID=$i dash "$NOTES.sh" >"${name//%%/%}" 2>&1 </dev/null || failed=$?
done
exit $failed
"""


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a cluster: a stand-in for sbatch, and dash as sh."""
    if not shutil.which("dash"):
        pytest.skip("no dash")
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "sbatch").write_text(SBATCH)
    (bin / "sbatch").chmod(0o755)
    (bin / "sh").symlink_to(str(shutil.which("dash")))
    return {"PATH": f"{bin}:/usr/bin:/bin", "NOTES": str(tmp_path / "notes"), "LC_ALL": "C.UTF-8"}


@pytest.fixture(params=["local", "local-C", "slurm"])
def launch(request: pytest.FixtureRequest, cluster: dict[str, str]) -> Launch:
    """Call a launcher from a script that dash runs; local-C: in the locale C."""
    script = SLURM if request.param == "slurm" else LOCAL
    env = cluster | ({"LC_ALL": "C"} if request.param == "local-C" else {})

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["dash", "-c", '"$0" "$@"', script, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=env)

    return call


HARD = [
    "two words",
    "it's",
    'say "so"',
    "two\nlines\n",
    " ",
    "",
    "*",
    "$HOME `pwd` $(pwd) \\ \\n & | ; # ! ~",
    "gr\u00fc\u00dfe \u8bed\u6c14 \U0001f600",
    "-n",
    "'\"'",
    "%s %a",
    "a=[1, 2]",
]


def arguments_of(log: Path) -> list[str]:
    """What show_arguments received: the words between the log's first lines and its last line."""
    text = log.read_text(encoding="utf-8")
    return text.partition("<begin>")[2].partition("<end>")[0].split("\x1f")[:-1]


@pytest.fixture
def show_arguments(tmp_path: Path) -> str:
    """A program that prints its arguments."""
    path = tmp_path / "show arguments"
    path.write_text("#!/bin/sh\nprintf '<begin>'\nprintf '%s\\037' \"$@\"\nprintf '<end>\\n'\n")
    path.chmod(0o755)
    return str(path)


def test_arguments_survive(launch: Launch, show_arguments: str, tmp_path: Path) -> None:
    """Quotes, newlines, non-ASCII characters and what a shell would replace, in commands and log
    names.
    """
    for name in ("log", "it's a log", "50% \u8bed $HOME"):
        log = tmp_path / name / "x"
        done = launch(str(log), show_arguments, *HARD)
        assert done.returncode == 0, done.stderr
        assert arguments_of(log) == HARD
        done = launch("JOB=3", f"{tmp_path}/{name} JOB/x", show_arguments, *HARD, "JOB")
        assert done.returncode == 0, done.stderr
        assert arguments_of(tmp_path / f"{name} 3/x") == [*HARD, "3"]


def test_job_is_replaced_where_no_letter_digit_or_underscore_follows(
    launch: Launch, show_arguments: str, tmp_path: Path
) -> None:
    words = [
        "foldJOB",
        "x.JOB.log",
        "JOB/4",
        "kd/JOBS/f",
        "JOB_1",
        "JOB1",
        "JOBJOB",
        "JOB JOBS JOB",
        "JOB-JOB",
        "job",
        "'JOB'",
        "JOB\n",
    ]
    log = tmp_path / "foldJOB" / "x.JOB.JOBS.log"
    assert launch("JOB=1 12", str(log), show_arguments, *words).returncode == 0
    for i in ("1", "12"):
        found = arguments_of(tmp_path / f"fold{i}" / f"x.{i}.JOBS.log")
        expected = [
            f"fold{i}",
            f"x.{i}.log",
            f"{i}/4",
            "kd/JOBS/f",
            "JOB_1",
            "JOB1",
            f"JOB{i}",
            f"{i} JOBS {i}",
            f"{i}-{i}",
            "job",
        ]
        assert found == [*expected, f"'{i}'", f"{i}\n"]


def test_without_job_numbers_nothing_is_replaced(
    launch: Launch, show_arguments: str, tmp_path: Path
) -> None:
    assert launch(f"{tmp_path}/foldJOB/log", show_arguments, "foldJOB", "JOB").returncode == 0
    assert arguments_of(tmp_path / "foldJOB" / "log") == ["foldJOB", "JOB"]


def test_a_log_begins_with_the_command_and_ends_with_the_status(
    launch: Launch, tmp_path: Path
) -> None:
    assert launch("JOB=1:2", f"{tmp_path}/log.JOB", "echo", "two words", "JOB").returncode == 0
    lines = (tmp_path / "log.2").read_text().splitlines()
    assert lines[0].startswith("# echo two\\ words 2") and lines[1].startswith("# started ")
    assert (
        lines[2] == "two words 2"
        and lines[3].startswith("# ended ")
        and lines[3].endswith("with status 0")
    )
    done = launch(f"{tmp_path}/log", "sh", "-c", "echo why >&2; exit 3")
    assert done.returncode != 0 and "why" in done.stderr and str(tmp_path / "log") in done.stderr
    assert (tmp_path / "log").read_text().splitlines()[-1].endswith("with status 3")


def test_numbers_of_jobs_are_checked(launch: Launch, tmp_path: Path) -> None:
    for numbers in ("", "1:x", "a b", "1,2"):
        done = launch(f"JOB={numbers}", f"{tmp_path}/log", "true")
        assert done.returncode == 2 and f"JOB={numbers}: expected JOB=1:N or numbers" in done.stderr
    assert not (tmp_path / "log").exists()


def test_jobs_end_with_the_script_that_runs_them(tmp_path: Path) -> None:
    loop = ["bash", "-c", "while sleep 0.05; do echo on; done"]
    with subprocess.Popen(["bash", LOCAL, "JOB=1:2", f"{tmp_path}/log.JOB", *loop]) as running:
        logs = [tmp_path / f"log.{i}" for i in (1, 2)]
        while not all(log.exists() and "\non" in log.read_text() for log in logs):
            time.sleep(0.05)
        running.terminate()
        assert running.wait(timeout=20) == 143
    before = [log.read_text() for log in logs]
    time.sleep(0.3)
    assert before == [log.read_text() for log in logs]


def test_jobs_run_side_by_side_and_a_failure_is_told(tmp_path: Path) -> None:
    command, log = ["bash", LOCAL, "--max-jobs", "2"], f"{tmp_path}/log.JOB"
    done = subprocess.run(
        [*command, "JOB=1:3", log, "bash", "-c", "echo job JOB"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert [f"job {i}" in (tmp_path / f"log.{i}").read_text() for i in (1, 2, 3)] == [True] * 3
    done = subprocess.run(
        [*command, "JOB=1 4", log, "bash", "-c", "echo why >&2; exit JOB"],
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 1
        and "job 4 failed with status 4" in done.stderr
        and "why" in done.stderr
    )
    done = subprocess.run(
        [*command, f"{tmp_path}/log", "bash", "-c", "exit 4"], capture_output=True, text=True
    )
    assert done.returncode == 4 and "the command failed with status 4" in done.stderr


def test_the_last_limit_on_jobs_holds(tmp_path: Path) -> None:
    """A stage may lower the limit of cmd.sh."""
    work = f"test ! -e {tmp_path}/lock && touch {tmp_path}/lock && sleep 0.1 && rm {tmp_path}/lock"
    command = [
        "bash",
        LOCAL,
        "--max-jobs",
        "4",
        "--max-jobs",
        "1",
        "JOB=1:4",
        f"{tmp_path}/log.JOB",
    ]
    assert subprocess.run([*command, "bash", "-c", work]).returncode == 0


def test_slurm_gets_one_array_with_folders_for_its_logs(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    """The stand-in for sbatch notes how it was called, and runs the wrapped command for each job as
    Slurm would.
    """
    notes = tmp_path / "notes"
    command = [
        "bash",
        SLURM,
        "--partition=gpu",
        "--max-jobs",
        "2",
        "JOB=1 3",
        f"{tmp_path}/foldJOB/log",
        "touch",
        f"{tmp_path}/done JOB",
    ]
    assert subprocess.run(command, env=cluster).returncode == 0
    assert (
        (tmp_path / "done 1").exists()
        and (tmp_path / "done 3").exists()
        and (tmp_path / "fold3").is_dir()
    )
    assert (
        "--array=1,3%2" in notes.read_text()
        and "--partition=gpu" in notes.read_text()
        and "--wait" in notes.read_text()
    )
    failed = subprocess.run([*command[:7], "false"], env=cluster, capture_output=True, text=True)
    assert failed.returncode == 1 and "Slurm job failed" in failed.stderr
    assert f"the end of {tmp_path}/fold3/log" in failed.stderr


def test_slurm_passes_the_signal_on_and_queues_a_checkpointed_job_again(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    """Only the code 75 does; the command gets the signal that Slurm sends to the batch shell."""
    requeue = tmp_path / "bin" / "scontrol"
    requeue.write_text(f"#!/bin/sh\necho $* >>{tmp_path}/requeued\n")
    requeue.chmod(0o755)
    env, log = cluster | {"SLURM_JOB_ID": "42"}, f"{tmp_path}/log"
    for code in (0, 1, 75):
        assert not (tmp_path / "requeued").exists()
        done = subprocess.run([SLURM, log, "sh", "-c", f"exit {code}"], env=env)
        assert (done.returncode != 0) == (code != 0)
    assert (tmp_path / "requeued").read_text() == "requeue 42\n"
    calls = (tmp_path / "notes").read_text()
    assert calls.count("--signal=B:USR1@120 --open-mode=append") == 3
    command = "trap 'echo told; exit 75' USR1; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen([SLURM, log, "bash", "-c", command], env=env) as launcher:
        while "\nready\n" not in Path(log).read_text():
            time.sleep(0.02)
        (batch,) = subprocess.run(
            ["pgrep", "-f", f"dash {tmp_path}/notes.sh"], capture_output=True, text=True
        ).stdout.split()
        os.kill(int(batch), signal.SIGUSR1)
        assert launcher.wait(timeout=20) == 1
    assert "\ntold\n" in Path(log).read_text() and "with status 75" in Path(log).read_text()
    assert (tmp_path / "requeued").read_text() == "requeue 42\n" * 2


def test_the_callers_variables_are_no_options_of_the_launchers(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    env = cluster | dict.fromkeys(
        ("max_jobs", "jobs", "number", "range", "options", "limit"), "--bad"
    )
    env |= dict.fromkeys(("slurm_options", "JOB", "log", "command"), "--bad")
    for script in (LOCAL, SLURM):
        assert subprocess.run([script, f"{tmp_path}/log", "echo", "JOB"], env=env).returncode == 0
        assert "\nJOB\n" in (tmp_path / "log").read_text()
    assert "bad" not in (tmp_path / "notes").read_text()
