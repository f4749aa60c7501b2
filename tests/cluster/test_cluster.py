"""egs/mini on a Slurm of two nodes: the results are those of one machine, whatever is killed.

The corpus is every tenth utterance of mini's, so that a run takes a minute. tests/cluster/run.sh
chooses the tests; tools/get_slurm.sh installs Slurm.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest
from helpers import ROOT, copy_recipe
from helpers.training import Lab

from serdesc.files import read_json, read_jsonl
from serdesc.training.log import read_log

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
MISSING = [name for name in PROGRAMS if not shutil.which(name, path="/usr/sbin:/usr/bin:/sbin")]
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: tools/get_slurm.sh"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the test's Slurm needs root, in a container"),
]

CMD = """train_cmd="slurm.sh --num-threads 8 --mem 4G"
cuda_cmd="slurm.sh --num-threads 4 --gpu 1"
"""
SLURM_CONF = """command sbatch --export=ALL
option mem=* --mem=$0
option num-threads=* --cpus-per-task=$0
option gpu=0 --partition=cpu
option gpu=* --partition=gpu --gres=gpu:$0
default gpu=0
"""
LOCAL = 'train_cmd="local.sh --max-jobs-run 2"\ncuda_cmd=$train_cmd\n'
CONFIG = """include: conf/mini.yaml
store: {shard_seconds: 30}
llm: {lora: {dropout: 0.1}}
training: {save_steps: 5, content: {epochs: 2}, descriptor: {epochs: 2}}
"""
Disturb = Callable[[str], None]


class Cluster:
    """The running Slurm, and what happens to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.stopped = folder, threading.Event()
        self.script("start")
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        self.thread = threading.Thread(target=self._hurry)
        self.thread.start()

    def script(self, *what: str) -> None:
        script = str(ROOT / "tests" / "cluster" / "slurm.sh")
        subprocess.run([script, what[0], str(self.folder), *what[1:]], check=True, timeout=120)

    def close(self) -> None:
        self.stopped.set()
        self.thread.join()
        self.script("stop")

    def jobs(self, *options: str) -> list[list[str]]:
        """Job number, number in its array, node, state, reason of each job."""
        command = ["squeue", "-h", "-r", "-o", "%A|%K|%N|%t|%r", *options]
        done = subprocess.run(command, capture_output=True, text=True)
        return [line.split("|") for line in done.stdout.splitlines()]

    def running(self, number: str) -> list[str]:
        """The running job of an array with this number."""
        while True:
            for job in self.jobs("-t", "R"):
                if job[1] == number:
                    return job
            time.sleep(0.1)

    def _hurry(self) -> None:
        """Slurm queues a requeued job for two minutes more: here it may start at once."""
        while not self.stopped.wait(1):
            for job, *_, reason in self.jobs("-t", "PD"):
                if reason == "BeginTime":
                    command = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
                    subprocess.run(command, capture_output=True)

    def kill_node_of(self, number: str) -> None:
        """A power failure of the node that runs a job, which comes back later."""
        node = self.running(number)[2]
        self.script("kill", node)
        while not any(state in self.state(node) for state in ("down", "DOWN")):
            time.sleep(0.5)
        self.script("boot", node)

    def state(self, node: str) -> str:
        command = ["sinfo", "-h", "-n", node, "-o", "%T"]
        return subprocess.run(command, capture_output=True, text=True).stdout


