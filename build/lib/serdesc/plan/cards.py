"""Speed of a machine: a GPU of cards.yaml at an assumed share of its peak; memory of this machine.

calibrate.py measures the speed of this machine instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serdesc.config import Config
from serdesc.errors import UserError

TABLE = Path(__file__).with_name("cards.yaml")
# Assumed shares of the peak: FLOP/s in training and in the encoder, bandwidth in decoding.
TRAINING, ENCODING, READING = 0.40, 0.45, 0.60
LAUNCH = 0.7e-3  # seconds to launch the kernels of one LLM layer, the lower bound of its time
SLOWER = {"none": 1.0, "8bit": 0.5, "4bit": 0.75}  # assumed speed with quantized weights
CONTEXT = 1.0  # GB for CUDA, its libraries and fragmentation of the allocator
PROGRAM = 0.8  # GB for Python and its libraries without a GPU


@dataclass(frozen=True)
class Speed:
    """Effective speeds of a machine for one configuration."""

    name: str
    memory: float  # GB
    gpu: bool
    training: float  # FLOP/s of a training step
    encoding: float  # FLOP/s of the encoder
    reading: float  # FLOP/s of the LLM in prefill, without gradients
    bandwidth: float  # bytes/s at which decoding reads the LLM's weights
    launch: float  # minimum seconds per layer and pass
    notes: tuple[str, ...] = ()


def table() -> dict[str, dict[str, float]]:
    """Card -> memory (GB), bandwidth (GB/s) and peak TFLOP/s by precision."""
    import yaml

    rows: dict[str, dict[str, float]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return rows


def card(name: str, config: Config) -> Speed:
    """The speed of a card of the table. Raises UserError if it is not listed."""
    known = table()
    if name not in known:
        raise UserError(
            f"--gpu {name}: not in the table of cards, which has {', '.join(known)}: "
            "use one of them, or add a line to cards.yaml"
        )
    row = known[name]
    notes: list[str] = []
    training = _peak(row, config.llm.dtype, "llm", notes)
    encoding = _peak(row, config.encoder.dtype, "encoder", notes)
    slower = SLOWER[config.llm.quantization]
    notes += [
        f"{name} reaches {TRAINING:.0%} of its peak FLOP/s in training, {ENCODING:.0%} in the "
        f"encoder and {READING:.0%} of its bandwidth in decoding",
        f"launching the kernels of an LLM layer takes {LAUNCH * 1e3:g} ms; reading features from "
        "disk is no bottleneck",
        f"CUDA and fragmentation of its allocator take {CONTEXT:g} GB",
    ]
    if slower < 1:
        notes.append(dequantized(config))
    return Speed(
        name=name,
        memory=row["memory"],
        gpu=True,
        training=training * TRAINING * slower,
        encoding=encoding * ENCODING,
        reading=training * TRAINING * slower,
        bandwidth=row["bandwidth"] * 1e9 * READING,
        launch=LAUNCH,
        notes=tuple(notes),
    )


def dequantized(config: Config) -> str:
    """The note on the assumed speed with quantized weights."""
    quantization = config.llm.quantization
    return (
        f"{quantization} weights are dequantized for each matrix product: "
        f"{SLOWER[quantization]:g} times the speed"
    )


def _peak(row: dict[str, float], dtype: str, section: str, notes: list[str]) -> float:
    """FLOP/s; a card without bfloat16 computes in float32."""
    if not row[dtype]:
        notes.append(
            f"the card has no {dtype}: {section}.dtype {dtype} runs at the speed of float32; "
            f"use --set {section}.dtype=float16"
        )
    return (row[dtype] or row["float32"]) * 1e12


def here() -> float:
    """Memory in GB that this process may use: the machine's, or the limit of its cgroup."""
    import os

    limits: list[Any] = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    group = Path("/sys/fs/cgroup/memory.max")
    if group.exists() and group.read_text().strip().isdigit():
        limits.append(int(group.read_text()))
    return float(min(limits)) / 1e9
