"""Training: strategies, frozen parts, resuming, devices."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import Lab
from safetensors.torch import load_file

from serdesc import models
from serdesc.data import datadir
from serdesc.errors import FailedError, UserError
from serdesc.features import batches
from serdesc.files import exclusive_lock, read_json, read_jsonl, write_json
from serdesc.models import checkpoint
from serdesc.training.examples import examples

CPU = torch.device("cpu")


def weights(exp: Path) -> dict[str, str]:
    tensors = {
        **load_file(exp / "checkpoint" / "model.safetensors"),
        **load_file(exp / "checkpoint" / "lora" / "adapter_model.safetensors"),
    }
    return {name: hashlib.sha256(t.numpy().tobytes()).hexdigest() for name, t in tensors.items()}


@pytest.mark.parametrize("strategy", ["alternating", "two-stage", "one-stage"])
def test_each_strategy_trains_with_one_key(lab: Lab, strategy: str) -> None:
    exp = lab.train(strategy, f"training.strategy={strategy}")
    log = read_jsonl(exp / "train.jsonl")
    epochs = {"one-stage": {"joint": 2}}.get(strategy, {"content": 1, "descriptor": 2})
    assert {
        phase: len({r["epoch"] for r in log if r["phase"] == phase})
        for phase in {r["phase"] for r in log}
    } == epochs
    for row in log:
        assert row["vib_loss"] == pytest.approx(row["llm_loss"] + 1e-2 * row["kl_loss"], abs=1e-5)
    assert (
        checkpoint.verify(checkpoint.find(exp) or exp).finished
        and not (exp / "checkpoint" / "optimizer.safetensors").exists()
    )


def test_frozen_parts_do_not_move_by_one_bit(lab: Lab, tiny_llm: Path, tiny_encoder: Path) -> None:
    before = {
        p: hashlib.sha256(p.read_bytes()).hexdigest()
        for folder in (tiny_llm, tiny_encoder)
        for p in folder.iterdir()
    }
    start = lab.train("start", "training.content.epochs=0", "training.descriptor.epochs=0")
    for phase, frozen in (("content", "descriptor."), ("descriptor", "content.")):
        other = {"content": "descriptor", "descriptor": "content"}[phase]
        exp = lab.train(phase, f"training.{phase}.epochs=1", f"training.{other}.epochs=0")
        first, last = weights(start), weights(exp)
        assert first.keys() == last.keys()
        moved = {name for name in first if first[name] != last[name]}
        assert not [name for name in moved if name.startswith(frozen)]
        assert all(name in moved for name in first if name.startswith(f"{phase}.adapter")) and any(
            "lora_B" in name for name in moved
        )
    model, _ = checkpoint.load_model(exp, lab.features, CPU)
    from transformers import AutoModelForCausalLM

    fresh = AutoModelForCausalLM.from_pretrained(tiny_llm).state_dict()
    inside = {
        name.replace(".base_layer", ""): tensor
        for name, tensor in model.llm.get_base_model().state_dict().items()
        if "lora_" not in name
    }
    assert fresh.keys() == inside.keys() and all(
        torch.equal(fresh[name], inside[name]) for name in fresh
    )
    assert before == {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in before}


@pytest.mark.slow
def test_stopping_after_any_block_changes_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lab.train("whole", "training.content.epochs=2")
    save = checkpoint.save

    def save_and_stop(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            lab.train("stopped", "training.content.epochs=2")
    stopped = lab.train("stopped", "training.content.epochs=2")
    assert weights(whole) == weights(stopped)
    assert (whole / "train.jsonl").read_bytes() == (stopped / "train.jsonl").read_bytes()
    assert lab.captions(whole) == lab.captions(stopped)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_the_same(lab: Lab) -> None:
    """The real program, SIGKILLed three times in training and decoding."""
    settings = [
        s for setting in [*lab.settings, "training.descriptor.epochs=8"] for s in ("--set", setting)
    ]
    serdesc = [sys.executable, "-m", "serdesc.cli"]
    train = [*serdesc, "train", str(lab.corpus / "fold1" / "train"), str(lab.folder / "store")]

    def run(command: list[str], kill_after: float | None = None) -> None:
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        try:
            _, error = process.communicate(timeout=kill_after)
            assert process.returncode == 0, error
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()

    def decode_command(exp: Path) -> list[str]:
        return [
            *serdesc,
            "decode",
            str(lab.corpus / "fold1" / "test"),
            str(lab.folder / "store"),
            str(exp),
        ]

    whole, killed = lab.folder / "whole", lab.folder / "killed"
    start = time.monotonic()
    run([*train, str(whole), *settings])
    seconds = time.monotonic() - start
    run(decode_command(whole))
    rng = random.Random(time.time_ns())
    for _ in range(3):
        run([*train, str(killed), *settings], kill_after=rng.uniform(0.4, 1.0) * seconds)
    run([*train, str(killed), *settings])
    run(decode_command(killed))
    assert weights(whole) == weights(killed)
    assert (whole / "decode_test" / "hyp.jsonl").read_bytes() == (
        killed / "decode_test" / "hyp.jsonl"
    ).read_bytes()


def test_accumulation_changes_nothing_but_rounding(lab: Lab) -> None:
    for loss in ("mean", "eq4"):
        logs = [
            read_jsonl(
                lab.train(
                    f"{loss}{n}",
                    f"training.gradient_accumulation_steps={n}",
                    f"training.loss={loss}",
                    "llm.lora.dropout=0",
                )
                / "train.jsonl"
            )
            for n in (1, 3)
        ]
        for a, b in zip(*logs):
            assert a["vib_loss"] == pytest.approx(b["vib_loss"], rel=1e-4) and a[
                "grad_norm"
            ] == pytest.approx(b["grad_norm"], rel=1e-3)


def test_losses_are_normalised_as_they_are_named(lab: Lab) -> None:
    mean, eq4 = (
        read_jsonl(lab.train(loss, f"training.loss={loss}", "llm.lora.dropout=0") / "train.jsonl")[
            0
        ]
        for loss in ("mean", "eq4")
    )
    utterances = {u.utt_id: u for u in lab.train_part}
    tokens = [
        len(u.text or "") + 1 for u in utterances.values()
    ]  # a byte tokenizer; the end of turn
    assert 0.999 * min(tokens) <= eq4["llm_loss"] / mean["llm_loss"] <= 1.001 * max(tokens)
    frames = [x.shape[1] for x in lab.features.load(lab.train_part)]
    assert 0.999 * min(frames) <= eq4["kl_loss"] / mean["kl_loss"] <= 1.001 * max(frames)


@pytest.mark.parametrize("loss", ["mean", "eq4"])
def test_one_stage_adds_both_branches_kl(lab: Lab, loss: str) -> None:
    def first(name: str, *more: str) -> float:
        settings = (f"training.loss={loss}", "training.batch_size=64", "llm.lora.dropout=0", *more)
        return float(
            read_jsonl(lab.train(f"{name}-{loss}", *settings) / "train.jsonl")[0]["kl_loss"]
        )

    alone = [
        first(f"{a}", f"training.{a}.epochs=1", f"training.{b}.epochs=0")
        for a, b in (("content", "descriptor"), ("descriptor", "content"))
    ]
    assert first("joint", "training.strategy=one-stage") == pytest.approx(sum(alone), rel=1e-4)


def test_an_experiment_goes_on_with_what_it_was_begun_with(lab: Lab, tmp_path: Path) -> None:
    exp = lab.train("begun")
    with pytest.raises(UserError, match="was trained on other data, or other labels or captions"):
        lab.train("begun", data=datadir.read(lab.corpus / "fold2" / "train"))
    before = weights(exp)
    assert weights(lab.train("begun")) == before  # of the same it is finished
    lab.features.precision = "int8"
    with pytest.raises(UserError, match="features in another precision"):
        lab.train("begun")
    with exclusive_lock(exp), pytest.raises(
        UserError, match=r"begun/fold1: process \d+ on .* is writing to it"
    ):
        lab.train("begun")


def test_what_is_started_from_is_finished_and_fits(lab: Lab) -> None:
    exp = lab.train("start")
    state = read_json(exp / "checkpoint" / "state.json")
    for settings, told in (
        (["llm.lora.r=4"], r"lora_A.weight is \(2, 16\), here \(4, 16\)"),
        (["llm.lora.alpha=1"], r"alpha is \d+, here 1"),
        (["llm.lora.targets=[q_proj, k_proj]"], "k_proj.lora_A.weight is absent, here"),
    ):
        with pytest.raises(UserError, match=told):
            lab.train(f"from{settings}", f"training.init={exp}", *settings)
    write_json(exp / "checkpoint" / "state.json", {**state, "blocks": state["blocks"] + 2})
    with pytest.raises(
        UserError,
        match=(
            f"trained to block {state['blocks']} of {state['blocks'] + 2}: finish it with `serdesc"
            " train` first"
        ),
    ):
        lab.train("half", f"training.init={exp}")


def test_init_starts_from_another_experiment(lab: Lab) -> None:
    first = lab.train("first")
    again = lab.train(
        "again",
        f"training.init={first}",
        "training.content.epochs=0",
        "training.descriptor.epochs=0",
    )
    assert weights(first) == weights(again)


def test_a_full_disk_keeps_the_checkpoint_before(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    save, calls = checkpoint.save_file, 0

    def sometimes(*args: Any, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        (full if calls > 2 else save)(*args, **kwargs)

    monkeypatch.setattr(checkpoint, "save_file", sometimes)
    with pytest.raises(FailedError, match="No space left.*is kept"):
        lab.train("full")
    found = checkpoint.find(lab.folder / "full" / "fold1")
    assert found is not None and checkpoint.verify(found).done == 1
    monkeypatch.setattr(checkpoint, "save_file", save)
    assert weights(lab.train("full")) == weights(lab.train("roomy"))


def test_a_gradient_that_is_no_number_stops_with_the_place(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = lab.features.load
    monkeypatch.setattr(lab.features, "load", lambda utts: [x * float("nan") for x in load(utts)])
    with pytest.raises(FailedError, match="content epoch 1, step 1"):
        lab.train("nan")


def test_the_mean_kl_is_the_sum_at_beta_divided_by_k(lab: Lab) -> None:
    """K is 4: the first step of the descriptor phase has a quarter of the KL and the same vib_loss."""
    settings = ["training.content.epochs=0", "training.descriptor.epochs=1"]
    rows = {}
    for kl, beta in (("sum", 0.25), ("mean", 1)):
        exp = lab.train(kl, *settings, f"training.kl={kl}", f"training.beta={beta}")
        rows[kl] = read_jsonl(exp / "train.jsonl")[0]
    assert rows["mean"]["kl_loss"] * 4 == pytest.approx(rows["sum"]["kl_loss"], rel=1e-4)
    assert rows["mean"]["vib_loss"] == pytest.approx(rows["sum"]["vib_loss"], rel=1e-5)


def test_the_log_has_the_use_of_the_latents(lab: Lab) -> None:
    """By hand from the model's latents: KL per frame and dimension, and active dimensions."""
    exp = lab.train("use", "training.content.epochs=0", "training.descriptor.epochs=1")
    rows = read_jsonl(exp / "train.jsonl")
    config = lab.configured("training.content.epochs=0", "training.descriptor.epochs=1")
    model = models.initialise(config, lab.features, CPU)
    order = batches.epoch_batches(lab.train_part, config.training.batch_size, 1, 1, "descriptor", 0)
    x, frames = batches.pad(lab.features.load(order[0]))
    latent = model.descriptor.bottleneck(x)
    kept = torch.cat([latent.mu[i, :t] for i, t in enumerate(frames.tolist())])
    kl = torch.cat([latent.kl()[i, :t] for i, t in enumerate(frames.tolist())])
    use = rows[0]["latents"]["descriptor"]
    assert use["kl_per_dimension"] == pytest.approx(float(kl.mean()), abs=1e-5)
    assert use["active_dimensions"] == int((kept.var(0, unbiased=False) > 0.01).sum())
    assert rows[0]["kl_loss"] == pytest.approx(use["kl_per_dimension"], abs=1e-4)  # the mean
    assert set(rows[0]["latents"]) == {"descriptor"} and "layer_weights" not in rows[0]
    weights = rows[-1]["layer_weights"]["descriptor"]
    assert len(weights) == lab.features.layers and sum(weights) == pytest.approx(1, abs=1e-3)


