"""Nats a token of a trained experiment on speech that it never heard, for both phases; z = mu.

python local/heldout_loss.py data/heldout_labelled exp/describer-mini/fold1
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from serdesc import config as configs
from serdesc import runtime
from serdesc.data import datadir
from serdesc.features import batches
from serdesc.features.store import open_features
from serdesc.models import checkpoint
from serdesc.models.describer import Phase
from serdesc.training import examples

PHASES: tuple[Phase, ...] = ("content", "descriptor")


def main() -> None:
    data, exp = map(Path, sys.argv[1:])
    config = configs.load(exp / "config.yaml")
    device = runtime.start(config)
    features = open_features("live", config, device)
    model, _ = checkpoint.load_model(exp, features, device)
    model.eval()
    ready, _ = examples.examples(datadir.read(data), config)
    sums = {phase: [0.0, 0] for phase in PHASES}
    with torch.no_grad():
        for start in range(0, len(ready), 8):
            part = ready[start : start + 8]
            x, frames = batches.pad(features.load([example.utterance for example in part]))
            for phase in PHASES:
                loss = model(x, frames, [example.target(phase, 0) for example in part], phase)
                sums[phase][0] += float(loss.llm)
                sums[phase][1] += loss.tokens
    print(
        json.dumps(
            {phase: round(nats / tokens, 4) for phase, (nats, tokens) in sums.items()}
            | {"utterances": len(ready)}
        )
    )


if __name__ == "__main__":
    main()
