"""A small experiment."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from pathlib import Path
from typing import Any, Callable

import torch

from serdesc import config as configs
from serdesc.config import Config
from serdesc.data import annotate, datadir
from serdesc.data.datadir import Utterance
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.inference.decode import decode
from serdesc.models import checkpoint
from serdesc.training import trainer
from serdesc.training.stopping import StopRequest

CPU = torch.device("cpu")


class Lab:
    """A fold of made-up data, its store, and what trains on it."""

    def __init__(self, corpus: Path, folder: Path, settings: list[str]) -> None:
        self.folder, self.settings, self.corpus = folder, settings, corpus
        self.config = self.configured()
        annotate.annotate(corpus, self.config, nj=1)
        encoder = Encoder.load(self.config.encoder, CPU)
        stores.write(folder / "store", datadir.read(corpus), encoder, self.config.store)
        self.features = stores.Store(folder / "store")
        self.train_part = datadir.read(corpus / "fold1" / "train")
        self.test_part = datadir.read(corpus / "fold1" / "test")

    def configured(self, *more: str) -> Config:
        return configs.load(settings=[*self.settings, *more])

    def exp(self, name: str) -> Path:
        return self.folder / name / "fold1"

    def train(
        self,
        name: str,
        *more: str,
        data: list[Utterance] | None = None,
        stop: StopRequest | None = None,
    ) -> Path:
        exp, config = self.exp(name), self.configured(*more)
        trainer.train(data or self.train_part, self.features, config, exp, 1, CPU, stop)
        return exp

    def forked(
        self, name: str, *more: str, patch: Callable[[], None] | None = None, ranks: int = 1
    ) -> list[Any]:
        """Processes that train together, for a kill; `patch` is called in each first."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def work(rank: int) -> None:
            if ranks > 1:
                os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks)}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            if patch is not None:
                patch()
            self.train(name, *more)

        started = []
        for rank in range(ranks):
            started.append(multiprocessing.get_context("fork").Process(target=work, args=(rank,)))
            started[-1].start()
        return started

    def command(self, name: str, *more: str) -> list[str]:
        """The command line that trains."""
        command = [sys.executable, "-m", "serdesc.cli", "train"]
        command += [str(self.corpus / "fold1" / "train"), str(self.folder / "store")]
        return [*command, str(self.exp(name)), *self.options(*more)]

    def options(self, *more: str) -> list[str]:
        return [word for setting in [*self.settings, *more] for word in ("--set", setting)]

    def captions(self, exp: Path) -> bytes:
        model, _ = checkpoint.load_model(exp, self.features, CPU)
        decode(model, self.features, self.test_part, exp / "decode_test" / "hyp.jsonl")
        return (exp / "decode_test" / "hyp.jsonl").read_bytes()