class Recipe:
    """A copy of egs/mini with a small corpus, in a folder with a hard name."""

    def __init__(self, root: Path) -> None:
        self.folder = copy_recipe(root / "it's; 语 $HOME", "mini")
        (self.folder / "small.yaml").write_text(CONFIG)
        (self.folder / "conf" / "slurm.conf").write_text(SLURM_CONF)
        self.use(CMD)

    def use(self, cmd: str) -> None:
        (self.folder / "cmd.sh").write_text(cmd)

    def start(self, *options: str) -> "subprocess.Popen[str]":
        command = ["./run.sh", "--config", "small.yaml", "--folds", "1 2", "--baselines", "false"]
        return subprocess.Popen(
            [*command, *options],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, *options: str) -> None:
        with self.start(*options) as running:
            output = running.communicate()[0]
        assert running.returncode == 0, output

    def make_data(self) -> None:
        """Stage 1, of which every tenth utterance remains; stage 2."""
        self.run("--stop-stage", "1")
        data = self.folder / "data" / "small"
        ids = [line.split()[0] for line in (data / "text").read_text().splitlines()]
        kept = set(sorted(utt for utt in ids if not utt.startswith("sp"))[::10])
        kept |= {utt[:3] for utt in kept}  # the speakers
        for path in data.iterdir():
            if path.name.startswith(("utt2", "spk2", "wav.scp", "text")):
                lines = path.read_text().splitlines(keepends=True)
                path.write_text("".join(line for line in lines if line.split()[0] in kept))
        self.run("--stage", "2", "--stop-stage", "2")

    def results(
        self,
        tag: str,
        nj: int,
        disturb: Disturb | None = None,
        starts: int = 1,
    ) -> dict[str, object]:
        """Features, losses, captions and scores of a run, with a disturbance of its own."""
        options = ["--dump", f"dump/{tag}", "--tag", tag, "--nj", str(nj)]
        for number in range(starts):
            with self.start(*options, "--stage", "4" if number else "3") as running:
                if disturb is not None:
                    disturb(tag)
                output = running.communicate()[0]
            if number < starts - 1 and disturb is not None:
                assert running.returncode == 1, output
        assert running.returncode == 0, output
        return self.found(tag)

    def found(self, tag: str) -> dict[str, object]:
        found: dict[str, object] = {}
        dump, exp = self.folder / "dump" / tag, self.folder / "exp" / tag
        for path in sorted([*dump.glob("shard-*"), dump / "feats.scp"]):
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted([*exp.rglob("hyp.jsonl"), *exp.rglob("train.jsonl")]):
            found[str(path.relative_to(exp))] = read_jsonl(path)
        for path in sorted(exp.rglob("score.json")):
            found[str(path.relative_to(exp))] = read_json(path)["scores"]
        assert len(found) > 8
        return found

    def log(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def recipe(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    made = Recipe(tmp_path_factory.mktemp("recipe"))
    made.make_data()
    return made


@pytest.fixture(scope="module")
def reference(recipe: Recipe) -> dict[str, object]:
    """The results on one machine, without Slurm."""
    recipe.use(LOCAL)
    found = recipe.results("local", 1)
    recipe.use(CMD)
    return found


def wait_for(path: Path, lines: int = 0) -> None:
    """Until a file has so many lines."""
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        time.sleep(0.05)


def train_rows(recipe: Recipe, tag: str) -> Path:
    return recipe.folder / "exp" / tag / "fold1" / "train.jsonl"


def test_a_recipe_stops_where_gpu_jobs_see_no_gpu(recipe: Recipe) -> None:
    """Slurm grants two GPUs, and torch sees none."""
    with recipe.start("--ngpu", "2", "--stop-stage", "1") as running:
        output = running.communicate()[0]
    assert running.returncode == 2 and "--ngpu 2, but torch sees 0 GPUs" in output
    assert "CUDA_VISIBLE_DEVICES: 0,1" in output


def test_a_killed_node_and_three_kills(
    cluster: Cluster, recipe: Recipe, reference: dict[str, object]
) -> None:
    """N = 2; in training, the node of the first fold fails, then its process is killed thrice."""

    def kill_process(tag: str) -> None:
        rows = train_rows(recipe, tag)
        before = len(rows.read_text().splitlines()) if rows.exists() else 0
        wait_for(rows, before // 5 * 5 + 7)
        if starts.pop(0) == 0:
            cluster.kill_node_of("1")
            wait_for(rows, before + 14)
        pattern = f"serdesc train data/small/fold1/train dump/{tag} "
        while not (found := subprocess.run(["pgrep", "-f", pattern], capture_output=True).stdout):
            time.sleep(0.05)
        for pid in found.split():
            os.kill(int(pid), signal.SIGKILL)

    starts = [0, 1, 2]

    def disturb(tag: str) -> None:
        if starts:
            kill_process(tag)

    assert recipe.results("killed", 2, disturb, starts=4) == reference


@pytest.mark.parametrize("nj", [1, 3, 8])
def test_any_number_of_jobs(recipe: Recipe, reference: dict[str, object], nj: int) -> None:
    assert recipe.results(f"n{nj}", nj) == reference


@pytest.mark.parametrize("stage", ["extraction", "training", "decoding"])
def test_a_node_is_killed(
    cluster: Cluster, recipe: Recipe, reference: dict[str, object], stage: str
) -> None:
    def disturb(tag: str) -> None:
        if stage == "extraction":
            wait_for(recipe.folder / "dump" / tag / "header.json", 1)
        elif stage == "training":
            wait_for(train_rows(recipe, tag), 8)
        else:
            wait_for(recipe.folder / "exp" / tag / "fold1" / "decode_test" / "hyp.made.json")
        cluster.kill_node_of("1")

    tag = f"node-{stage}"
    assert recipe.results(tag, 3, disturb) == reference
    log = {
        "extraction": f"dump/{tag}/log/extract.1.log",
        "training": f"exp/{tag}/fold1/train.log",
        "decoding": f"exp/{tag}/fold1/decode_test/decode.log",
    }[stage]
    assert recipe.log(log).count("# started ") == 2 and recipe.log(log).count("# ended ") == 1


@pytest.mark.parametrize("how", ["preempted", "limited", "requeued"])
def test_training_is_interrupted_by_slurm(cluster: Cluster, lab: Lab, how: str) -> None:
    """A training without an end goes on as the one that nobody interrupts."""
    more = ("training.content.epochs=9999", "training.descriptor.epochs=9999")
    log, rows = lab.folder / "train.log", lab.exp("job") / "train.jsonl"
    launcher = [str(ROOT / "utils" / "slurm.sh"), "--num-threads", "8", str(log)]
    with subprocess.Popen([*launcher, *lab.command("job", *more)]) as waiting:
        wait_for(rows, 8)
        job = cluster.running("N/A")[0]
        command = {
            "preempted": "sbatch -p urgent -N 2 --exclusive -o /dev/null --wrap".split() + ["true"],
            "limited": ["scontrol", "update", f"JobId={job}", "TimeLimit=2"],
            "requeued": ["scontrol", "requeue", job],
        }[how]
        subprocess.run(command, check=True)
        while log.read_text().count("# started ") < 2:
            time.sleep(0.1)
        before = len(rows.read_text().splitlines())
        wait_for(rows, before + 8)
        assert waiting.poll() is None, "the stage waits for the requeued job"
        assert log.read_text().count(" with code 75 after ") == (0 if how == "requeued" else 1)
        waiting.terminate()
    while cluster.jobs():
        time.sleep(0.5)
    with subprocess.Popen(lab.command("whole", *more)) as whole:
        wait_for(lab.exp("whole") / "train.jsonl", before + 8)
        whole.kill()
    found = [read_log(lab.exp(name) / "train.jsonl") for name in ("job", "whole")]
    length = min(len(part) for part in found)
    assert found[0][:length] == found[1][:length]


def test_training_on_two_nodes(recipe: Recipe, reference: dict[str, object]) -> None:
    """One srun, torchrun on both nodes: the losses of one process, within rounding."""
    masks = ("--set", "training.dropout_masks=utterance")
    recipe.run("--dump", "dump/local", "--tag", "one", *masks, *"--stage 4 --stop-stage 4".split())
    recipe.use(f'{CMD}dist_cmd="slurm.sh --num-threads 4 --nodes 2"\n')
    options = ["--dump", "dump/local", "--tag", "two", "--ngpu", "1", *masks]
    options += ["--set", "device=cpu", "--set", "training.sharding=full"]
    recipe.run(*options, "--stage", "4", "--stop-stage", "4")
    recipe.use(CMD)
    one, two = (read_jsonl(train_rows(recipe, tag)) for tag in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert a["vib_loss"] == pytest.approx(b["vib_loss"], rel=1e-4)
    assert recipe.log("exp/two/fold1/train.log").count("# started ") == 1
