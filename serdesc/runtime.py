"""Device, threads, processes, seeds, and the record of a run's environment. Imports torch."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Sequence

import torch
import torch.distributed as dist

from serdesc.config import Config
from serdesc.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PACKAGES = ("serdesc", "torch", "transformers", "peft", "safetensors", "librosa", "numpy")


def start(config: Config) -> torch.device:
    """Set the number of threads and deterministic kernels; returns the configured device.

    Raises UserError for a device that torch does not have.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Otherwise every new tensor is filled with NaN first: 600 kernels a step of a small model.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    name = config.device
    if name == "auto":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"device: '{name}', but torch finds no GPU here: use --set device=cpu or a machine with"
            " a GPU"
        )
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise UserError(
            f"device: '{name}' is unknown to torch: use auto, cpu, cuda or cuda:1"
        ) from error


def init_distributed() -> tuple[int, int]:
    """Rank and world size of this process as torchrun set them; the first call starts the group."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return int(os.environ.get("RANK", 0)), world


def all_reduce_sum(tensors: list[torch.Tensor]) -> None:
    """Sum tensors over all processes, in place, in one all-reduce."""
    if dist.is_initialized():
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, part in zip(tensors, flat.split(sizes)):
            tensor.copy_(part.view_as(tensor))


def in_any_process(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Each flag: whether it is set in any process."""
    if not dist.is_initialized():
        return list(flags)
    counts = torch.tensor(flags, dtype=torch.int32, device=device)
    dist.all_reduce(counts)
    return [count > 0 for count in counts.tolist()]


def barrier() -> None:
    """Wait for all processes."""
    if dist.is_initialized():
        dist.barrier()


def seed(*what: int | str) -> int:
    """A 63-bit seed, a function of all arguments: noise does not depend on earlier draws."""
    return int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:8], "big") >> 1


def environment() -> dict[str, Any]:
    """Command, commit, versions and machine, for env.json."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "command": " ".join(sys.argv),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": versions,
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def release_memory() -> None:
    """Return freed memory to the system: after tensors of many sizes glibc's heap has holes."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return


def commit() -> str | None:
    """The commit of the checkout that contains this package, with + if tracked files differ from
    it.
    """
    folder = str(Path(__file__).parent)

    def git(*arguments: str) -> str:
        command = ["git", "-C", folder, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changes = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
