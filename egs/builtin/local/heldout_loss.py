"""LLM loss of a trained experiment on held-out speech, nats a token, for both phases; z = mu.

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

BATCH = 8
PHASES: tuple[Phase, ...] = ("content", "descriptor")


def main() -> None:
    data, exp = map(Path, sys.argv[1:])
    config = configs.load(exp / "config.yaml")
    device = runtime.start(config)
    features = open_features("live", config, device)
    model, _ = checkpoint.load_model(exp, features, device)
    model.eval()
    heldout, _ = examples.examples(datadir.read(data), config)
    nats, tokens = dict.fromkeys(PHASES, 0.0), dict.fromkeys(PHASES, 0)
    with torch.no_grad():
        for start in range(0, len(heldout), BATCH):
            batch = heldout[start : start + BATCH]
            x, frames = batches.pad(features.load([example.utterance for example in batch]))
            for phase in PHASES:
                loss = model(x, frames, [example.target(phase, 0) for example in batch], phase)
                nats[phase] += float(loss.llm)
                tokens[phase] += loss.tokens
    losses = {phase: round(nats[phase] / tokens[phase], 4) for phase in PHASES}
    print(json.dumps({**losses, "utterances": len(heldout)}))


if __name__ == "__main__":
    main()
