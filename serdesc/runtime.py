"""Device, threads, processes, seeds, and the record of a run's environment. Imports torch."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Sequence

import torch
import torch.distributed as dist

from serdesc import manifest
from serdesc.config import Config
from serdesc.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PACKAGES = ("serdesc", "torch", "transformers", "peft", "safetensors", "librosa", "numpy")
# Beginnings of the environment variables in env.json, and words in the names of secrets
VARIABLES = (
    *("SLURM_JOB", "SLURM_ARRAY", "SLURM_NODELIST", "SLURM_RESTART_COUNT", "PBS_JOB", "LSB_JOBID"),
    *("CUDA_", "CUBLAS_", "NVIDIA_", "NCCL_", "PYTORCH_", "TORCH_", "OMP_", "MKL_", "KMP_"),
    *("OPENBLAS_", "ATEN_", "ONEDNN_", "DNNL_", "HF_", "TRANSFORMERS_", "SERDESC_", "PYTHONHASH"),
)
SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD")


def start(config: Config) -> torch.device:
    """Set the number of threads and deterministic kernels; returns the configured device.

    Raises UserError for a device that torch does not have.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    strict = config.deterministic == "strict"
    torch.use_deterministic_algorithms(True, warn_only=not strict)
    if strict:  # the backward passes of these attention kernels add in no fixed order
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)
        torch.backends.cudnn.benchmark = False
    # Otherwise every new tensor is filled with NaN first: 600 kernels a step of a small model.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":  # the card of this process
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"device: '{name}', but torch finds no GPU here: use --set device=cpu or a machine with"
            " a GPU"
        )
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(
            f"device: '{name}' is unknown to torch: use auto, cpu, cuda or cuda:1"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise UserError(
            f"device: '{name}', but torch sees {count} GPUs here: start one process for each GPU,"
            " or request more GPUs"
        )
    return device


def init_distributed(device: torch.device) -> tuple[int, int]:
    """Rank and world size of this process as torchrun set them; the first call starts the group,
    which communicates between devices of this kind.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world > 1 and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
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
        "command": manifest.command_line(),
        "directory": str(Path.cwd()),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": versions,
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "gpus": torch.cuda.device_count(),
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
        "variables": _variables(),
    }


def _variables() -> dict[str, str]:
    """The environment variables that act on results, speed or place, of this job."""
    kept = {}
    for name, value in sorted(os.environ.items()):
        secret = any(word in name for word in SECRET)
        if name.startswith(VARIABLES) and not secret:
            kept[name] = value
    return kept


def _driver() -> str | None:
    """Version of the GPU driver; None without one."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        run = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None


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
