"""An experiment with the bottlenecks of another one, which may have another LLM; the rest is new.

With llama-mini as LLM the bottlenecks train in minutes; an LLM of 100 times its size then starts
from them (training.init), with adapters and LoRA of its own.

    python local/start_from.py exp/whisper-llama-mini/fold1 conf/describer_base.yaml exp/start
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file

from serdesc import config as configs
from serdesc import models
from serdesc.features.encoder import Encoder
from serdesc.features.live import Live
from serdesc.models import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("source", "config", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    config = configs.load(args.config, args.set)
    device = torch.device("cpu")
    model = models.initialise(config, Live(Encoder.load(config.encoder, device)), device)
    trained = load_file(checkpoint.finished(args.source) / "model.safetensors")
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in trained.items():
            if ".bottleneck." in name:
                parameters[name].copy_(tensor)
    state = checkpoint.read_state(checkpoint.finished(args.source))
    args.out.mkdir(parents=True, exist_ok=True)
    configs.dump(config, args.out / "config.yaml")
    checkpoint.save(args.out, model, {}, state)


if __name__ == "__main__":
    main()
