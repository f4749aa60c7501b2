"""Fine-tuning an experiment, from the start or resumed from its checkpoint."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import torch
from torch import Tensor

from serdesc import config as configs
from serdesc import models, runtime
from serdesc.builtin import resolve
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.data.folds import check_labels, fold_of
from serdesc.errors import FailedError, UserError
from serdesc.features import batches
from serdesc.features.live import Features
from serdesc.features.store import open_features
from serdesc.files import exclusive_lock, write_json, write_jsonl
from serdesc.models import Model, checkpoint
from serdesc.models import llm as llms
from serdesc.models.describer import Loss, Phase, noise
from serdesc.progress import progress
from serdesc.runtime import all_reduce_sum, barrier, environment, init_distributed, seed
from serdesc.training.examples import Example, count_tokens, examples
from serdesc.training.log import read_log
from serdesc.training.phases import Block, PhaseEpoch, learning_rate, phases_of, schedule
from serdesc.training.unusable import Unusable

# A latent dimension is active if its mean varies over the frames with more than this variance
# (Burda et al., "Importance weighted autoencoders", https://arxiv.org/abs/1509.00519).
ACTIVE_VARIANCE = 0.01


class BatchLoss(NamedTuple):
    """Losses of a batch, and how the branches that the phase trains use their latents."""

    losses: Tensor  # LLM loss and KL (2,)
    latents: dict[str, Tensor]  # latent_use of each branch


def latent_use(means: Tensor) -> Tensor:
    """KL per frame and dimension, and active dimensions (2,), from means over frames (3, K) of KL,
    mu and mu^2.
    """
    kl, mu, mu_squared = means
    active = (mu_squared - mu.square() > ACTIVE_VARIANCE).sum()
    return torch.stack([kl.mean(), active.to(kl)])


def rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


class Trainer:
    """Trains a model by the configured schedule; one optimiser per phase."""

    def __init__(
        self, model: Model, features: Features, config: Config, exp: Path, fold: int
    ) -> None:
        self.model, self.features, self.config = model, features, config
        self.exp, self.fold = exp, fold
        self.rank, self.world = init_distributed()
        self.phases = phases_of(config.training)
        self.schedule = schedule(config.training)
        self.optimizers: checkpoint.Optimizers = {}
        self.parameters: dict[Phase, list[torch.nn.Parameter]] = {}
        self.phase: Phase | None = None  # that the model is set to
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
        """Train the remaining blocks; writes train.jsonl and a checkpoint after each."""
        self.utterances = [example.utterance for example in data]
        self.unusable = Unusable(self.exp, len(data))
        self.inputs = f"{datadir.identity(self.utterances)} {self.features.precision}"
        done = self._resume()
        self.by_id = {example.utterance.utt_id: example for example in data}
        self.steps_per_epoch = -(-len(data) // self.config.training.batch_size)
        log = [row for row in read_log(self.exp / "train.jsonl") if row["block"] < done]
        if not self.schedule and self.rank == 0:  # no epochs: the checkpoint is the initial model
            self._save(0)
        steps = sum(len(block) for block in self.schedule[done:]) * self.steps_per_epoch
        with progress(f"fold {self.fold}", steps, "steps") as advance:
            for number in range(done, len(self.schedule)):
                rows = self._train_block(self.schedule[number], advance)
                log += [{"block": number, **row} for row in rows]
                if self.rank == 0:
                    write_jsonl(self.exp / "train.jsonl", log)
                    self._save(number + 1)
                barrier()

    def _save(self, done: int) -> None:
        blocks = len(self.schedule)
        state = checkpoint.State(done, blocks, self.features.made_by, self.inputs)
        checkpoint.save(self.exp, self.model, self.optimizers, state)

    def _resume(self) -> int:
        """Load the experiment's checkpoint, or training.init; returns the number of finished
        blocks.
        """
        found = checkpoint.find(self.exp)
        if found is None:
            self._load_init()
            return 0
        state = checkpoint.load(found, self.model, self.features.made_by, self.optimizers)
        if state.blocks != len(self.schedule):
            raise UserError(
                f"{found}: has a schedule of {state.blocks} blocks, the configuration one of "
                f"{len(self.schedule)}: use another --tag"
            )
        if state.inputs and state.inputs != self.inputs:
            same_data = state.inputs.split()[0] == self.inputs.split()[0]
            changed = "other data, or other labels or captions"
            if same_data:
                changed = "features in another precision"
            raise UserError(
                f"{found}: was trained on {changed}. Use another --tag, or remove {self.exp} to "
                "train from the start"
            )
        return state.done

    def _load_init(self) -> None:
        """Start from the weights of training.init, if it is set."""
        if not self.config.training.init:
            return
        init = Path(resolve(self.config.training.init))
        found = checkpoint.find(init)
        if found is None:
            raise UserError(
                f"training.init: no checkpoint in {init}. Train it, or name another experiment"
            )
        state = checkpoint.read_state(found)
        if not state.finished:
            raise UserError(
                f"training.init: {init} is trained to block {state.done} of {state.blocks}: finish"
                " it with `serdesc train` first"
            )
        checkpoint.load(found, self.model, self.features.made_by)

    def _train_block(self, block: Block, advance: Callable[[int], None]) -> list[dict[str, Any]]:
        """Train a block's epochs, alternating by step; returns the rows of train.jsonl."""
        order = {}
        for current in block:
            order[current.phase] = batches.epoch_batches(
                self.utterances,
                self.config.training.batch_size,
                self.config.seed,
                self.fold,
                current.phase,
                current.epoch,
            )
        rows = []
        for step in range(self.steps_per_epoch):
            for current in block:
                batch = [self.by_id[utt.utt_id] for utt in order[current.phase][step]]
                rows.append(self._train_step(current, step, batch))
                advance(1)
        return rows

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
            raise FailedError(
                f"{self.exp}: the gradient norm is {norm} in {phase} epoch {epoch + 1}, step"
                f" {step + 1} (loss {llm_loss:.3f}, KL {kl_loss:.3f}). The last checkpoint is kept."
                f" Lower training.{phase}.lr ({phase_config.lr}), or check the features: serdesc"
                " check STORE"
            )
        steps = phase_config.epochs * self.steps_per_epoch
        lr = learning_rate(phase_config, epoch * self.steps_per_epoch + step, steps)
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
        if step == self.steps_per_epoch - 1:
            weights = self.model.weights_of_layers(phase)
            row["layer_weights"] = {name: rounded(w.tolist()) for name, w in weights.items()}
        return row

    def _backward(self, current: PhaseEpoch, step: int, batch: list[Example]) -> BatchLoss:
        """Gradients of Eq. (2), summed over micro-batches and devices; returns the losses.

        They are normalised by the counts of the whole batch, so that accumulation and the number of
        devices change no result.
        """
        training = self.config.training
        local = self._draw_speeds(current, batch)[self.rank :: self.world]
        local, features = self.unusable.load(self.features, local)
        counts = self._counts(current, local, features)
        losses = torch.zeros(2, device=self.model.device)  # LLM loss and KL
        sums = self._no_latents(current.phase)
        # Seed of LoRA's dropout.
        torch.manual_seed(self._seed(current.phase, current.epoch, step, self.rank))
        parts = training.gradient_accumulation_steps
        for i in range(min(parts, len(local))):
            loss = self._loss(current, local[i::parts], features[i::parts])
            llm_loss, kl_loss = loss.llm / counts[0], loss.kl / counts[1]
            vib_loss = llm_loss + training.beta * kl_loss  # Eq. (2)
            vib_loss.backward()  # type: ignore[no-untyped-call]
            losses += torch.stack([llm_loss.detach(), kl_loss.detach()])
            for name, part in loss.latents.items():
                sums[name] += part
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
        drawn = []
        for example in batch:
            utt_id = example.utterance.utt_id
            drawn.append(
                example.at_speed(self._seed(current.phase, current.epoch, "heard", utt_id))
            )
        return drawn

    def _loss(self, current: PhaseEpoch, part: list[Example], features: list[Tensor]) -> Loss:
        """Losses of a micro-batch; the noise of each utterance has a seed of its own."""
        phase, epoch = current.phase, current.epoch
        x, frames = batches.pad(features)
        eps: dict[str, Sequence[Tensor]] = {}
        noisy = self.model.sampled_branches(phase) if self.config.branch.noise else ()
        for name in noisy:
            seeds = [self._seed(phase, epoch, name, example.utterance.utt_id) for example in part]
            eps[name] = noise(self.config.branch.latent, frames.tolist(), seeds)
        targets = [example.target(phase, epoch) for example in part]
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
    data: Path, store: str, exp: Path, config: Config, allow_cpu: bool = False
) -> int:
    """Train on a fold's training part, or resume; returns the number of utterances without
    features.

    allow_cpu: allow an LLM of more than 1e9 parameters on a CPU.
    """
    check_labels(data, config)
    device = runtime.start(config)
    if config.model != "ssl_baseline" and not allow_cpu:
        llms.refuse_large_on_cpu(config.llm, device)
    features = open_features(store, config, device)
    utterances = datadir.read(data)
    usable = [utt for utt in utterances if utt.utt_id not in features.rejected]
    train(usable, features, config, exp, fold_of(data), device)
    return len(utterances) - len(usable)


