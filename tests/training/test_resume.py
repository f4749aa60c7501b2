"""A training that is stopped or killed anywhere ends as an unbroken one; what may change meanwhile."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from helpers.cli import serdesc
from helpers.training import Lab
from safetensors.torch import load_file

from serdesc import config as configs
from serdesc.cli.command import OUT_OF_MEMORY
from serdesc.data import datadir
from serdesc.errors import Checkpointed, FailedError, UserError
from serdesc.files import read_json, read_jsonl, write_json
from serdesc.models import checkpoint
from serdesc.training.log import Log, read_log
from serdesc.training.stopping import StopRequest

LONG = ("training.content.epochs=8", "training.descriptor.epochs=8", "training.batch_size=1")
SHORT = ("training.content.epochs=1", "training.descriptor.epochs=1", "training.batch_size=2")


def result(exp: Path) -> tuple[bytes, dict[str, bytes]]:
    """The bytes of train.jsonl and of every weight of a finished experiment."""
    folder = exp / "checkpoint"
    assert checkpoint.verify(folder).finished and not (folder / "optimizer.safetensors").exists()
    assert [path.name for path in exp.glob("checkpoint*")] == ["checkpoint"]
    tensors = load_file(folder / "model.safetensors")
    tensors |= load_file(folder / "lora" / "adapter_model.safetensors")
    weights = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    return (exp / "train.jsonl").read_bytes(), weights


def asked_to_stop() -> StopRequest:
    stop = StopRequest()
    stop.received = "SIGTERM"
    return stop


def rows_of(exp: Path) -> int:
    path = exp / "train.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def steps_saved(exp: Path, steps_per_block: int) -> int:
    """Steps up to the checkpoint; its state may be replaced at any moment."""
    state = read_json(exp / "checkpoint" / "state.json")
    return int(state["done"] * steps_per_block + state["steps"])


def kill(started: list[Any], exp: Path, rows: int) -> bool:
    """SIGKILL when train.jsonl has so many rows; whether it was still running."""
    while rows_of(exp) < rows and all(process.is_alive() for process in started):
        time.sleep(0.001)
    running = all(process.is_alive() for process in started)
    for process in started:
        process.kill()
        process.join()
    return running


def finish(started: list[Any]) -> None:
    for process in started:
        process.join()
        assert process.exitcode == 0


@pytest.mark.parametrize(
    "settings", [("training.strategy=alternating",), ("training.alternate=step",)]
)
def test_one_step_a_start_is_the_unbroken_training(lab: Lab, settings: tuple[str, ...]) -> None:
    """Both optimizers, the order, noise and dropout continue inside an epoch."""
    more = (*SHORT, *settings, "llm.lora.dropout=0.1")
    whole, exp = lab.train("whole", *more), lab.exp("steps")
    starts = 1
    while True:
        try:
            lab.train("steps", *more, stop=asked_to_stop())
            break
        except Checkpointed as stopped:
            assert "stopped by SIGTERM" in str(stopped)
        assert rows_of(exp) == starts
        starts += 1
    assert starts == rows_of(whole) == 6
    assert result(exp) == result(whole)
    assert lab.captions(exp) == lab.captions(whole)


@pytest.mark.slow
@pytest.mark.parametrize("ranks, kills", [(1, 20), (2, 4)])
def test_killed_at_random_steps_it_has_the_losses_of_an_unbroken_run(
    lab: Lab, ranks: int, kills: int
) -> None:
    more = (*LONG, "training.save_steps=2", "training.save_seconds=0", "llm.lora.dropout=0.1")
    finish(lab.forked("whole", *more, ranks=ranks))
    whole, exp = lab.exp("whole"), lab.exp("killed")
    assert rows_of(whole) == 16 * 6
    rng, done = random.Random(25), 0
    saved = 0
    for _ in range(kills):
        started = lab.forked("killed", *more, ranks=ranks)
        assert kill(started, exp, saved + rng.randint(1, 5)), "it ended before the kill"
        done += 1
        if checkpoint.find(exp) is not None:
            saved = steps_saved(exp, 6)
            assert 0 <= rows_of(exp) - saved <= 2, "at most save_steps are lost"
    assert done == kills
    finish(lab.forked("killed", *more, ranks=ranks))
    assert result(exp) == result(whole)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_other_and_the_next_start_goes_on(lab: Lab) -> None:
    more = (*LONG, "training.save_steps=2", "training.save_seconds=0")
    finish(lab.forked("whole", *more, ranks=2))
    whole, exp = lab.exp("whole"), lab.exp("orphan")
    first, second = lab.forked("orphan", *more, ranks=2)
    while rows_of(exp) < 5 and second.is_alive():
        time.sleep(0.001)
    second.kill()
    first.join(60)  # it waits in a sum over both
    assert first.exitcode not in (None, 0), "it must not wait for ever, nor go on alone"
    assert checkpoint.find(exp) is not None
    finish(lab.forked("orphan", *more, ranks=2))
    assert result(exp) == result(whole)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_the_program_with_75_and_loses_no_step(
    lab: Lab, number: signal.Signals, ranks: int
) -> None:
    """Of two processes, only the second receives it."""
    more = (*LONG, "training.save_seconds=0")
    finish(lab.forked("whole", *more, ranks=ranks))
    exp, command = lab.exp("stopped"), lab.command("stopped", *more)
    started = []
    for rank in range(ranks):
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        if ranks > 1:
            env |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
            env["MASTER_PORT"] = str(20_000 + os.getpid() % 20_000)
        started.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    while rows_of(exp) < 8 and all(process.poll() is None for process in started):
        time.sleep(0.001)
    started[-1].send_signal(number)
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [Checkpointed.CODE] * ranks, errors
    assert number.name in errors[-1] and "The same command goes on from there" in errors[-1]
    assert 8 <= rows_of(exp) == steps_saved(exp, 6) < 96
    finish(lab.forked("stopped", *more, ranks=ranks))
    assert result(exp) == result(lab.exp("whole"))


@pytest.mark.slow
def test_the_launcher_of_several_processes_passes_on_signals_and_the_code(lab: Lab) -> None:
    more = (*LONG, "training.save_seconds=0", "training.content.epochs=2000")
    start = "-m serdesc.training.processes --standalone --nproc-per-node 2".split()
    (python, *command), exp = lab.command("many", *more), lab.exp("many")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([python, *start, *command], env=env, stderr=subprocess.PIPE) as agent:
        while rows_of(exp) < 5 and agent.poll() is None:
            time.sleep(0.001)
        agent.send_signal(signal.SIGUSR1)
        error = agent.communicate()[1]
    assert agent.returncode == Checkpointed.CODE, error
    assert b"stopped by SIGUSR1" in error and 5 <= rows_of(exp) == steps_saved(exp, 6)
    wrong = [python, *start, *command, "--set", "training.beta=7"]
    assert subprocess.run(wrong, env=env, capture_output=True).returncode == 1
    limited = [python, *start, *command, "--time-limit", "30"]
    assert subprocess.run(limited, env=env, capture_output=True).returncode == Checkpointed.CODE


@pytest.mark.slow
def test_a_time_limit_ends_in_time_and_the_next_start_goes_on(lab: Lab) -> None:
    more = (*LONG, "training.save_seconds=0", "training.descriptor.epochs=2000")
    limit = 30
    begun = time.monotonic()
    done = subprocess.run(
        [*lab.command("limited", *more), "--time-limit", f"0:00:{limit}"],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == Checkpointed.CODE and "the time limit" in done.stderr, done.stderr
    assert time.monotonic() - begun < limit + 10  # the limit is counted from the command's start
    exp = lab.exp("limited")
    before = rows_of(exp)
    assert before == steps_saved(exp, 6) > 0
    with pytest.raises(Checkpointed):
        lab.train("limited", *more, stop=asked_to_stop())
    assert rows_of(exp) == before + 1


def test_a_wrong_time_limit_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    code, text = serdesc("train", tmp_path, "live", tmp_path / "exp", "--time-limit", "1h")
    assert code == 2 and "--time-limit '1h': write seconds" in text


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _in_a_file() -> None:
    """Half of the optimiser's file is written."""
    save = checkpoint.save_file

    def half(tensors: Any, path: Path) -> None:
        save(tensors, path)
        if path.name == "optimizer.safetensors" and (path.parents[1] / "checkpoint").exists():
            path.write_bytes(path.read_bytes()[:100])
            _die()

    checkpoint.save_file = half


