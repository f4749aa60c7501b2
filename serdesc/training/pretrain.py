"""Pretraining without the LLM (training.pretrain): speech tokens that mean something at the start.

A caption's loss teaches little about a speaker's emotion: it is one token of fifty. Here two
losses act on the speech tokens themselves, and a step costs a fraction of one with the LLM:

- content: CTC (Graves et al. 2006) over the LLM's own tokens. A speech token is scored by its
  distance to their frozen input embeddings, and drawn to what it is taken for: an LLM reads
  embeddings of words without training, but not what merely points in their direction.
- descriptor: with adapter.slots, every n-th speech token is to be the embedding of one field's
  value, such as "sad", or the mean of several by their probabilities; without, a linear classifier
  of the mean of s_des for each field.

A network that learns emotion from ten speakers remembers them; a strongly regularised logistic
regression of the encoder's layers carries over to others (egs/builtin/TRIED.md). So emotion, sex
and age are learnt from the probabilities of such a teacher (Hinton et al.,
https://arxiv.org/abs/1503.02531), on all speech, whether it has labels or not. The other fields are
learnt from their labels.

Not in the paper. B utterances, U speech tokens, H LLM width, V tokens, C classes, L layers, D
encoder width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from serdesc.captions import writer
from serdesc.captions.fields import VALUES
from serdesc.config import Config
from serdesc.data.datadir import Utterance
from serdesc.errors import Checkpointed, UserError
from serdesc.features import batches
from serdesc.features.live import Features
from serdesc.files import write_jsonl
from serdesc.models import Model
from serdesc.models import llm as llms
from serdesc.models.adapter import token_count
from serdesc.models.describer import Describer, Phase
from serdesc.models.speech import frame_mask, noise
from serdesc.models.ssl_baseline import ctc_per_character
from serdesc.models.undivided import Undivided
from serdesc.models.words import BLANK, embeddings_of, log_probabilities, slot_of
from serdesc.progress import progress
from serdesc.runtime import all_reduce_sum, in_any_process, seed
from serdesc.training.examples import Example
from serdesc.training.phases import learning_rate
from serdesc.training.stopping import StopRequest
from serdesc.training.teacher import Teacher, mean_of_layers
from serdesc.training.unusable import Unusable

TAUGHT = ("emotion", "gender", "age")  # fields with a teacher
TEACHER_SAMPLE = 10_000  # utterances that the teachers are fitted to
Row = dict[str, float | int]


def pull(s: Tensor, wanted: Tensor, unit: Tensor) -> Tensor:
    """A loss (...) that draws speech tokens (..., H) to embeddings: log(1 + squared distance).

    The logarithm, since the tokens of a trained adapter may be far from every word.
    """
    return ((s - wanted).square().sum(-1) / unit).log1p()


class Words:
    """The model's vocabulary, to which all transcripts' tokens are added, and its embeddings; the
    first one is CTC's blank.
    """

    def __init__(self, model: Describer, data: Sequence[Example]) -> None:
        def encode(text: str) -> list[int]:
            ids: list[int] = model.tokenizer.encode(text, add_special_tokens=False)
            return ids

        spoken = [example for example in data if example.transcript]
        found = {e.utterance.utt_id: encode(f" {e.transcript}") for e in spoken}
        blank = encode(BLANK)[0]
        added = {token for ids in found.values() for token in ids}
        model.vocabulary = sorted({*model.vocabulary, *added, blank})
        self.tokens = [blank, *(token for token in model.vocabulary if token != blank)]
        place = {token: i for i, token in enumerate(self.tokens)}
        self.texts: dict[str, list[int]] = {}  # of each utterance, without blanks
        for utt_id, ids in found.items():
            self.texts[utt_id] = [place[token] for token in ids if token != blank]
        self.embeddings = llms.embeddings(model.llm).weight.detach()[self.tokens].float()  # (V, H)
        self.unit = model.unit

    def of(self, example: Example) -> list[int]:
        return self.texts.get(example.utterance.uniq or example.utterance.utt_id, [])

    def note_too_long(self, data: Sequence[Example], k: int) -> None:
        """Print how many transcripts have more tokens, with a blank between equal ones, than their
        utterance has speech tokens: CTC learns nothing of these.
        """
        spoken = [example for example in data if self.of(example)]
        frames = [int(50 * (example.utterance.seconds or 0.0)) for example in spoken]
        texts = [self.of(example) for example in spoken]
        needed = [len(ids) + sum(a == b for a, b in pairwise(ids)) for ids in texts]
        too_long = sum(n > token_count(t, k) for n, t in zip(needed, frames))
        if too_long:
            enough = sorted(t // n for n, t in zip(needed, frames))[len(needed) // 100]
            print(
                f"note: {too_long} of {len(needed)} transcripts have more tokens of the LLM than"
                f" their utterances have speech tokens (adapter.k {k}): nothing is learnt of them."
                f" With adapter.k {max(1, enough)} at most one in a hundred has"
            )

    def log_probabilities(self, s: Tensor) -> Tensor:
        """(B, U, V) of speech tokens (B, U, H)."""
        return log_probabilities(s, self.embeddings, self.unit)

    def loss(self, s: Tensor, counts: Tensor, group: Sequence[Example]) -> Tensor:
        """CTC a token, and squared distances to the embeddings, as means over an utterance; summed
        over the utterances with transcript.
        """
        texts = [self.of(example) for example in group]
        spoken = torch.tensor([bool(text) for text in texts], device=s.device)
        log_probs = self.log_probabilities(s)
        ctc = ctc_per_character(log_probs, counts, texts).to(s.device)
        taken_for = log_probs.detach().exp() @ self.embeddings
        distances = pull(s, taken_for, self.unit)  # (B, U)
        mask = frame_mask(counts, s.shape[1]).to(s.device)
        return ((ctc + (distances * mask).sum(1) / mask.sum(1)) * spoken).sum()


class Pretraining:
    """Trains the branches of a model; its classifiers are of no use afterwards."""

    def __init__(
        self,
        model: Describer,
        features: Features,
        data: Sequence[Example],
        config: Config,
        unusable: Unusable,
    ) -> None:
        self.model, self.features, self.config = model, features, config
        self.settings, self.unusable = config.training.pretrain, unusable
        self.data = {example.utterance.utt_id: example for example in data}
        self.classes: dict[str, list[str]] = {}  # of each field of the targets
        for name in VALUES:
            found = {label for e in data if (label := self._label(e.utterance, name))}
            if len(found) > 1:
                self.classes[name] = sorted(found)
        self.teachers = self._fit_teachers() if self.settings.teacher else {}
        self.unit = model.unit
        self.words = Words(model, data) if config.target.transcript else None
        # Without a transcript nothing but the KL would act on the content branch.
        self.phase: Phase = "joint" if self.words else "descriptor"
        self.slots = 0 if isinstance(model, Undivided) else config.adapter.slots
        self.values = {
            name: embeddings_of(model.llm, model.tokenizer, c) for name, c in self.classes.items()
        }
        self.heads = nn.ModuleDict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed(config.seed, "pretrain"))
            for name, c in self.classes.items() if not self.slots else ():
                self.heads[name] = nn.Linear(model.llm_width, len(c), device=model.device)
        self.steps = self.settings.epochs * -(-len(data) // self.settings.batch_size)

    def _label(self, utt: Utterance, name: str) -> str | None:
        """The value of a field in an utterance's target, None if it has none."""
        labels = utt.labels and writer.select(utt.labels, self.config.target)
        value: str | None = getattr(labels, name, None)
        return value

    def _fit_teachers(self) -> dict[str, Teacher]:
        order = np.random.default_rng(seed(self.config.seed, "teacher")).permutation(len(self.data))
        examples = list(self.data.values())
        chosen = [examples[i].utterance for i in order[:TEACHER_SAMPLE]]
        known, means = [], []
        for group in batches.decoding_batches(chosen, self.settings.batch_size):
            usable, x = self.unusable.load(self.features, [self.data[u.utt_id] for u in group])
            known += [example.utterance for example in usable]
            means += [mean_of_layers(one).cpu() for one in x]
        teachers = {}
        for name in set(TAUGHT) & self.classes.keys():
            labels = [self._label(utt, name) for utt in known]
            rows = [i for i, label in enumerate(labels) if label]
            if set(labels) - {None} == set(self.classes[name]):
                teachers[name] = Teacher(
                    torch.stack([means[i] for i in rows]),
                    [str(labels[i]) for i in rows],
                    [known[i].spk for i in rows],
                    self.settings.teacher,
                )
        return teachers

    # ---- losses ----------------------------------------------------------------------------------

    def _is_known(self, example: Example, name: str) -> bool:
        """Has a label, or a teacher; children have no sex in a caption."""
        taught = name in self.teachers and name != "gender"
        return taught or self._label(example.utterance, name) in self.classes[name]

    def _field_targets(self, name: str, group: Sequence[Example], means: Tensor) -> Tensor:
        """Probabilities (B, C); zeros where nothing is known. means (B, L * D)."""
        classes = self.classes[name]
        if name in self.teachers:
            targets = self.teachers[name](means)
        else:
            labels = [self._label(example.utterance, name) for example in group]
            targets = torch.tensor([[float(label == c) for c in classes] for label in labels])
        return targets * torch.tensor([[float(self._is_known(e, name))] for e in group])

    def _losses(self, group: Sequence[Example], x: list[Tensor], epoch: int) -> dict[str, Tensor]:
        """Of content (a sum over utterances), of each field (utterances) and the KL (frames)."""
        padded, frames = batches.pad(x)
        eps: dict[str, Sequence[Tensor]] = {}
        for name in self.model.sampled_branches(self.phase) if self.config.branch.noise else ():
            order = (self.config.seed, "pretrain", epoch, name)
            seeds = [seed(*order, example.utterance.utt_id) for example in group]
            eps[name] = noise(self.config.branch.latent, frames.tolist(), seeds)
        speech = self.model.encode_speech(padded.to(self.model.device), frames, self.phase, eps)
        counts = torch.tensor(self.model.token_counts(frames))
        losses = {"kl": speech.kl}
        if self.words is not None:
            losses["content"] = self.words.loss(speech.s_con, counts, group)
        s = speech.s_con if speech.s_des is None else speech.s_des
        mask = frame_mask(counts, s.shape[1]).to(s)
        means = torch.stack([mean_of_layers(one).cpu() for one in x])
        for name in self.classes:
            targets = self._field_targets(name, group, means).to(s.device)
            losses[name] = self._field_loss(name, s, mask, targets)
        return losses

    def _field_loss(self, name: str, s: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of the field's own tokens, scored by their distances to its words, which
        also draw them; without slots, of the mean token. A sum over the utterances.

        s (B, U, H), mask (B, U), targets (B, C).
        """
        if not self.slots:
            mean = (s * mask[..., None]).sum(1) / mask.sum(1)[:, None]
            logits: Tensor = self.heads[name](mean)
            return -(targets * logits.log_softmax(-1)).sum()
        words = self.values[name]
        own = slice(slot_of(name, self.slots), None, self.slots)
        log_probs = log_probabilities(s[:, own], words, self.unit)
        losses = pull(s[:, own], (targets @ words)[:, None], self.unit)  # (B, tokens)
        losses = losses - (targets[:, None] * log_probs).sum(-1)
        known = targets.sum(-1) / mask[:, own].sum(1).clamp_min(1.0)
        return ((losses * mask[:, own]).sum(1) * known).sum()

    def _counts(self, batch: Sequence[Example], frames: Tensor) -> dict[str, Tensor]:
        """What each loss of a whole batch is divided by."""
        counts = {"kl": frames}
        if self.words is not None:
            counts["content"] = frames.new_tensor(sum(bool(self.words.of(e)) for e in batch))
        for name in self.classes:
            counts[name] = frames.new_tensor(sum(self._is_known(e, name) for e in batch))
        return {name: count.clamp_min(1.0) for name, count in counts.items()}

    # ---- training --------------------------------------------------------------------------------

    def run(self, rank: int, world: int) -> Iterator[Row]:
        """Train; yields a row after every step. Each process takes a part of every batch."""
        training, settings = self.config.training, self.settings
        self.model.train_phase(self.phase)
        trained = [parameter for _, parameter in self.model.speech_parameters(self.phase)]
        trained += self.heads.parameters()
        for parameter in trained:
            parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=training.weight_decay)
        utterances = [example.utterance for example in self.data.values()]
        step = 0
        for epoch in range(settings.epochs):
            order = (self.config.seed, "pretrain", epoch)
            for group in batches.epoch_batches(utterances, settings.batch_size, *order):
                batch = [self.data[utt.utt_id].at_speed(seed(*order, utt.utt_id)) for utt in group]
                optimizer.zero_grad()
                losses = self._backward(batch, batch[rank::world], epoch, trained)
                nn.utils.clip_grad_norm_(trained, training.max_grad_norm)
                for parameters in optimizer.param_groups:
                    parameters["lr"] = learning_rate(settings, step, self.steps)
                optimizer.step()
                yield {"epoch": epoch, "step": step, **losses}
                step += 1

    def _backward(
        self, batch: list[Example], local: list[Example], epoch: int, trained: list[nn.Parameter]
    ) -> Row:
        """Gradients of a batch, of which this process has `local`; returns the losses."""
        local, x = self.unusable.load(self.features, local) if local else ([], [])
        frames = torch.tensor(float(sum(one.shape[1] for one in x)), device=self.model.device)
        all_reduce_sum([frames])
        counts = self._counts(batch, frames)
        found = self._losses(local, x, epoch) if local else {}
        losses = {}
        for name, count in counts.items():
            losses[name] = found.get(name, count.new_zeros(())) / count
        if local:
            total = sum(loss for name, loss in losses.items() if name != "kl")
            (total + self.config.training.beta * losses["kl"]).backward()
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        sums = torch.stack([loss.detach() for loss in losses.values()])
        all_reduce_sum([sums, *gradients])
        return {name: round(loss, 6) for name, loss in zip(losses, sums.tolist())}


def pretrain(
    model: Model,
    features: Features,
    data: Sequence[Example],
    config: Config,
    unusable: Unusable,
    fold: int,
    processes: tuple[int, int],
    stop: StopRequest,
) -> None:
    """Pretrain a model; writes pretrain.jsonl. processes: rank and number.

    Raises UserError for a model without LLM; Checkpointed if `stop` ended it, which has written no
    checkpoint: it takes minutes.
    """
    if not isinstance(model, Describer):
        raise UserError(
            f"training.pretrain.epochs is {config.training.pretrain.epochs}, and system"
            f" '{config.system}' has no LLM, whose embeddings pretraining needs: set it to 0"
        )
    (rank, world), exp = processes, unusable.exp
    pretraining = Pretraining(model, features, data, config, unusable)
    if rank == 0 and pretraining.words is not None:
        pretraining.words.note_too_long(data, config.adapter.k)
    rows = []
    with progress(f"pretrain fold {fold}", pretraining.steps, "steps", rank > 0) as advance:
        for row in pretraining.run(rank, world):
            rows.append(row)
            advance(1)
            stopped = bool(stop.received) or stop.seconds_left() < 0
            if in_any_process([stopped], model.device)[0]:
                raise Checkpointed(
                    f"{exp}: stopped by {stop.received or 'the time limit'} while pretraining"
                    " (training.pretrain). The same command starts it again"
                )
    if rank == 0:
        write_jsonl(exp / "pretrain.jsonl", rows)