def train(
    data: Sequence[Utterance],
    features: Features,
    config: Config,
    exp: Path,
    fold: int,
    device: torch.device,
) -> None:
    """Train an experiment to its end; writes the resolved configuration before the first step.

    Raises UserError if `exp` has a checkpoint of another configuration, or is locked.
    """
    with exclusive_lock(exp) if init_distributed()[0] == 0 else nullcontext():
        saved = exp / "config.yaml"
        if checkpoint.find(exp) is not None:
            changed = configs.differences(configs.load(saved), config)
            if changed:
                raise UserError(
                    f"{saved}: the experiment was trained with another configuration: "
                    f"{'; '.join(changed)}. Use the recorded values, another --tag for the new"
                    f" ones, or remove {exp} to train from the start."
                )
        configs.dump(config, saved)
        write_json(exp / "env.json", environment())
        usable = _usable_examples(data, config, exp)
        model = models.initialise(config, features, device)
        if model.llm is not None and init_distributed()[0] == 0:
            count_tokens(usable, model.label_count, exp)
        Trainer(model, features, config, exp, fold).run(usable)


def _usable_examples(data: Sequence[Utterance], config: Config, exp: Path) -> list[Example]:
    """The examples to train on; lists the others in skipped.jsonl."""
    usable, skipped = examples(data, config)
    limit = config.training.max_seconds
    if not usable:
        raise UserError(
            f"no training data: all {len(skipped)} utterances are longer than training.max_seconds"
            f" = {limit}. Raise it, or train on other data"
        )
    if skipped:
        rows = [{"utt_id": utt.utt_id, "seconds": utt.seconds} for utt in skipped]
        write_jsonl(exp / "skipped.jsonl", rows)
        count = len(skipped)
        print(
            f"{count} training utterances are longer than {limit} s and are skipped: "
            f"{exp / 'skipped.jsonl'}"
        )
    return usable
