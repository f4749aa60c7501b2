"""Fine-tuning an experiment, from the start or resumed from its checkpoint."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import torch
from torch import Tensor

from serdesc import config as configs
from serdesc import manifest, models, runtime
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.data.folds import check_labels, fold_of
from serdesc.errors import Checkpointed, FailedError
from serdesc.features import batches
from serdesc.features.live import Features
from serdesc.features.store import open_features
from serdesc.files import exclusive_lock, write_json
from serdesc.models import Model, checkpoint, dropout
from serdesc.models import llm as llms
from serdesc.models.bottleneck import latent_use
from serdesc.models.describer import Loss, Phase
from serdesc.models.speech import noise
from serdesc.progress import progress
from serdesc.runtime import all_reduce_sum, barrier, in_any_process, init_distributed, seed
from serdesc.training import examples, phases, resume, sharding, word_targets
from serdesc.training.examples import Example
from serdesc.training.log import Log
from serdesc.training.phases import Block, PhaseEpoch, learning_rate, phases_of, schedule
from serdesc.training.pretrain import pretrain
from serdesc.training.stopping import Pace, StopRequest
from serdesc.training.unusable import Unusable


class BatchLoss(NamedTuple):
    """Losses of a batch, and how the branches that the phase trains use their latents."""

    losses: Tensor  # LLM loss and KL (2,)
    latents: dict[str, Tensor]  # latent_use of each branch


class Trainer:
    """Trains a model by the configured schedule; one optimiser per phase."""

    def __init__(
        self,
        model: Model,
        features: Features,
        config: Config,
        exp: Path,
        fold: int,
        stop: StopRequest | None = None,
        changed: resume.Changes | None = None,
    ) -> None:
        """stop: what may end training early. changed: as resume.check_config returns it."""
        self.stop = stop or StopRequest()
        self.changed = changed or {}
        self.model, self.features, self.config = model, features, config
        self.exp, self.fold = exp, fold
        self.rank, self.world = init_distributed(model.device)
        self.phases = phases_of(config.training)
        self.schedule = schedule(config.training)
        self.optimizers: checkpoint.Optimizers = {}
        self.parameters: dict[Phase, list[torch.nn.Parameter]] = {}
        self.phase: Phase | None = None  # that the model is set to
        self.sharded = sharding.is_sharded(model, config)
        self.masks = config.training.dropout_masks
        # Like lengths in a micro-batch: less padding. Dropout masks of the batch keep their order.
        divided = self.world * config.training.gradient_accumulation_steps > 1
        self.by_length = divided and (self.masks == "utterance" or not config.llm.lora.dropout)
        if self.masks == "utterance" and model.llm is not None:
            dropout.use_utterance_masks(model.llm)
        self.noise = config.branch.noise and config.training.branches  # else z = mu, as in decoding
        self.log: Log | None = None
        for phase in self.phases:
            self.parameters[phase] = [parameter for _, parameter in model.trained(phase)]
            self.optimizers[phase] = torch.optim.AdamW(
                self.parameters[phase],
                lr=0.0,
                betas=(0.9, 0.999),
                weight_decay=config.training.weight_decay,
                fused=model.device.type == "cuda",
            )

    def run(self, data: Sequence[Example]) -> None:
        """Train the remaining steps; writes a row of train.jsonl after each, and checkpoints.

        Raises Checkpointed if it was asked to stop before the end.
        """
        self.utterances = [example.utterance for example in data]
        self.unusable = Unusable(self.exp, len(data))
        self.inputs = f"{datadir.identity(self.utterances)} {self.features.precision}"
        self.pace = Pace(self.config.training, self.stop)
        done, taken = self._resume(data)
        if self.config.training.targets == "words" and done < len(self.schedule):
            quiet = self.rank > 0
            data = word_targets.of_examples(self.model, self.features, data, self.unusable, quiet)
        self.by_id = {example.utterance.utt_id: example for example in data}
        self.trained_on = examples.utterances_of_phases(data, self.schedule)
        size = self.config.training.batch_size
        self.epoch_steps = {phase: -(-len(of) // size) for phase, of in self.trained_on.items()}
        if not self.schedule:  # no epochs: the checkpoint is the initial model
            self._save(0, 0)
        steps = sum(len(self._steps(block)) for block in self.schedule[done:]) - taken
        if not steps:
            return
        with self._open_log(done, taken) as self.log:
            with progress(f"fold {self.fold}", steps, "steps", self.rank > 0) as advance:
                for number in range(done, len(self.schedule)):
                    self._train_block(number, taken, advance)
                    taken = 0

    def _open_log(self, done: int, taken: int) -> AbstractContextManager[Log | None]:
        if self.rank > 0:
            return nullcontext()
        events = self.config.training.tensorboard
        return closing(Log(self.exp / "train.jsonl", done, taken, events))

    def _save(self, done: int, taken: int) -> None:
        """Write a checkpoint after `done` blocks and `taken` steps of the next."""
        started = time.monotonic()
        if self.rank == 0:
            if self.log is not None:
                self.log.synchronise()
            state = checkpoint.State(
                done,
                len(self.schedule),
                self.features.made_by,
                self.inputs,
                taken,
                resume.noted_values(self.config),
            )
            checkpoint.save(self.exp, self.model, self.optimizers, state)
        barrier()
        self.pace.after_save(started)

    def _resume(self, data: Sequence[Example]) -> tuple[int, int]:
        """Load the experiment's checkpoint, or start; returns the number of finished blocks, and
        of steps taken in the next.
        """
        state = resume.load_checkpoint(
            self.exp, self.model, self.features, self.optimizers, len(self.schedule), self.inputs
        )
        if state is None:
            self.changed = {}
            if self.config.training.init:
                resume.load_init(self.model, self.features, self.config.training.init)
            if self.config.training.pretrain.epochs:
                of = (self.model, self.features, data, self.config, self.unusable, self.fold)
                pretrain(*of, (self.rank, self.world), self.stop)
                self._save(0, 0)
            return 0, 0
        if state.settings:
            self.changed = resume.changes(state.settings, self.config)
        return state.done, state.steps

    def _train_block(self, number: int, taken: int, advance: Callable[[int], None]) -> None:
        """Train the steps of a block after the first `taken`; its epochs alternate by step."""
        block = self.schedule[number]
        order = {}
        for current in block:
            order[current.phase] = batches.epoch_batches(
                self.trained_on[current.phase],
                self.config.training.batch_size,
                self.config.seed,
                self.fold,
                current.phase,
                current.epoch,
            )
        steps = self._steps(block)
        for position in range(taken, len(steps)):
            current, step = steps[position]
            batch = [self.by_id[utt.utt_id] for utt in order[current.phase][step]]
            row = {"block": number, **self._train_step(current, step, batch)}
            if self.changed:
                row["changed"], self.changed = self.changed, {}
            if self.log is not None:
                self.log.append(row)
            advance(1)
            self._after_step(number, position + 1, len(steps))

    def _steps(self, block: Block) -> list[tuple[PhaseEpoch, int]]:
        """The steps of a block in order, each as its epoch and its number in it."""
        counts = [self.epoch_steps[current.phase] for current in block]
        return [
            (current, step)
            for step in range(max(counts))
            for current, count in zip(block, counts)
            if step < count
        ]

    def _after_step(self, number: int, taken: int, last: int) -> None:
        """Write a checkpoint where one is due. Raises Checkpointed if training is to stop there."""
        save, stop = in_any_process(self.pace.after_step(taken), self.model.device)
        done = number
        if taken == last:
            done, taken = number + 1, 0
        if save or stop or not taken:
            self._save(done, taken)
        if stop and done < len(self.schedule):
            reason = self.stop.received or "the time limit"
            raise Checkpointed(
                f"{self.exp}: stopped by {reason} after block {done}, step {taken}, with a"
                " checkpoint. The same command goes on from there"
            )

    def _train_step(self, current: PhaseEpoch, step: int, batch: list[Example]) -> dict[str, Any]:
        """One optimiser step on a batch; returns its row of train.jsonl."""
        phase, epoch = current.phase, current.epoch
        optimizer, phase_config = self.optimizers[phase], self.phases[phase]
        if phase != self.phase:
            self.model.train_phase(phase)
            self.phase = phase
        optimizer.zero_grad()
        done = self._backward(current, step, batch)
        max_norm = self.config.training.max_grad_norm
        gradient_norm = torch.nn.utils.clip_grad_norm_(self.parameters[phase], max_norm)
        # Read at once: the device is waited for one time in a step.
        read = torch.cat([done.losses, gradient_norm[None], *done.latents.values()]).tolist()
        llm_loss, kl_loss, norm, *uses = read
        latents = {}
        for name, kl, active in zip(done.latents, uses[::2], uses[1::2]):
            latents[name] = {"kl_per_dimension": round(kl, 6), "active_dimensions": int(active)}
        if not norm < float("inf"):
            key = f"training.{'descriptor' if phase == 'joint' else phase}.lr"
            raise FailedError(
                f"{self.exp}: the gradient norm is {norm} in {phase} epoch {epoch + 1}, step"
                f" {step + 1} (loss {llm_loss:.3f}, KL {kl_loss:.3f}). The last checkpoint is kept."
                f" Lower {key} ({phase_config.lr}), or check the features: serdesc"
                " check STORE"
            )
        in_epoch = self.epoch_steps[phase]
        lr = learning_rate(phase_config, epoch * in_epoch + step, phase_config.epochs * in_epoch)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        row: dict[str, Any] = {
            "phase": phase,
            "epoch": epoch,
            "step": step,
            "llm_loss": round(llm_loss, 6),
            "kl_loss": round(kl_loss, 6),
            "vib_loss": round(llm_loss + self.config.training.beta * kl_loss, 6),
            "grad_norm": round(norm, 6),
            "lr": lr,
            "latents": latents,
        }
        if step == in_epoch - 1:
            row["layer_weights"] = {
                name: [round(weight, 4) for weight in weights.tolist()]
                for name, weights in self.model.weights_of_layers(phase).items()
            }
        return row

    def _backward(self, current: PhaseEpoch, step: int, batch: list[Example]) -> BatchLoss:
        """Gradients of Eq. (2), summed over micro-batches and devices; returns the losses.

        They are normalised by the counts of the whole batch, so that accumulation and the number of
        devices change no result.
        """
        training = self.config.training
        parts, drawn = training.gradient_accumulation_steps, self._draw_speeds(current, batch)
        if self.by_length:
            drawn.sort(key=lambda example: example.utterance.seconds or 0.0)
        local = drawn[self.rank :: self.world]
        local, features = self.unusable.load(self.features, local)
        counts = self._counts(current, local, features)
        losses = torch.zeros(2, device=self.model.device)  # LLM loss and KL
        sums = self._no_latents(current.phase)
        torch.manual_seed(self._seed(current.phase, current.epoch, step, self.rank))  # of dropout
        bounds = batches.micro_batches(len(local), parts, self.by_length)
        for micro in bounds:
            loss = self._loss(current, local[micro], features[micro])
            llm_loss, kl_loss = loss.llm / counts[0], loss.kl / counts[1]
            vib_loss = llm_loss + training.beta * kl_loss  # Eq. (2)
            vib_loss.backward()  # type: ignore[no-untyped-call]
            losses += torch.stack([llm_loss.detach(), kl_loss.detach()])
            for name, part in loss.latents.items():
                sums[name] += part
        if self.sharded:  # the others may have one more utterance
            for _ in range(len(bounds), min(parts, -(-len(batch) // self.world))):
                sharding.take_part(self.model)
        gradients = []
        for parameter in self.parameters[current.phase]:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        all_reduce_sum([losses, *sums.values(), *gradients])
        latents = {name: latent_use(total / counts[2]) for name, total in sums.items()}
        return BatchLoss(losses, latents)

    def _no_latents(self, phase: Phase) -> dict[str, Tensor]:
        shape = (3, self.config.branch.latent)
        names = self.model.sampled_branches(phase)
        return {name: torch.zeros(shape, device=self.model.device) for name in names}

    def _seed(self, *what: int | str) -> int:
        return seed(self.config.seed, self.fold, *what)

    def _draw_speeds(self, current: PhaseEpoch, batch: list[Example]) -> list[Example]:
        """Each example at one of its speeds, drawn anew in every epoch."""
        order = (current.phase, current.epoch, "heard")
        return [example.at_speed(self._seed(*order, example.utterance.utt_id)) for example in batch]

    def _loss(self, current: PhaseEpoch, part: list[Example], features: list[Tensor]) -> Loss:
        """Losses of a micro-batch; the noise of each utterance has a seed of its own."""
        phase, epoch = current.phase, current.epoch
        x, frames = batches.pad(features)
        eps: dict[str, Sequence[Tensor]] = {}
        noisy = self.model.sampled_branches(phase) if self.noise else ()
        for name in noisy:
            seeds = [self._seed(phase, epoch, name, example.utterance.utt_id) for example in part]
            eps[name] = noise(self.config.branch.latent, frames.tolist(), seeds)
        targets = [example.target(phase, epoch) for example in part]
        if self.masks == "utterance":
            ids = [example.utterance.utt_id for example in part]
            dropout.set_seeds(
                self.model, [self._seed(phase, epoch, "dropout", utt_id) for utt_id in ids]
            )
        loss: Loss = self.model(x, frames, targets, phase, eps)
        return loss

    def _counts(self, current: PhaseEpoch, local: list[Example], features: list[Tensor]) -> Tensor:
        """Divisors of LLM loss and KL, and the number of frames (3,), over all devices.

        loss mean: label tokens and frames; loss eq4: utterances.
        """
        frames = float(sum(x.shape[1] for x in features))
        divisors = [float(len(local))] * 2
        if self.config.training.loss == "mean":
            targets = [example.target(current.phase, current.epoch) for example in local]
            divisors = [sum(self.model.label_count(target) for target in targets), frames]
        counts = torch.tensor([*divisors, frames], dtype=torch.float32, device=self.model.device)
        all_reduce_sum([counts])
        return counts.clamp(min=1.0)  # a batch without usable audio has no gradient


def train_experiment(
    data: Path,
    store: str,
    exp: Path,
    config: Config,
    allow_cpu: bool = False,
    stop: StopRequest | None = None,
) -> int:
    """Train on a fold's training part, or resume; returns the number of utterances without
    features.

    allow_cpu: allow an LLM of more than 1e9 parameters on a CPU. stop: what may end training early.
    """
    check_labels(data, config)
    device = runtime.start(config)
    if config.model != "ssl_baseline" and not allow_cpu:
        llms.refuse_large_on_cpu(config.llm, device)
    features = open_features(store, config, device)
    utterances = datadir.read(data)
    usable = [utt for utt in utterances if utt.utt_id not in features.rejected]
    train(usable, features, config, exp, fold_of(data), device, stop)
    return len(utterances) - len(usable)


def train(
    data: Sequence[Utterance],
    features: Features,
    config: Config,
    exp: Path,
    fold: int,
    device: torch.device,
    stop: StopRequest | None = None,
) -> None:
    """Train an experiment to its end; writes the resolved configuration before the first step.

    Raises UserError if `exp` has a checkpoint of another configuration, or is locked; Checkpointed
    if `stop` ended it.
    """
    first = init_distributed(device)[0] == 0  # this process alone repairs and writes
    with exclusive_lock(exp) if first else nullcontext():
        if first:
            resume.repair(exp, config)
        barrier()
        changed = resume.check_config(exp, config)
        word_targets.check(config)
        usable, skipped = examples.usable_examples(data, config)
        model = models.initialise(config, features, device, sharding.shard)
        barrier()  # all have read the configuration
        if first:
            configs.dump(resume.to_record(exp, config), exp / "config.yaml")
            write_json(exp / "env.json", runtime.environment())
            examples.list_skipped(skipped, config.training.max_seconds, exp)
            if model.llm is not None:
                examples.count_tokens(usable, model.label_count, exp)
                phases.note_untrained_lora(config.training)
        Trainer(model, features, config, exp, fold, stop, changed).run(usable)
        if first:
            manifest.record(exp, *manifest.OF_TRAINING)
