"""Pretrain both branches without an LLM, and write an experiment that training can start from.

A caption's loss says little of a speaker's emotion: one token of fifty. Linear classifiers of the
mean of z over an utterance, one for each field, teach the descriptor branch in minutes, and CTC
over characters the content branch. An LLM then has to learn only how to put z into words; adapters
and LoRA are new.

A network that learns emotion from ten speakers remembers them. A strongly regularised logistic
regression of the encoder's layers carries over to other corpora (TRIED.md), so what speech says of
its speaker is learnt from it: z is to give the probabilities of this teacher (soft targets, Hinton
et al., https://arxiv.org/abs/1503.02531) on all speech, whether it has labels or not.

    python local/pretrain_branches.py data/base/fold1/train dump/whisper-base/base \\
      conf/describer_base.yaml exp/branches --heldout data/heldout_labelled live
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any, Sequence

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from torch import Tensor, nn
from torch.nn import functional

from serdesc import config as configs
from serdesc import models, runtime
from serdesc.captions.fields import Fields
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.features import batches
from serdesc.features.live import Features
from serdesc.features.store import open_features
from serdesc.models import checkpoint
from serdesc.models.describer import Branch, Describer, frame_mask
from serdesc.models.ssl_baseline import ctc_per_character
from serdesc.training import examples

FIELDS = ("emotion", "gender", "pitch", "energy", "speed", "age", "intonation")
# Fields with a teacher, and its C: the smaller, the less it adapts to the speakers of a corpus.
TEACHERS = {"emotion": 1e-3, "gender": 1e-4, "age": 1e-4}
CHARACTERS = "_' abcdefghijklmnopqrstuvwxyz\xe4\xf6\xfc\xdf"  # the first one is CTC's blank


class Heads(nn.Module):
    """Linear classifiers of z: characters of each frame, fields of its mean."""

    def __init__(self, latent: int, classes: dict[str, list[str]]) -> None:
        super().__init__()
        self.classes = classes
        self.characters = nn.Linear(latent, len(CHARACTERS))
        self.fields = nn.ModuleDict(
            {name: nn.Linear(latent, len(c)) for name, c in classes.items()}
        )


def value(utt: Utterance, name: str) -> str | None:
    """The label of a field; without labels, what the corpus says."""
    labels = utt.labels or Fields(emotion=utt.emotion, gender=utt.gender)
    found = dict(labels.more).get(name) if name == "intonation" else getattr(labels, name)
    return None if found is None else str(found)


def sampled(branch: Branch, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """z (B, T, K) with noise, and the mean KL."""
    latent = branch.bottleneck(x)
    kl = (latent.kl().mean(-1) * mask).sum() / mask.sum()
    return latent.sample(torch.randn_like(latent.mu)), kl


def mean_over_frames(z: Tensor, mask: Tensor) -> Tensor:
    """(B, K), without padding."""
    return (z * mask[..., None]).sum(1) / mask.sum(1)[:, None]


def mean_of_layers(x: Tensor) -> Tensor:
    """The mean over time of the normalised layers, one after the other (L * D); x (L, T, D)."""
    return functional.layer_norm(x.float(), x.shape[-1:]).mean(1).flatten()


class Teachers:
    """Probabilities of a field's classes from the encoder's layers: logistic regressions."""

    def __init__(self, classes: dict[str, list[str]]) -> None:
        self.classes = classes
        self.answers: dict[str, dict[str, Tensor]] = {}  # field -> utterance -> probabilities (C,)

    def fit(self, utterances: Sequence[Utterance], means: dict[str, Tensor]) -> None:
        """means: mean_of_layers of each utterance."""
        x = torch.stack([means[utt.utt_id] for utt in utterances])  # (N, L * D)
        x = (x - x.mean(0)) / (x.std(0) + 1e-6)
        for name, c in TEACHERS.items():
            if name not in self.classes:
                continue
            labels = [value(utt, name) for utt in utterances]
            known = [i for i, label in enumerate(labels) if label in self.classes[name]]
            teacher = LogisticRegression(C=c, max_iter=400, class_weight="balanced")
            teacher.fit(x[known].numpy(), [labels[i] for i in known])
            assert list(teacher.classes_) == self.classes[name]
            answers = torch.tensor(teacher.predict_proba(x.numpy()), dtype=torch.float32)
            self.answers[name] = dict(zip((utt.utt_id for utt in utterances), answers))

    def targets(self, name: str, group: Sequence[Utterance]) -> Tensor:
        """Probabilities (B, C); zeros where nothing is known: the sex of children is none."""
        classes = self.classes[name]
        targets = torch.zeros(len(group), len(classes))
        for row, utt in zip(targets, group):
            label = value(utt, name)
            if name in self.answers and (label or name != "gender"):
                row.copy_(self.answers[name][utt.utt_id])
            elif label in classes:
                row[classes.index(str(label))] = 1
        return targets


def field_loss(heads: Heads, z: Tensor, group: Sequence[Utterance], teachers: Teachers) -> Tensor:
    """Cross-entropy of the fields, summed over them."""
    total = z.new_zeros(())
    for name in heads.classes:
        targets = teachers.targets(name, group)
        losses = -(targets * heads.fields[name](z).log_softmax(-1)).sum(-1)
        total = total + losses.sum() / targets.sum().clamp_min(1)
    return total


def content_loss(heads: Heads, z: Tensor, frames: Tensor, texts: Sequence[str]) -> Tensor:
    """CTC loss a character."""
    targets = [[CHARACTERS.index(c) for c in text if c in CHARACTERS[1:]] for text in texts]
    return ctc_per_character(heads.characters(z).log_softmax(-1), frames, targets).mean()


@torch.no_grad()
def accuracy(
    model: Describer, heads: Heads, heldout: Sequence[Utterance], features: Features
) -> dict[str, float]:
    """Unweighted accuracy in percent of each field on held-out speech."""
    pairs: dict[str, list[tuple[str, str]]] = {}  # true and found
    for group in batches.decoding_batches(heldout, 16):
        x, frames = batches.pad(features.load(group))
        z = mean_over_frames(model.descriptor.bottleneck(x).mu, frame_mask(frames, x.shape[2]))
        for name, classes in heads.classes.items():
            for utt, best in zip(group, heads.fields[name](z).argmax(-1).tolist()):
                if (truth := value(utt, name)) in classes:
                    pairs.setdefault(name, []).append((truth, classes[best]))
    found = {}
    for name, of_field in pairs.items():
        true, answers = zip(*of_field)
        recall = recall_score(true, answers, labels=sorted(set(true)), average="macro")
        found[name] = round(100 * float(recall), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("store")
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--heldout", nargs=2, metavar=("DATA", "STORE"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    args = parser.parse_args()
    config = configs.load(args.config, args.set)
    device = runtime.start(config)
    features = open_features(args.store, config, device)
    data, _ = examples.usable_examples(datadir.read(args.data), config)
    utterances = [example.utterance for example in data]
    model = models.initialise(config, features, device)
    assert isinstance(model, Describer)
    classes: dict[str, list[str]] = {}
    for name in FIELDS:
        classes[name] = sorted({v for utt in utterances if (v := value(utt, name)) is not None})
    torch.manual_seed(config.seed)
    heads = Heads(config.branch.latent, classes)
    held = datadir.read(Path(args.heldout[0])) if args.heldout else []
    held_features = open_features(args.heldout[1], config, device) if args.heldout else features
    stored: dict[str, Tensor] = {}
    for group in batches.decoding_batches(utterances, args.batch_size):
        for utt, x in zip(group, features.load(group)):
            stored[utt.utt_id] = x.bfloat16()
    teachers = Teachers(classes)
    teachers.fit(utterances, {utt_id: mean_of_layers(x) for utt_id, x in stored.items()})
    parts = [model.content.bottleneck, model.descriptor.bottleneck, heads]
    trained: list[Any] = [p for part in parts for p in part.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained, lr=args.lr, weight_decay=args.weight_decay)
    steps = args.epochs * math.ceil(len(utterances) / args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps + 1)
    started, beta = time.monotonic(), config.training.beta
    for epoch in range(args.epochs):
        sums = torch.zeros(2)
        groups = batches.epoch_batches(utterances, args.batch_size, config.seed, epoch)
        for group in groups:
            x, frames = batches.pad([stored[utt.utt_id].float() for utt in group])
            mask = frame_mask(frames, x.shape[2])
            z, kl = sampled(model.descriptor, x, mask)
            described = field_loss(heads, mean_over_frames(z, mask), group, teachers)
            spoken = [i for i, utt in enumerate(group) if utt.text]
            texts = [str(group[i].text).lower() for i in spoken]
            z, kl_content = sampled(model.content, x[spoken], mask[spoken])
            written = content_loss(heads, z, frames[spoken], texts)
            loss = described + written + beta * (kl + kl_content)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            sums += torch.stack([described.detach(), written.detach()])
        losses = [round(float(s) / len(groups), 4) for s in sums]
        row: dict[str, Any] = {"epoch": epoch, "fields": losses[0], "ctc": losses[1]}
        row["seconds"] = round(time.monotonic() - started)
        if held:
            row["heldout"] = accuracy(model, heads, held, held_features)
        print(json.dumps(row), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    configs.dump(config, args.out / "config.yaml")
    checkpoint.save(args.out, model, {}, checkpoint.State(0, 0, features.made_by))


if __name__ == "__main__":
    main()
