"""Install an experiment as a built-in model: weights in 16 bits, without the moments.

The digest of the encoder's weights is left out, so that published weights in another precision are
not refused. An existing card is kept.

    python local/install.py exp/describer-base ../../serdesc/builtin/describer-base
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from shutil import copytree

import torch
from safetensors.torch import load_file, save_file

from serdesc.export.model import export
from serdesc.files import apply_umask, file_digest, read_json, write_json


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / args.out.name
        export(args.experiment, made, args.set)
        record = read_json(made / "checkpoint/state.json")
        for name in record["files"]:
            path = made / "checkpoint" / name
            if path.suffix == ".safetensors":
                weights = load_file(args.experiment / "checkpoint" / name)
                for key, weight in weights.items():
                    if weight.is_floating_point():
                        weights[key] = weight.to(torch.float16)
                save_file(weights, path, metadata={"format": "pt"})
                apply_umask(path)
            record["files"][name] = file_digest(path)[: len(record["files"][name])]
        record["encoder"].pop("weights")
        write_json(made / "checkpoint/state.json", record)
        if (args.out / "README.md").exists():
            (made / "README.md").unlink()
        copytree(made, args.out, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
