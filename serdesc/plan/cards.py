"""How fast a machine is: a card of cards.yaml at an assumed share of its peak, or this machine as calibrate.py measured it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serdesc.config import Config
from serdesc.errors import UserError

TABLE = Path(__file__).with_name("cards.yaml")
TRAINING, ENCODING, READING = (
    0.40,
    0.45,
    0.60,
)  # assumed shares of the peak: of FLOP/s, FLOP/s and bandwidth
LAUNCH = 0.7e-3  # seconds that the operators of one LLM layer take to start, however little they have to do
SLOWER = {"none": 1.0, "8bit": 0.5, "4bit": 0.75}  # assumed: weights are unpacked for each product
CONTEXT = 1.0  # GB that CUDA, its libraries and the allocator's gaps take
PROGRAM = 0.8  # GB that Python and its libraries take where there is no GPU


@dataclass(frozen=True)
class Speed:
    """Effective speeds of a machine for one configuration."""

    name: str
    memory: float  # GB
    gpu: bool
    training: float  # FLOP/s of a training step
    encoding: float  # FLOP/s of the encoder
    reading: float  # FLOP/s of the LLM over whole rows, without gradients
    bandwidth: float  # bytes/s at which the LLM's weights pass in decoding
    launch: float  # seconds a layer and pass take at least
    notes: tuple[str, ...] = ()


def table() -> dict[str, dict[str, float]]:
    import yaml

    rows: dict[str, dict[str, float]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return rows


def card(name: str, config: Config) -> Speed:
    known = table()
    if name not in known:
        raise UserError(
            f"--gpu {name}: not in the table of cards, which has {', '.join(known)}: take one of them, or add a line to cards.yaml"
        )
    row = known[name]
    notes: list[str] = []
    training, encoding = (
        _peak(row, dtype, what, notes)
        for dtype, what in ((config.llm.dtype, "llm"), (config.encoder.dtype, "encoder"))
    )
    slower = SLOWER[config.llm.quantization]
    notes += [
        f"{name} reaches {TRAINING:.0%} of its peak FLOP/s in training, {ENCODING:.0%} in the encoder and {READING:.0%} of its bandwidth in decoding",
        f"the operators of an LLM layer take {LAUNCH * 1e3:g} ms to start; reading features from disk keeps up",
        f"CUDA and the gaps of its allocator take {CONTEXT:g} GB",
    ]
    if slower < 1:
        notes.append(
            f"{config.llm.quantization} weights are unpacked for each product: {slower:g} times the speed"
        )
    return Speed(
        name, row["memory"], True, training * TRAINING * slower, encoding * ENCODING, training * TRAINING * slower,
        row["bandwidth"] * 1e9 * READING, LAUNCH, tuple(notes),
    )  # fmt: skip


def _peak(row: dict[str, float], dtype: str, what: str, notes: list[str]) -> float:
    """FLOP/s; a card without bfloat16 computes it in float32."""
    if not row[dtype]:
        notes.append(
            f"the card has no {dtype}: {what}.dtype {dtype} runs at float32's speed; take --set {what}.dtype=float16"
        )
    return (row[dtype] or row["float32"]) * 1e12


def here() -> float:
    """GB of memory of this machine, by what limits this process."""
    import os

    limits: list[Any] = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    group = Path("/sys/fs/cgroup/memory.max")
    if group.exists() and group.read_text().strip().isdigit():
        limits.append(int(group.read_text()))
    return float(min(limits)) / 1e9
