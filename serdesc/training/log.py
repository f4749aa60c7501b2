"""train.jsonl: one row per optimiser step, appended while training runs; TensorBoard's event files
beside it (training.tensorboard). Imports no torch.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TextIO

from serdesc.files import read_jsonl, write_errors, write_jsonl
from serdesc.plugins import installed

Row = dict[str, Any]


def read_log(path: Path) -> list[Row]:
    """Rows of train.jsonl, none if it is absent; version 0.1 wrote the learning rate as `rate`."""
    rows = []
    for row in read_jsonl(path, growing=True) if path.exists() else ():
        if "rate" in row:
            row["lr"] = row.pop("rate")
        rows.append(row)
    return rows


class Log:
    """The open train.jsonl of a training that starts after `steps` steps of a block.

    Rows of later steps, which a killed run left, are removed first, and hidden in event files.
    """

    def __init__(self, path: Path, block: int, steps: int, tensorboard: bool = False) -> None:
        self.path = path
        kept, in_block = [], 0
        for row in read_log(path):
            in_block += row["block"] == block
            if row["block"] < block or (row["block"] == block and in_block <= steps):
                kept.append(row)
        write_jsonl(path, kept)
        with write_errors(path):
            self.file: TextIO = path.open("a", encoding="utf-8", newline="\n")
            self.step, self.events = len(kept), None
            if tensorboard:
                writer = installed("tensorboardX", "tensorboard", "tensorboardX").SummaryWriter
                self.events = writer(
                    str(path.parent / "tensorboard"),
                    purge_step=self.step,
                    filename_suffix=f".{self.step}",  # starts within one second
                )

    def append(self, row: Row) -> None:
        """Raises FailedError if it cannot be written."""
        with write_errors(self.path):
            self.file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self.file.flush()
            if self.events is not None:
                for name in ("llm_loss", "kl_loss", "vib_loss", "grad_norm", "lr"):
                    if name in row:
                        self.events.add_scalar(f"{row['phase']}/{name}", row[name], self.step)
            self.step += 1

    def synchronise(self) -> None:
        """Before a checkpoint, which stands for the rows up to it."""
        with write_errors(self.path):
            os.fsync(self.file.fileno())
            if self.events is not None:
                self.events.flush()

    def close(self) -> None:
        self.file.close()
        if self.events is not None:
            self.events.close()
