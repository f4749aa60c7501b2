"""Pretrain both branches without an LLM, and write an experiment that training can start from.

A caption's loss says little of a speaker's emotion: one token of fifty. Linear classifiers of the
mean of z over an utterance, one for each field, teach the descriptor branch in minutes, and CTC
over characters the content branch. An LLM then has to learn only how to put z into words; adapters
and LoRA are new.

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
CHARACTERS = "_' abcdefghijklmnopqrstuvwxyz\xe4\xf6\xfc\xdf"  # the first one is CTC's blank
UNKNOWN = -1


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


def field_loss(heads: Heads, z: Tensor, group: Sequence[Utterance]) -> Tensor:
    """Cross-entropy of the known fields, summed over the fields."""
    total = z.new_zeros(())
    for name, classes in heads.classes.items():
        labels = [classes.index(v) if (v := value(u, name)) in classes else UNKNOWN for u in group]
        if max(labels) > UNKNOWN:
            logits = heads.fields[name](z)
            total = total + functional.cross_entropy(
                logits, torch.tensor(labels), ignore_index=UNKNOWN
            )
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
            missing = [utt for utt in group if utt.utt_id not in stored]
            for utt, one in zip(missing, features.load(missing) if missing else []):
                stored[utt.utt_id] = one.bfloat16()
            x, frames = batches.pad([stored[utt.utt_id].float() for utt in group])
            mask = frame_mask(frames, x.shape[2])
            z, kl = sampled(model.descriptor, x, mask)
            described = field_loss(heads, mean_over_frames(z, mask), group)
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