def _before_the_state() -> None:
    write = checkpoint.write_json

    def state(path: Path, value: Any) -> None:
        (_die if (path.parents[1] / "checkpoint").exists() else write)(path, value)

    checkpoint.write_json = state


def _between_the_renames() -> None:
    rename = Path.rename

    def first(self: Path, target: Path) -> Path:
        done = rename(self, target)
        if target.name == "checkpoint.old":
            _die()
        return done

    Path.rename = first  # type: ignore[method-assign, assignment]


def _in_a_row() -> None:
    append = Log.append

    def torn(self: Log, row: Any) -> None:
        if (row["block"], row["step"]) != (1, 1):
            return append(self, row)
        self.file.write('{"block": 1, "phase": "desc')
        self.file.flush()
        _die()

    Log.append = torn  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "ranks, moment",
    [(1, _in_a_file), (1, _before_the_state), (1, _between_the_renames), (1, _in_a_row)]
    + [pytest.param(2, _between_the_renames, marks=pytest.mark.slow)],
)
def test_killed_while_it_writes(lab: Lab, moment: Callable[[], None], ranks: int) -> None:
    more = (*SHORT, "training.save_steps=1")
    finish(lab.forked("whole", *more, ranks=ranks))
    started = lab.forked("killed", *more, patch=moment, ranks=ranks)
    started[0].join()
    for process in started[1:]:
        process.kill()
        process.join()
    assert started[0].exitcode == -signal.SIGKILL
    exp = lab.exp("killed")
    rows = read_log(exp / "train.jsonl")  # readable at any time
    assert 0 < len(rows) < 6
    finish(lab.forked("killed", *more, ranks=ranks))
    assert result(exp) == result(lab.exp("whole"))


