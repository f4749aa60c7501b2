"""Fine-tuning an experiment from its configuration, from the start or from where it stopped."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Callable, Sequence

import torch
from torch import Tensor

from serdesc import config as configs
from serdesc import models
from serdesc.builtin import resolve
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.features import batches
from serdesc.features.store import Features
from serdesc.files import exclusive_lock, read_jsonl, write_json, write_jsonl
from serdesc.models import Model, checkpoint
from serdesc.models.describer import Loss, Phase, noise
from serdesc.progress import progress
from serdesc.runtime import all_reduce_sum, barrier, environment, init_distributed, seed
from serdesc.training.examples import Example, examples
from serdesc.training.phases import Block, PhaseEpoch, learning_rate, phases_of, schedule


class Trainer:
    def __init__(
        self, model: Model, features: Features, config: Config, exp: Path, fold: int
    ) -> None:
        self.model, self.features, self.config, self.exp, self.fold = (
            model,
            features,
            config,
            exp,
            fold,
        )
        training = config.training
        self.rank, self.world = init_distributed()
        self.phases = phases_of(training)
        self.schedule = schedule(training)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            phase: torch.optim.AdamW(
                [p for _, p in model.trained(phase)],
                lr=0.0,
                betas=(0.9, 0.999),
                weight_decay=training.weight_decay,
            )
            for phase in self.phases
        }

    def run(self, data: Sequence[Example]) -> None:
        """Train what is left of the plan; a checkpoint after every block."""
        self.inputs = (
            f"{datadir.identity([example.utterance for example in data])} {self.features.precision}"
        )
        done = self._resume()
        self.by_id = {example.utterance.utt_id: example for example in data}
        self.utterances = [example.utterance for example in data]
        self.steps_per_epoch = -(-len(data) // self.config.training.batch_size)
        log = [row for row in _log(self.exp / "train.jsonl") if row["block"] < done]
        if not self.schedule and self.rank == 0:  # no epochs: the experiment is what it starts from
            self._save(0)
        left = sum(len(block) for block in self.schedule[done:]) * self.steps_per_epoch
        with progress(f"fold {self.fold}", left, "steps") as advance:
            for number in range(done, len(self.schedule)):
                log += [
                    {"block": number, **row} for row in self._block(self.schedule[number], advance)
                ]
                if self.rank == 0:
                    write_jsonl(self.exp / "train.jsonl", log)
                    self._save(number + 1)
                barrier()

    def _save(self, done: int) -> None:
        checkpoint.save(
            self.exp,
            self.model,
            self.optimizers,
            checkpoint.State(done, len(self.schedule), self.features.made_by, self.inputs),
        )

    def _resume(self) -> int:
        """Blocks already done; weights and moments are put in place."""
        found = checkpoint.find(self.exp)
        if found is not None:
            state = checkpoint.load(found, self.model, self.features.made_by, self.optimizers)
            if state.blocks != len(self.schedule):
                raise UserError(
                    f"{found}: belongs to a plan of {state.blocks} blocks, this one has {len(self.schedule)}: take another --tag"
                )
            if state.inputs and state.inputs != self.inputs:
                what = (
                    "features in another precision"
                    if state.inputs.split()[0] == self.inputs.split()[0]
                    else "other data, or other labels or captions"
                )
                raise UserError(
                    f"{found}: was trained on {what}. Take another --tag, or remove {self.exp} to begin again"
                )
            return state.done
        if self.config.training.init:
            init = Path(resolve(self.config.training.init))
            start = checkpoint.find(init)
            if start is None:
                raise UserError(f"training.init: no checkpoint in {init}")
            if not (state := checkpoint.state(start)).finished:
                raise UserError(
                    f"training.init: {init} is trained to block {state.done} of {state.blocks}: let `serdesc train` finish it first"
                )
            checkpoint.load(start, self.model, self.features.made_by)
        return 0

    def _block(self, block: Block, advance: Callable[[int], None]) -> list[dict[str, Any]]:
        rows = []
        order = {
            phase_epoch.phase: batches.epoch_batches(
                self.utterances,
                self.config.training.batch_size,
                self.config.seed,
                self.fold,
                phase_epoch.phase,
                phase_epoch.epoch,
            )
            for phase_epoch in block
        }
        for index in range(self.steps_per_epoch):
            for phase_epoch in block:
                rows.append(
                    self._step(
                        phase_epoch,
                        index,
                        [self.by_id[utt.utt_id] for utt in order[phase_epoch.phase][index]],
                    )
                )
                advance(1)
        return rows

    def _step(self, phase_epoch: PhaseEpoch, index: int, batch: list[Example]) -> dict[str, Any]:
        """One optimiser step. Losses of its parts, on all devices, are normalised by the counts of the whole batch."""
        config, phase = self.config.training, phase_epoch.phase
        step = phase_epoch.epoch * self.steps_per_epoch + index
        lr = learning_rate(
            self.phases[phase], step, self.phases[phase].epochs * self.steps_per_epoch
        )
        optimizer = self.optimizers[phase]
        self.model.train_phase(phase)
        drawn = [
            example.at_speed(
                seed(
                    self.config.seed,
                    self.fold,
                    phase,
                    phase_epoch.epoch,
                    "heard",
                    example.utterance.utt_id,
                )
            )
            for example in batch
        ]
        own = drawn[self.rank :: self.world]
        features = self.features.load([example.utterance for example in own])
        counts = self._counts(own, features, phase_epoch)
        optimizer.zero_grad()
        losses = torch.zeros(2, device=self.model.device)  # LLM loss and KL
        torch.manual_seed(
            seed(self.config.seed, self.fold, phase, phase_epoch.epoch, index, self.rank)
        )  # LoRA's dropout
        for i in range(min(config.gradient_accumulation_steps, len(own))):
            loss = self._loss(
                own[i :: config.gradient_accumulation_steps],
                features[i :: config.gradient_accumulation_steps],
                phase,
                phase_epoch.epoch,
            )
            llm_part, kl_part = loss.llm / counts[0], loss.kl / counts[1]
            vib_loss = llm_part + config.beta * kl_part  # Eq. (2)
            vib_loss.backward()  # type: ignore[no-untyped-call]
            losses += torch.stack([llm_part.detach(), kl_part.detach()])
        parameters = [p for _, p in self.model.trained(phase)]
        for parameter in parameters:
            parameter.grad = (
                torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            )
        all_reduce_sum([losses, *(p.grad for p in parameters if p.grad is not None)])
        llm_loss, kl_loss = losses.tolist()
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm))
        if not norm < float("inf"):
            raise FailedError(
                f"{self.exp}: the gradient is {norm} in {phase} epoch {phase_epoch.epoch + 1}, step {index + 1} (loss {llm_loss:.3f}, KL {kl_loss:.3f}). "
                f"The last checkpoint is kept. Lower training.{phase}.lr ({self.phases[phase].lr}) or look for damaged features."
            )
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        return {
            "phase": phase, "epoch": phase_epoch.epoch, "step": index, "llm_loss": round(llm_loss, 6), "kl_loss": round(kl_loss, 6),
            "vib_loss": round(llm_loss + config.beta * kl_loss, 6), "grad_norm": round(norm, 6), "lr": lr,
        }  # fmt: skip

    def _loss(self, part: list[Example], features: list[Tensor], phase: Phase, epoch: int) -> Loss:
        x, frames = batches.pad(features)
        eps: dict[str, Sequence[Tensor]] = {
            name: noise(
                self.config.branch.latent,
                frames.tolist(),
                [
                    seed(self.config.seed, self.fold, phase, epoch, name, example.utterance.utt_id)
                    for example in part
                ],
            )
            for name in self.model.sampled_branches(phase)
        }
        loss: Loss = self.model(
            x, frames, [example.target(phase, epoch) for example in part], phase, eps
        )
        return loss

    def _counts(
        self, own: list[Example], features: list[Tensor], phase_epoch: PhaseEpoch
    ) -> Tensor:
        """What the LLM loss and the KL are divided by: label tokens and frames, or utterances; over all devices."""
        counts = torch.tensor([float(len(own))] * 2, device=self.model.device)
        if self.config.training.loss == "mean":
            counts[0] = sum(
                self.model.label_count(example.target(phase_epoch.phase, phase_epoch.epoch))
                for example in own
            )
            counts[1] = sum(x.shape[1] for x in features)
        all_reduce_sum([counts])
        return counts


def _log(path: Path) -> list[dict[str, Any]]:
    """Rows of train.jsonl; version 0.1 wrote the learning rate as `rate`."""
    rows = read_jsonl(path) if path.exists() else []
    return [{"lr" if key == "rate" else key: value for key, value in row.items()} for row in rows]


def train(
    data: Sequence[Utterance],
    features: Features,
    config: Config,
    exp: Path,
    fold: int,
    device: torch.device,
) -> None:
    """Train an experiment to its end. The resolved configuration is on disk before the first step."""
    with exclusive_lock(exp) if init_distributed()[0] == 0 else nullcontext():
        _train(data, features, config, exp, fold, device)


def _train(
    data: Sequence[Utterance],
    features: Features,
    config: Config,
    exp: Path,
    fold: int,
    device: torch.device,
) -> None:
    saved = exp / "config.yaml"
    if checkpoint.find(exp) is not None and configs.load(saved) != config:
        raise UserError(
            f"{saved}: the experiment was begun with another configuration. Take another --tag for the new one, or remove {exp} to begin again."
        )
    configs.dump(config, saved)
    write_json(exp / "env.json", environment())
    ready, skipped = examples(data, config)
    if not ready:
        raise UserError(
            f"nothing to train on: all {len(skipped)} utterances are longer than training.max_seconds = {config.training.max_seconds}"
        )
    if skipped:
        rows = [{"utt_id": utt.utt_id, "seconds": utt.seconds} for utt in skipped]
        write_jsonl(exp / "skipped.jsonl", rows)
        print(
            f"{len(skipped)} training utterances are longer than {config.training.max_seconds} s and are skipped: {exp / 'skipped.jsonl'}"
        )
    Trainer(models.initialise(config, features, device), features, config, exp, fold).run(ready)
