"""A small experiment."""

from __future__ import annotations

from pathlib import Path

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

    def train(self, name: str, *more: str, data: list[Utterance] | None = None) -> Path:
        exp = self.folder / name / "fold1"
        trainer.train(data or self.train_part, self.features, self.configured(*more), exp, 1, CPU)
        return exp

    def captions(self, exp: Path) -> bytes:
        model, _ = checkpoint.load_model(exp, self.features, CPU)
        decode(model, self.features, self.test_part, exp / "decode_test" / "hyp.jsonl")
        return (exp / "decode_test" / "hyp.jsonl").read_bytes()
