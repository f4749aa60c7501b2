"""Phases, checkpoints, and that a stopped run ends where an unbroken one does."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.captions import reader
from serdesc.cli import app
from serdesc.config import Config, PhaseConfig, TrainingConfig
from serdesc.data import annotate, datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.files import exclusive_lock, read_json, read_jsonl, write_json
from serdesc.inference.decode import decode, hypotheses
from serdesc.models import checkpoint
from serdesc.training import trainer
from serdesc.training.examples import examples
from serdesc.training.phases import PhaseEpoch, learning_rate, schedule

CPU = torch.device("cpu")


# ---- order and rates ----


def test_the_order_of_the_phases() -> None:
    def order(**changes: Any) -> list[str]:
        settings = TrainingConfig(content=PhaseConfig(epochs=2), descriptor=PhaseConfig(epochs=3), **changes)
        return ["+".join(f"{turn.phase[0]}{turn.epoch}" for turn in block) for block in schedule(settings)]

    assert order() == ["c0", "d0", "c1", "d1", "d2"]
    assert order(alternate="step") == ["c0+d0", "c1+d1", "d2"]
    assert order(strategy="two-stage") == ["c0", "c1", "d0", "d1", "d2"]
    assert order(strategy="one-stage") == ["j0", "j1", "j2"]
    assert schedule(TrainingConfig())[:2] == [(PhaseEpoch("content", 0),), (PhaseEpoch("descriptor", 0),)]


class Says:
    """A model that always says the same; what ends in "anger in her voice" is as good as impossible."""

    config = Config()

    def __init__(self, said: str) -> None:
        self.said = said

    def generate(self, x: torch.Tensor, frames: torch.Tensor, max_new_tokens: int) -> list[str]:
        return [self.said] * len(x)

    def log_likelihoods(self, x: torch.Tensor, frames: torch.Tensor, answers: list[list[str]]) -> list[list[float]]:
        return [[-20.0 if "anger in her voice" in answer else 0.0 for answer in said] for said in answers]


class Silence:
    def load(self, utterances: list[Utterance]) -> list[torch.Tensor]:
        return [torch.zeros(1, 1, 1)] * len(utterances)


def test_a_small_posterior_is_not_none() -> None:
    def posterior(said: str) -> Any:
        return hypotheses(Says(said), Silence(), [Utterance("u", "u.wav", "s")], ["angry", "happy"])[0]["posterior"]  # type: ignore[arg-type]

    assert posterior("A woman speaks, joy in her voice.") == {"angry": 2.0611536e-09, "happy": 1.0}
    assert posterior("A woman speaks.") is None


def test_rates_of_the_paper() -> None:
    content, descriptor = TrainingConfig().content, TrainingConfig().descriptor
    assert [learning_rate(content, s, 100) for s in (0, 1, 2, 3, 99)] == pytest.approx([2e-4 / 3, 4e-4 / 3, 2e-4, 2e-4, 2e-4])
    assert learning_rate(descriptor, 2, 100) == pytest.approx(2e-5) and learning_rate(descriptor, 3, 100) == pytest.approx(2e-5)
    assert learning_rate(descriptor, 51, 100) == pytest.approx(1e-5, rel=0.02) and learning_rate(descriptor, 99, 100) < 1e-8


# ---- experiments ----


class Lab:
    """A fold of made-up data, its store, and what trains on it."""

    def __init__(self, corpus: Path, folder: Path, settings: list[str]) -> None:
        self.folder, self.settings, self.corpus = folder, settings, corpus
        self.config = self.configured()
        annotate.annotate(corpus, self.config, nj=1)
        encoder = Encoder.load(self.config.encoder, CPU)
        stores.write(folder / "store", datadir.read(corpus), encoder, self.config.store)
        self.features = stores.Store(folder / "store")
        self.train_part = datadir.read(corpus / "fold1" / "train")
        self.test_part = datadir.read(corpus / "fold1" / "test")

    def configured(self, *more: str) -> Config:
        return configs.load(settings=[*self.settings, *more])

    def train(self, name: str, *more: str, data: list[Utterance] | None = None) -> Path:
        exp = self.folder / name / "fold1"
        trainer.train(data or self.train_part, self.features, self.configured(*more), exp, 1, CPU)
        return exp

    def captions(self, exp: Path) -> bytes:
        model, _ = checkpoint.load_model(exp, self.features, CPU)
        decode(model, self.features, self.test_part, exp / "decode_test" / "hyp.jsonl")
        return (exp / "decode_test" / "hyp.jsonl").read_bytes()


@pytest.fixture
def lab(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> Lab:
    return Lab(corpus, tmp_path / "lab", tiny_settings)


def weights(exp: Path) -> dict[str, str]:
    tensors = {**load_file(exp / "checkpoint" / "model.safetensors"), **load_file(exp / "checkpoint" / "lora" / "adapter_model.safetensors")}
    return {name: hashlib.sha256(t.numpy().tobytes()).hexdigest() for name, t in tensors.items()}


@pytest.mark.parametrize("strategy", ["alternating", "two-stage", "one-stage"])
def test_each_strategy_trains_with_one_key(lab: Lab, strategy: str) -> None:
    exp = lab.train(strategy, f"training.strategy={strategy}")
    log = read_jsonl(exp / "train.jsonl")
    epochs = {"one-stage": {"joint": 2}}.get(strategy, {"content": 1, "descriptor": 2})
    assert {phase: len({r["epoch"] for r in log if r["phase"] == phase}) for phase in {r["phase"] for r in log}} == epochs
    for row in log:
        assert row["vib_loss"] == pytest.approx(row["llm_loss"] + 1e-2 * row["kl_loss"], abs=1e-5)
    assert checkpoint.verify(checkpoint.find(exp) or exp).finished and not (exp / "checkpoint" / "optimizer.safetensors").exists()


def test_frozen_parts_do_not_move_by_one_bit(lab: Lab, tiny_llm: Path, tiny_encoder: Path) -> None:
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for folder in (tiny_llm, tiny_encoder) for p in folder.iterdir()}
    start = lab.train("start", "training.content.epochs=0", "training.descriptor.epochs=0")
    for phase, frozen in (("content", "descriptor."), ("descriptor", "content.")):
        other = {"content": "descriptor", "descriptor": "content"}[phase]
        exp = lab.train(phase, f"training.{phase}.epochs=1", f"training.{other}.epochs=0")
        first, last = weights(start), weights(exp)
        assert first.keys() == last.keys()
        moved = {name for name in first if first[name] != last[name]}
        assert not [name for name in moved if name.startswith(frozen)]
        assert all(name in moved for name in first if name.startswith(f"{phase}.adapter")) and any("lora_B" in name for name in moved)
    model, _ = checkpoint.load_model(exp, lab.features, CPU)
    from transformers import AutoModelForCausalLM

    fresh = AutoModelForCausalLM.from_pretrained(tiny_llm).state_dict()
    inside = {name.replace(".base_layer", ""): tensor for name, tensor in model.llm.get_base_model().state_dict().items() if "lora_" not in name}
    assert fresh.keys() == inside.keys() and all(torch.equal(fresh[name], inside[name]) for name in fresh)
    assert before == {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in before}


def test_lora_opens_with_peft(lab: Lab, tiny_llm: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    exp = lab.train("peft")
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (exp / "checkpoint").rglob("*.safetensors"))  # clusters are shared
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_llm), exp / "checkpoint" / "lora")
    ours, _ = checkpoint.load_model(exp, lab.features, CPU)
    assert json.loads((exp / "checkpoint" / "lora" / "adapter_config.json").read_text())["base_model_name_or_path"] == lab.config.llm.model
    ids = torch.arange(10)[None]
    torch.testing.assert_close(theirs(ids).logits, ours.llm.eval()(ids).logits)


def test_stopping_after_any_block_changes_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_killed_at_any_moment_it_ends_the_same(lab: Lab) -> None:
    """The real program, SIGKILLed three times in training and decoding."""
    settings = [s for setting in [*lab.settings, "training.descriptor.epochs=8"] for s in ("--set", setting)]
    serdesc = [sys.executable, "-m", "serdesc.cli"]
    train = [*serdesc, "train", str(lab.corpus / "fold1" / "train"), str(lab.folder / "store")]

    def run(command: list[str], kill_after: float | None = None) -> None:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            _, error = process.communicate(timeout=kill_after)
            assert process.returncode == 0, error
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()

    def decode_command(exp: Path) -> list[str]:
        return [*serdesc, "decode", str(lab.corpus / "fold1" / "test"), str(lab.folder / "store"), str(exp)]

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
    assert (whole / "decode_test" / "hyp.jsonl").read_bytes() == (killed / "decode_test" / "hyp.jsonl").read_bytes()


def test_decoding_goes_on_behind_a_cut_off_line(lab: Lab) -> None:
    exp = lab.train("exp")
    whole = lab.captions(exp)
    hyp = exp / "decode_test" / "hyp.jsonl"
    lines = whole.splitlines(keepends=True)
    hyp.rename(exp / "decode_test" / "kept")
    (exp / "decode_test" / ".hyp.jsonl.partial").write_bytes(b"".join(lines[:3]) + lines[3][:20])
    assert lab.captions(exp) == whole
    assert not (exp / "decode_test" / ".hyp.jsonl.partial").exists()


def test_accumulation_changes_nothing_but_rounding(lab: Lab) -> None:
    for loss in ("mean", "eq4"):
        logs = [
            read_jsonl(
                lab.train(f"{loss}{n}", f"training.gradient_accumulation_steps={n}", f"training.loss={loss}", "llm.lora.dropout=0") / "train.jsonl"
            )
            for n in (1, 3)
        ]
        for a, b in zip(*logs):
            assert a["vib_loss"] == pytest.approx(b["vib_loss"], rel=1e-4) and a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


def test_losses_are_normalised_as_they_are_named(lab: Lab) -> None:
    mean, eq4 = (read_jsonl(lab.train(loss, f"training.loss={loss}", "llm.lora.dropout=0") / "train.jsonl")[0] for loss in ("mean", "eq4"))
    utterances = {u.utt_id: u for u in lab.train_part}
    tokens = [len(u.text or "") + 1 for u in utterances.values()]  # a byte tokenizer; the end of turn
    assert 0.999 * min(tokens) <= eq4["llm_loss"] / mean["llm_loss"] <= 1.001 * max(tokens)
    frames = [x.shape[1] for x in lab.features.load(lab.train_part)]
    assert 0.999 * min(frames) <= eq4["kl_loss"] / mean["kl_loss"] <= 1.001 * max(frames)


@pytest.mark.parametrize("loss", ["mean", "eq4"])
def test_one_stage_adds_both_branches_kl(lab: Lab, loss: str) -> None:
    def first(name: str, *more: str) -> float:
        settings = (f"training.loss={loss}", "training.batch_size=64", "llm.lora.dropout=0", *more)
        return float(read_jsonl(lab.train(f"{name}-{loss}", *settings) / "train.jsonl")[0]["kl_loss"])

    alone = [first(f"{a}", f"training.{a}.epochs=1", f"training.{b}.epochs=0") for a, b in (("content", "descriptor"), ("descriptor", "content"))]
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
    with exclusive_lock(exp), pytest.raises(UserError, match=r"begun/fold1: process \d+ on .* is writing to it"):
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
    with pytest.raises(UserError, match=f"trained to block {state['blocks']} of {state['blocks'] + 2}: finish it with `serdesc train` first"):
        lab.train("half", f"training.init={exp}")


def test_answers_are_not_those_of_another_model_or_of_other_settings(lab: Lab, tmp_path: Path) -> None:
    first, second = lab.train("one"), lab.train("two", "seed=2")
    out = tmp_path / "zs" / "decode_test" / "hyp.jsonl"

    def said(exp: Path, *more: str) -> tuple[int, str]:
        options = [part for setting in more for part in ("--set", setting)]
        done = CliRunner().invoke(app, ["decode", str(lab.corpus / "fold1/test"), str(lab.folder / "store"), str(exp), "--out", str(out), *options])
        return done.exit_code, done.output

    assert said(first)[0] == 0
    answers = out.read_bytes()
    assert said(first, "decoding.batch_size=1") == (0, f"{out} exists already; remove it to decode again\n")
    assert said(second)[0] == 2 and "was decoded with another model: remove it" in said(second)[1]
    assert "with another settings" in said(first, "decoding.max_new_tokens=3")[1]
    out.rename(out.with_name(".hyp.jsonl.partial"))
    assert said(second)[0] == 2 and said(first)[0] == 0 and out.read_bytes() == answers


def test_two_processes_take_the_steps_of_one(lab: Lab) -> None:
    settings = [s for setting in [*lab.settings, "llm.lora.dropout=0"] for s in ("--set", setting)]
    single = lab.train("single", "llm.lora.dropout=0")
    pair = lab.folder / "pair" / "fold1"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(20_000 + os.getpid() % 20_000),
        "-m",
        "serdesc.cli",
    ]
    command += ["train", str(lab.corpus / "fold1" / "train"), str(lab.folder / "store"), str(pair), *settings]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for a, b in zip(read_jsonl(single / "train.jsonl"), read_jsonl(pair / "train.jsonl"), strict=True):
        assert a["vib_loss"] == pytest.approx(b["vib_loss"], rel=1e-4) and a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


def test_rewording_says_the_same_fields_in_other_words(lab: Lab) -> None:
    fixed, fresh = (examples(lab.train_part, lab.configured(f"training.paraphrase_targets={flag}"))[0] for flag in ("false", "true"))
    for example in fixed:
        assert {example.target("descriptor", epoch) for epoch in range(9)} == {example.utterance.caption}
    for example in fresh:
        targets = [example.target("descriptor", epoch) for epoch in range(9)]
        assert len(set(targets)) > 3 and example.target("descriptor", 2) == targets[2]
        assert all(reader.read(target) == example.utterance.labels for target in targets)
        assert example.target("content", 5) == example.transcript


def test_init_starts_from_another_experiment(lab: Lab) -> None:
    first = lab.train("first")
    again = lab.train("again", f"training.init={first}", "training.content.epochs=0", "training.descriptor.epochs=0")
    assert weights(first) == weights(again)


# ---- refusals ----


def test_a_damaged_checkpoint_is_refused(lab: Lab) -> None:
    exp = lab.train("exp")
    path = exp / "checkpoint" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match="model.safetensors: missing, cut off or changed"):
        checkpoint.load_model(exp, lab.features, CPU)


def test_another_configuration_or_model_is_refused(lab: Lab) -> None:
    exp = lab.train("exp")
    with pytest.raises(UserError, match="another configuration.*--tag"):
        lab.train("exp", "training.beta=1")
    other = lab.configured("branch.latent=6", f"training.init={exp}")
    with pytest.raises(UserError, match="made for another model: content.adapter.layers.0.weight"):
        trainer.train(lab.train_part, lab.features, other, lab.folder / "other" / "fold1", 1, CPU)


def test_features_of_another_encoder_are_refused(lab: Lab) -> None:
    exp = lab.train("exp")
    encoder = Encoder.load(lab.config.encoder, CPU)
    checkpoint.load_model(exp, stores.Live(encoder), CPU)  # the store's own encoder, live
    torch.nn.init.normal_(encoder.model.encoder.layers[0].attention.k_proj.weight)
    with pytest.raises(UserError, match="trained on features of .*weights"):
        checkpoint.load_model(exp, stores.Live(encoder), CPU)


def test_an_unfinished_experiment_is_not_decoded(lab: Lab) -> None:
    exp = lab.folder / "unfinished"
    configs.dump(lab.config, exp / "config.yaml")
    with pytest.raises(UserError, match="serdesc train"):
        checkpoint.load_model(exp, lab.features, CPU)


def test_long_utterances_are_skipped_and_listed(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    exp = lab.train("short", "training.max_seconds=0.6")
    skipped = read_jsonl(exp / "skipped.jsonl")
    assert {row["utt_id"] for row in skipped} == {u.utt_id for u in lab.train_part if (u.seconds or 0) > 0.6} and skipped
    assert "are skipped" in capsys.readouterr().out
    with pytest.raises(UserError, match="no training data"):
        lab.train("none", "training.max_seconds=0.1")


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


def test_a_gradient_that_is_no_number_stops_with_the_place(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    load = lab.features.load
    monkeypatch.setattr(lab.features, "load", lambda utts: [x * float("nan") for x in load(utts)])
    with pytest.raises(FailedError, match="content epoch 1, step 1"):
        lab.train("nan")
