"""Training with several processes: the steps of one process, within rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import Lab

from serdesc import models, runtime
from serdesc.errors import UserError
from serdesc.files import read_jsonl
from serdesc.models import dropout
from serdesc.training import processes

# Learning rates at which LoRA, which begins with no effect, has one within a few steps.
FAST = ("llm.lora.alpha=64", "training.content.lr=0.02", "training.descriptor.lr=0.02")
DROPOUT = (*FAST, "llm.lora.dropout=0.1", "training.dropout_masks=utterance")
# Batches of three and a rest: a process has one utterance more than the other, which may have none.
SIZES = ("training.batch_size=3", "training.content.epochs=2", "training.descriptor.epochs=2")


def finish(processes: list[Any]) -> None:
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)


def assert_same_steps(one: Path, other: Path) -> None:
    """Rounding differs by the order of sums alone."""
    for a, b in zip(
        read_jsonl(one / "train.jsonl"), read_jsonl(other / "train.jsonl"), strict=True
    ):
        assert a["vib_loss"] == pytest.approx(b["vib_loss"], rel=1e-4)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_take_the_steps_of_one(lab: Lab, sharding: str) -> None:
    single = lab.train("single", *DROPOUT, *SIZES)
    more = (*DROPOUT, *SIZES, f"training.sharding={sharding}")
    finish(lab.forked("pair", *more, ranks=2))
    assert_same_steps(single, lab.exp("pair"))
    # Its checkpoint is whole: one process continues with it, and decodes.
    longer = [setting for setting in more if "epochs" not in setting]
    assert lab.captions(lab.exp("pair")) == lab.captions(single)
    finish(lab.forked("parts", *longer, *SIZES, "training.gradient_accumulation_steps=2", ranks=2))
    assert_same_steps(single, lab.exp("parts"))


@pytest.mark.slow
def test_sharded_training_continues_after_a_kill(lab: Lab) -> None:
    """With the losses of the unbroken run; the remaining steps may be those of one process."""
    more = (*DROPOUT, *SIZES, "training.sharding=full", "training.save_steps=1")
    finish(lab.forked("whole", *more, ranks=2))
    started = lab.forked("killed", *more, ranks=2)
    log = lab.exp("killed") / "train.jsonl"
    while not log.exists() or log.read_text().count("\n") < 3:
        started[0].join(0.01)
    for process in started:
        process.kill()
        process.join()
    lab.train("killed", *more)
    assert_same_steps(lab.exp("whole"), lab.exp("killed"))


def test_masks_of_the_batch_depend_on_it_and_those_of_utterances_do_not(lab: Lab) -> None:
    def losses(name: str, masks: str, *more: str) -> list[float]:
        settings = ("llm.lora.dropout=0.1", f"training.dropout_masks={masks}", *FAST, *SIZES)
        exp = lab.train(name, *settings, *more)
        return [row["llm_loss"] for row in read_jsonl(exp / "train.jsonl")]

    parts = "training.gradient_accumulation_steps=2"
    assert losses("batch", "batch") != pytest.approx(losses("batch2", "batch", parts), rel=1e-3)
    whole = losses("whole", "utterance")
    assert whole == pytest.approx(losses("parts", "utterance", parts), rel=1e-4)
    assert whole != pytest.approx(losses("none", "utterance", "llm.lora.dropout=0"), rel=1e-3)


def test_a_mask_is_a_function_of_seed_and_module() -> None:
    first, other = dropout.UtteranceDropout(0.25, 0), dropout.UtteranceDropout(0.25, 1)
    ones = torch.ones(2, 50, 40)
    assert torch.equal(first(ones), ones), "no seeds: of a model that is not trained"
    for module in (first, other):
        module.seeds = torch.tensor([5, 2**62 + 7])
    masked = first(ones)
    assert masked.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert (masked == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(masked[0], masked[1]) and not torch.equal(masked, other(ones))
    longer = first(torch.ones(2, 70, 40))
    assert torch.equal(longer[:, :50], masked), "padding has no effect"
    first.seeds = torch.tensor([2**62 + 7])
    assert torch.equal(first(ones[:1])[0], masked[1]), "nor has the place in the batch"
    # Neighbouring elements, rows and seeds are independent.
    dropped = (masked[0] == 0).float()
    for neighbour in (dropped.roll(1, 0), dropped.roll(1, 1), (masked[1] == 0).float()):
        assert (dropped * neighbour).mean() == pytest.approx(0.25**2, abs=0.02)
    assert torch.equal(first.eval()(ones), ones)


def test_the_mixing_function_is_splitmix64() -> None:
    """Its first outputs for seed 0, published with the reference implementation."""
    states = torch.tensor([1, 2, 3]) * dropout.GOLDEN
    found = [value % 2**64 for value in dropout.mix(states).tolist()]
    assert found == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_each_process_has_its_own_card_and_the_group_fits_the_device(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(runtime.dist, "init_process_group", begun.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", begun.append)
    for name in ("auto", "cuda"):
        assert runtime.start(lab.configured(f"device={name}")) == torch.device("cuda:1")
    assert runtime.start(lab.configured("device=cpu")) == torch.device("cpu")
    runtime.init_distributed(torch.device("cpu"))
    runtime.init_distributed(torch.device("cuda:1"))
    assert begun == ["gloo", torch.device("cuda:1"), "nccl"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="'cuda:1', but torch sees 1 GPUs here: start one process"):
        runtime.start(lab.configured("device=cuda"))


def test_a_quantized_llm_is_not_sharded(lab: Lab) -> None:
    config = lab.configured("training.sharding=full", "llm.quantization=4bit")
    with pytest.raises(UserError, match="sharding: 'full', with llm.quantization '4bit': set one"):
        models.initialise(config, lab.features, torch.device("cpu"), lambda *_: None)


def test_the_options_of_torchrun_on_one_node_and_on_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """srun starts the same command on each node; the first one is where torchrun meets."""
    command = ["--standalone", "--nproc-per-node", "4", "--no-python", "serdesc", "train"]
    monkeypatch.delenv("SLURM_STEP_NUM_NODES", raising=False)
    assert processes.on_all_nodes(command) == command
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "1")
    assert processes.on_all_nodes(command) == command
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_JOB_ID", "20007")
    monkeypatch.setenv("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.5")
    several = processes.on_all_nodes(command)
    assert several[-5:] == command[1:] and "--standalone" not in several
    assert {"--nnodes=2", "--rdzv-backend=c10d", "--rdzv-id=20007"} < set(several)
    assert "--rdzv-endpoint=10.0.0.5:20007" in several
