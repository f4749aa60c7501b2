"""Print torch's version, CUDA and the GPUs that it sees; --need N: fail if they are fewer.

python tools/gpus.py --need 2
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys

import torch


def driver() -> str:
    """The version of NVIDIA's driver, or that there is none."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return "no NVIDIA driver"
    return f"driver {done.stdout.splitlines()[0]}" if done.stdout else "no NVIDIA driver"


def gpus() -> list[str]:
    """Name and memory of each GPU that torch sees."""
    found = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(number)
        found.append(f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)")
    return found


def main() -> None:
    """Print one line; exit code 2 if GPUs are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--need", type=int, default=0, help="GPUs that a job needs")
    need, found = parser.parse_args().need, gpus()
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    names = ", ".join(found) or "none"
    print(f"torch {torch.__version__} {cuda}; {driver()}; GPUs: {names}")
    if len(found) < need:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        sys.exit(
            f"--ngpu {need}, but torch sees {len(found)} GPUs in a GPU job on {platform.node()}"
            f" (CUDA_VISIBLE_DEVICES: {visible}). Use --ngpu 0 for the CPU, request GPUs in cmd.sh"
            " and conf/slurm.conf, or install torch for this driver: TORCH_INDEX=URL"
            " tools/setup.sh"
        )


if __name__ == "__main__":
    main()
