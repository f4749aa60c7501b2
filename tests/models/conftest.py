"""A tiny model of random weights."""

from __future__ import annotations

import pytest
import torch
from helpers.models import D, L

from serdesc import config as configs
from serdesc.config import Config
from serdesc.models import llm as llms
from serdesc.models.describer import Describer


@pytest.fixture
def config(tiny_settings: list[str]) -> Config:
    return configs.load(settings=[*tiny_settings, "llm.lora.dropout=0"])


@pytest.fixture
def model(config: Config) -> Describer:
    torch.manual_seed(1)
    llm, tokenizer = llms.load(config.llm)
    return Describer(llm, tokenizer, L, D, config)