def test_the_log_is_readable_while_it_runs(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    append = Log.append

    def count(self: Log, row: Any) -> None:
        append(self, row)
        seen.append(len(read_jsonl(self.path)))

    monkeypatch.setattr(Log, "append", count)
    lab.train("read", *SHORT)
    assert seen == [1, 2, 3, 4, 5, 6]


def stopped_after(lab: Lab, name: str, steps: int, *more: str) -> Path:
    for _ in range(steps):
        with pytest.raises(Checkpointed):
            lab.train(name, *SHORT, *more, stop=asked_to_stop())
    return lab.exp(name)


# ---- what may change between two starts


@pytest.mark.parametrize(
    "setting",
    [
        "training.gradient_accumulation_steps=2", "llm.gradient_checkpointing=true", "encoder.batch_seconds=7", "decoding.max_new_tokens=5",
        "scoring.resamples=7", "threads=2", "device=auto", "training.save_steps=1", "training.save_seconds=0",
    ],  # fmt: skip
)
def test_what_changes_no_result_may_change(lab: Lab, setting: str) -> None:
    whole = lab.train("whole", *SHORT, "llm.lora.dropout=0")
    stopped_after(lab, "changed", 2, "llm.lora.dropout=0")
    exp = lab.train("changed", *SHORT, "llm.lora.dropout=0", setting)
    for a, b in zip(*(read_jsonl(e / "train.jsonl") for e in (whole, exp)), strict=True):
        assert b["vib_loss"] == pytest.approx(a["vib_loss"], rel=1e-4) and a.keys() == b.keys()


@pytest.mark.parametrize(
    "setting",
    ["training.beta=1", "training.batch_size=4", "target.emotion=false", "llm.lora.alpha=1", "seed=2",
     "training.content.epochs=2", "training.max_grad_norm=2", "llm.quantization=8bit"],
)  # fmt: skip
def test_model_targets_and_data_may_not_change(lab: Lab, setting: str) -> None:
    stopped_after(lab, "begun", 1)
    with pytest.raises(UserError, match=f"{setting.split('=')[0]} .*another --tag for the new"):
        lab.train("begun", *SHORT, setting)


def test_a_learning_rate_may_change_and_the_row_after_it_says_so(lab: Lab) -> None:
    """Also if the first start with it is killed before a checkpoint."""
    stopped_after(lab, "rate", 2)
    lower = "training.descriptor.lr=1e-6"
    started = lab.forked("rate", *SHORT, lower, "training.save_seconds=0", patch=_in_a_row)
    started[0].join()
    exp = lab.train("rate", *SHORT, lower)
    rows = read_jsonl(exp / "train.jsonl")
    noted = [row["changed"] for row in rows if "changed" in row]
    assert noted == [{"training.descriptor.lr": [2e-5, 1e-6]}] and "changed" in rows[2]
    assert max(row["lr"] for row in rows if row["phase"] == "descriptor") <= 1e-6
    assert "lr: 1.0e-06" in (exp / "config.yaml").read_text()


def test_a_checkpoint_of_an_earlier_version_is_continued(lab: Lab) -> None:
    """It has neither steps nor settings, and stands at the end of a block."""
    exp = stopped_after(lab, "former", 3)
    path = exp / "checkpoint" / "state.json"
    state = read_json(path)
    assert (state["done"], state["steps"]) == (1, 0)
    write_json(path, {key: state[key] for key in state.keys() - {"steps", "settings"}})
    shutil.copytree(exp, lab.exp("rate"))
    assert result(lab.train("former", *SHORT)) == result(lab.train("whole", *SHORT))
    rows = read_jsonl(lab.train("rate", *SHORT, "training.descriptor.lr=1e-6") / "train.jsonl")
    assert rows[3]["changed"] == {"training.descriptor.lr": [2e-5, 1e-6]}


def test_the_record_of_a_finished_training_stays_true(lab: Lab) -> None:
    exp = lab.train("done", *SHORT)
    with pytest.raises(UserError, match="training.content.lr 0.0002, the configuration has 1e-05"):
        lab.train("done", *SHORT, "training.content.lr=1e-5")
    before = result(exp)
    lab.train("done", *SHORT, "training.gradient_accumulation_steps=2", "decoding.max_new_tokens=5")
    recorded = configs.load(exp / "config.yaml")
    assert recorded.training.gradient_accumulation_steps == 1
    assert recorded.decoding.max_new_tokens == 5 and result(exp) == before


# ---- every remedy that a message names is accepted by the next start


def named_keys(message: str) -> list[str]:
    return re.findall(r"\b(?:training|llm|decoding|encoder)\.\w+(?:\.\w+)?", message)


def test_remedies_for_memory(lab: Lab) -> None:
    stopped_after(lab, "memory", 1)
    assert len(named_keys(OUT_OF_MEMORY)) == 5
    values = {"gradient_accumulation_steps": 2, "gradient_checkpointing": "true"}
    for key in named_keys(OUT_OF_MEMORY):
        setting = f"{key}={values.get(key.split('.')[1], 1)}"
        if key != "llm.quantization":  # the message says that this one takes another tag
            with pytest.raises(Checkpointed):
                lab.train("memory", *SHORT, setting, stop=asked_to_stop())


@pytest.mark.parametrize("strategy, before", [("alternating", 2e-4), ("one-stage", 2e-5)])
def test_remedy_for_a_gradient_that_is_no_number(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, strategy: str, before: float
) -> None:
    more = (*SHORT, f"training.strategy={strategy}")
    stopped_after(lab, "nan", 1, more[-1])
    load = lab.features.load
    with monkeypatch.context() as patched, pytest.raises(FailedError) as failed:
        patched.setattr(lab.features, "load", lambda utts: [x * float("nan") for x in load(utts)])
        lab.train("nan", *more)
    (key,) = named_keys(str(failed.value).split("Lower")[1])
    rows = read_jsonl(lab.train("nan", *more, f"{key}=1e-6") / "train.jsonl")
    assert len(rows) in (3, 6) and rows[1]["changed"] == {key: [before, 1e-6]}


def test_remedies_for_another_configuration(lab: Lab) -> None:
    exp = stopped_after(lab, "other", 1)
    with pytest.raises(UserError, match="recorded values, another --tag .*, or remove"):
        lab.train("other", *SHORT, "training.beta=1")
    lab.train("tag", *SHORT, "training.beta=1")
    lab.train("other", *SHORT)
    shutil.rmtree(exp)
    assert result(lab.train("other", *SHORT, "training.beta=1")) == result(lab.exp("tag"))


def test_remedies_for_other_data(lab: Lab) -> None:
    exp = stopped_after(lab, "data", 1)
    data = datadir.read(lab.corpus / "fold2" / "train")
    with pytest.raises(UserError, match="other data.* Use another --tag, or remove"):
        lab.train("data", *SHORT, data=data)
    lab.train("tag", *SHORT, data=data)
    shutil.rmtree(exp)
    assert result(lab.train("data", *SHORT, data=data)) == result(lab.exp("tag"))


def test_remedies_for_a_damaged_checkpoint(lab: Lab) -> None:
    exp = stopped_after(lab, "damaged", 2)
    path = exp / "checkpoint" / "optimizer.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(UserError, match="Restore the file, or remove .*checkpoint and train again"):
        lab.train("damaged", *SHORT)
    path.write_bytes(whole)
    with pytest.raises(Checkpointed):
        lab.train("damaged", *SHORT, stop=asked_to_stop())
    shutil.rmtree(exp / "checkpoint")
    assert result(lab.train("damaged", *SHORT)) == result(lab.train("whole", *SHORT))


def test_remedies_for_a_start_model(lab: Lab) -> None:
    init = f"training.init={lab.exp('start')}"
    with pytest.raises(UserError, match="Train it, or name another experiment"):
        lab.train("from", *SHORT, init)
    stopped_after(lab, "start", 1)
    with pytest.raises(UserError, match="finish it with `serdesc train` first"):
        lab.train("from", *SHORT, init)
    lab.train("start", *SHORT)
    lab.train("from", *SHORT, init)


def test_remedies_for_long_utterances_and_for_the_device(lab: Lab) -> None:
    with pytest.raises(UserError, match="Raise it"):
        lab.train("long", *SHORT, "training.max_seconds=0.01")
    lab.train("long", *SHORT, "training.max_seconds=30")
    stopped_after(lab, "gpu", 1)
    folder = lab.corpus / "fold1" / "train"
    words = ["train", folder, lab.folder / "store", lab.exp("gpu"), *lab.options(*SHORT)]
    code, text = serdesc(*words, "--set", "device=cuda:7")
    assert code == 2 and "use --set device=cpu" in text
    assert serdesc(*words, "--set", "device=cpu")[0] == 0
