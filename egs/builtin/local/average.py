"""The mean of the weights of finished experiments that follow one another, as an experiment.

python local/average.py exp/describer-base/fold1 exp/describer-base-{emotion,balanced}/fold1
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from serdesc.files import file_digest, read_json, write_json


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("experiments", type=Path, nargs="+")
    args = parser.parse_args()
    target = args.out / "checkpoint"
    shutil.copytree(args.experiments[-1] / "checkpoint", target)
    shutil.copy(args.experiments[-1] / "config.yaml", args.out)
    record = read_json(target / "state.json")
    for name in record["files"]:
        if name.endswith(".safetensors"):
            all_of = [load_file(exp / "checkpoint" / name) for exp in args.experiments]
            mean = {key: torch.stack([of[key] for of in all_of]).mean(0) for key in all_of[0]}
            save_file(mean, target / name, metadata={"format": "pt"})
        record["files"][name] = file_digest(target / name)[: len(record["files"][name])]
    write_json(target / "state.json", record)


if __name__ == "__main__":
    main()
