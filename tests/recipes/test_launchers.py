"""utils/local.sh and utils/slurm.sh: numbers in place of JOB, arguments, logs and failures."""

from __future__ import annotations

import os
import re
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
echo 42
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
        and re.search(r"with code 0 after \d+ s$", lines[3])
    )
    done = launch(f"{tmp_path}/log", "sh", "-c", "echo why >&2; exit 3")
    assert done.returncode != 0 and "why" in done.stderr and str(tmp_path / "log") in done.stderr
    assert re.search(r"with code 3 after \d+ s$", (tmp_path / "log").read_text().rstrip())


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
        done.returncode == 1 and "job 4 failed with code 4" in done.stderr and "why" in done.stderr
    )
    done = subprocess.run(
        [*command, f"{tmp_path}/log", "bash", "-c", "exit 4"], capture_output=True, text=True
    )
    assert done.returncode == 4 and "the command failed with code 4" in done.stderr


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
        while not os.path.exists(log) or "\nready\n" not in Path(log).read_text():
            time.sleep(0.02)
        (batch,) = subprocess.run(
            ["pgrep", "-f", f"dash {tmp_path}/notes.sh"], capture_output=True, text=True
        ).stdout.split()
        os.kill(int(batch), signal.SIGUSR1)
        assert launcher.wait(timeout=20) == 1
    assert "\ntold\n" in Path(log).read_text() and "with code 75 after" in Path(log).read_text()
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


def test_only_jobs_that_are_not_done_run_again(launch: Launch, tmp_path: Path) -> None:
    """After a failure; all run again after a success, and those of which a file is newer."""
    setting, runs = tmp_path / "my conf.yaml", tmp_path / "runs"
    setting.write_text("a")
    os.utime(setting, (1, 1))
    script = f"echo JOB >>{runs}; test JOB != 2 || test -f {tmp_path}/fixed"

    def call(*more: str) -> tuple[int, str, list[str]]:
        runs.write_text("")
        command = ["bash", "-c", script, "x", str(setting), *more]
        done = launch("JOB=1:3", f"{tmp_path}/log JOB/x", *command)
        return done.returncode, done.stderr, sorted(runs.read_text().split())

    assert call()[::2] == (1, ["1", "2", "3"])
    code, said, ran = call()
    assert (code, ran) == (1, ["2"]) and 'not run again: JOB="1 3" of' in said
    log = tmp_path / "log 3" / "x"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))  # a killed job
    assert call()[::2] == (1, ["2", "3"])
    assert call("another command")[::2] == (1, ["1", "2", "3"])
    assert call()[::2] == (1, ["1", "2", "3"])
    os.utime(setting, (time.time() + 1, time.time() + 1))  # newer than the logs
    assert call()[::2] == (1, ["1", "2", "3"])
    os.utime(setting, (1, 1))
    (tmp_path / "fixed").touch()
    assert call()[::2] == (0, ["2"])
    assert call()[::2] == (0, ["1", "2", "3"])


def test_options_of_launchers_are_checked(launch: Launch, tmp_path: Path) -> None:
    options = ["--mem", "4G", "--num-threads=2", "--num_threads", "3", "--time", "1-0"]
    options += ["--max-jobs-run", "2", "--max-jobs", "1"]
    assert launch(*options, f"{tmp_path}/log", "true").returncode == 0
    done = launch("--gpu", "one", f"{tmp_path}/log", "true")
    assert done.returncode == 2 and "--gpu one: not a number" in done.stderr
    done = launch("--qos", "high", f"{tmp_path}/log", "true")
    assert done.returncode == 2 and "--qos: known are --mem --gpu " in done.stderr


def test_slurm_conf_maps_the_options_to_the_clusters_words(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    """The recipe's conf/slurm.conf, then utils/slurm.conf; the case with a value of its own first."""
    notes = tmp_path / "notes"

    def submitted(*options: str) -> str:
        notes.write_text("")
        command = [SLURM, *options, f"{tmp_path}/x.log", "true"]
        done = subprocess.run(command, env=cluster, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return notes.read_text()

    usual = submitted("--mem", "4G", "--num_threads", "8", "--time", "2-0", "--gpu", "2")
    for word in ("--mem=4G ", "--cpus-per-task=8 ", "--time=2-0 ", "--gres=gpu:2 "):
        assert word in usual
    assert "--export=ALL" in usual and "--job-name=x" in usual and "gres" not in submitted()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "slurm.conf").write_text(
        "# a site\ncommand sbatch --account=me  # ours\noption mem=0  # nothing\n"
        "option mem=* --mem-per-cpu $0\noption gpu=* -p gpu --gres=gpu:a100:$0\n"
        "option gpu=0 -p cpu\noption num_threads=* -c $0\ndefault gpu=0\ndefault mem=2G\n"
    )
    site = submitted("--num-threads", "4", "--qos=high")
    for word in ("--account=me ", "--mem-per-cpu 2G ", "-p cpu ", "-c 4 ", "--qos=high "):
        assert word in site
    assert "export" not in site and "ours" not in site
    site = submitted("--gpu", "4", "--mem", "0")
    assert "-p gpu --gres=gpu:a100:4 " in site and "--mem" not in site and "-p cpu" not in site
    other = submitted("--config", str(ROOT / "utils" / "slurm.conf"), "--gpu", "1")
    assert "--gres=gpu:1 " in other and "account" not in other
    wrong = subprocess.run(
        [SLURM, "--config", "no.conf", "log", "true"], env=cluster, capture_output=True, text=True
    )
    assert wrong.returncode == 2 and "--config no.conf: no such file" in wrong.stderr


def test_local_jobs_get_gpus_of_their_own(tmp_path: Path) -> None:
    """Three jobs of two GPUs on five: two at a time, on other GPUs; nvidia-smi is a stand-in."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n3\\n4\\n'\n")
    smi.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    script = (
        f"cd {tmp_path}; mkdir lock$CUDA_VISIBLE_DEVICES && sleep 0.3 &&"
        " rmdir lock$CUDA_VISIBLE_DEVICES && echo on $CUDA_VISIBLE_DEVICES"
    )

    def call(gpus: str, log: str, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [LOCAL, "--gpu", gpus, "JOB=1:3", f"{tmp_path}/{log}.JOB", "bash", "-c", script]
        return subprocess.run(command, env=env | more, capture_output=True, text=True)

    def sets(log: str) -> set[str]:
        logs = [(tmp_path / f"{log}.{i}").read_text() for i in (1, 2, 3)]
        return {line for log in logs for line in log.splitlines() if line.startswith("on ")}

    assert call("2", "two").returncode == 0 and sets("two") == {"on 0,1", "on 2,3"}
    assert call("1", "given", CUDA_VISIBLE_DEVICES="7,GPU-ab").returncode == 0
    assert sets("given") == {"on 7", "on GPU-ab"}
    few = call("6", "few")
    assert few.returncode == 2 and "--gpu 6, but 5 GPUs are visible" in few.stderr
    assert call("1", "none", CUDA_VISIBLE_DEVICES="").returncode == 2
    smi.unlink()  # other GPUs than NVIDIA's: one job at a time, with all of them
    assert call("1", "other").returncode == 0
    assert (tmp_path / "other.3").read_text().splitlines()[2] == "on"