def test_without_bottleneck_there_is_neither_noise_nor_kl(lab: Lab) -> None:
    settings = ["branch.noise=false", "training.beta=0", "training.content.epochs=0"]
    settings.append("training.descriptor.epochs=1")
    row = read_jsonl(lab.train("none", *settings) / "train.jsonl")[0]
    assert row["vib_loss"] == row["llm_loss"] and row["kl_loss"] > 0
    config = lab.configured(*settings)
    model = models.initialise(config, lab.features, CPU)
    order = batches.epoch_batches(lab.train_part, config.training.batch_size, 1, 1, "descriptor", 0)
    data, _ = examples(lab.train_part, config)
    by_id = {example.utterance.utt_id: example for example in data}
    targets = [by_id[utt.utt_id].target("descriptor", 0) for utt in order[0]]
    loss = model(*batches.pad(lab.features.load(order[0])), targets, "descriptor")
    assert row["llm_loss"] == pytest.approx(float(loss.llm) / loss.tokens, abs=1e-5)
    noisy = read_jsonl(lab.train("noisy", *settings[1:]) / "train.jsonl")[0]
    assert noisy["llm_loss"] != row["llm_loss"]


@pytest.mark.parametrize("alternate", ["epoch", "step"])
def test_utterances_without_text_take_part_in_the_descriptor_phase_alone(
    lab: Lab, alternate: str
) -> None:
    without = [
        (
            replace(u, text=None, labels=replace(u.labels, transcript=None), caption=None)
            if i % 2
            else u
        )
        for i, u in enumerate(lab.train_part)
    ]
    with pytest.raises(UserError, match="has no text: .*training.without_text: descriptor"):
        lab.train("refused", data=without)
    keys = ["training.without_text=descriptor", f"training.alternate={alternate}"]
    keys += ["training.batch_size=2"]
    rows = read_jsonl(lab.train(f"untranscribed_{alternate}", *keys, data=without) / "train.jsonl")
    steps = {
        phase: sum(row["phase"] == phase and row["epoch"] == 0 for row in rows)
        for phase in ("content", "descriptor")
    }
    texts = sum(u.text is not None for u in without)
    assert 0 < texts < len(without)
    assert steps == {"content": -(-texts // 2), "descriptor": -(-len(without) // 2)}

    none = [u for u in without if u.text is None]
    with pytest.raises(UserError, match="no utterance has text"):
        lab.train("none", *keys, data=none)
    lab.train(f"descriptor_alone_{alternate}", *keys, "training.content.epochs=0", data=none)
