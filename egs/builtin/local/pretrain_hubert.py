"""Pretrain hubert-mini: HuBERT's masked prediction, then supervised targets.

Part 1 predicts k-means units of MFCCs, masked and (with half the weight) unmasked; part 2 predicts
units of part 1's middle layer (Hsu et al. 2021, Section II). Part 3 fine-tunes on characters by
CTC, like hubert-large-ls960-ft, and on acoustic targets: layer 2 predicts mel bands, energy and F0
around each frame; layer 4 those of the utterance with SpeechCraft's pitch, energy and speed; the
last layer predicts, for synthetic speech, the phoneme of each frame and whether its word is
stressed. After units and characters alone a linear probe identified the sex of an unseen voice in
64 % of cases.

Part 4 adds targets for captions. At every frame layer 5 predicts the emotion of synthetic speech,
and the deviation over the utterance of the hidden states of layers 1, 3 and 5 (of the model before
this part): on real acted speech a linear probe finds more of the emotion in these deviations than
in any mean, and a describer that reads frame by frame cannot compute them. Layer 2 predicts
SpeechCraft's pitch around each frame. Errors of pitch, energy and speed have the inverse weight of
their variance within a speaker. Each part is saved when it is complete; a second call resumes with
the next part.

    python local/pretrain_hubert.py data/train data/heldout exp/hubert-mini
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import hubert_model
import numpy as np
import torch
from hubert_model import CONFIG, CROP_SECONDS, batches
from hubert_tasks import Manner, Speech, Units
from recordings import SEED, Recording, load
from torch import nn
from transformers import HubertModel, Wav2Vec2FeatureExtractor

PARTS = {"units-mfcc": 300, "units-layer": 500, "speech": 7000, "manner": 4500}  # optimiser steps
SUPERVISED = {"speech": Speech, "manner": Manner}
PEAK_LR = 1e-3
WARMUP_RATIO = 0.08
MAX_SECONDS = 60.0  # of a recording in a batch of a supervised part


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure, over the rows that have it."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values = columns.setdefault(name, [])
            if not math.isnan(value):
                values.append(value)
    return {name: round(float(np.mean(values)), 4) for name, values in columns.items() if values}


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up to PEAK_LR, then linear decay to 2 % of it."""
    warmup = WARMUP_RATIO * steps
    if step < warmup:
        return PEAK_LR * (step / warmup)
    return PEAK_LR * max(0.02, (steps - step) / (steps - warmup))


def train_part(
    part: str, model: HubertModel, train: list[Recording], dev: list[Recording], steps: int
) -> dict[str, Any]:
    """Train one part; returns its record for training.json."""
    start = time.time()
    torch.manual_seed(SEED + 1)  # each part has its own seed: a resumed run has the same result
    rng = np.random.default_rng(SEED)
    if part in SUPERVISED:
        task = SUPERVISED[part](model, train, dev)
    else:
        task = Units(part, model, train, dev)
    if part == "units-layer":  # new units: train from random weights again
        model.load_state_dict(HubertModel(CONFIG).state_dict())
    params = [p for p in [*model.parameters(), *task.head.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    max_seconds = MAX_SECONDS if part in SUPERVISED else CROP_SECONDS
    stream = batches([min(len(r.wave) / 16_000, max_seconds) for r in train], rng)
    recent: list[dict[str, float]] = []
    model.train()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss, figures = task([train[i] for i in next(stream)], rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 5.0)
        optimizer.step()
        recent.append({"loss": float(loss.detach())} | figures)
        if step % 100 == 0:
            speed = (time.time() - start) / step
            print(f"{part} {step}/{steps} {means(recent[-100:])} {speed:.2f} s/step", flush=True)
    return {
        "part": part,
        "steps": steps,
        "bf16": hubert_model.BF16,
        "seconds": round(time.time() - start),
        "heldout": evaluate(part, model, task, dev),
    }


def evaluate(
    part: str, model: HubertModel, task: Units | Speech, dev: list[Recording]
) -> dict[str, float]:
    """Mean loss and figures on held-out recordings."""
    if part in SUPERVISED:
        model.eval()  # masks are applied in training mode only, so units need it; no dropout
    rng = np.random.default_rng(SEED)
    rows = []
    with torch.no_grad():
        for recording in dev:
            loss, figures = task([recording], rng)
            rows.append({"loss": float(loss)} | figures)
    return means(rows)


def hours(recordings: list[Recording]) -> float:
    return sum(len(recording.wave) for recording in recordings) / 16_000 / 3600


def save(model: HubertModel, folder: Path) -> None:
    model.save_pretrained(folder)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    extractor.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="factor of every part's steps")
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="compute in bfloat16: faster on a processor with AVX512-BF16, far slower on others",
    )
    args = parser.parse_args()
    hubert_model.BF16 = args.bf16
    torch.manual_seed(SEED)
    train, heldout = load(args.train, other_voices=True), load(args.heldout, other_voices=False)
    print(f"{hours(train):.2f} h to train on, {hours(heldout):.2f} h held out", flush=True)
    model = HubertModel(CONFIG)
    log = []
    for part, steps in PARTS.items():
        folder = args.out / part
        record = folder / "done.json"
        if record.exists():
            model = HubertModel.from_pretrained(folder, dtype=torch.float32)
            log.append(json.loads(record.read_text()))
            continue
        log.append(train_part(part, model, train, heldout, math.ceil(steps * args.scale)))
        save(model, folder)
        record.write_text(json.dumps(log[-1]) + "\n")
        print(log[-1], flush=True)
    save(model.to(torch.bfloat16), args.out / "final")
    (args.out / "final" / "training.json").write_text(json.dumps(log, indent=1) + "\n")


if __name__ == "__main__":
    main()
