"""Tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
import torch
from helpers.models import Llama3
from helpers.plan import built

from serdesc import config as configs
from serdesc import models
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.models.adapter import token_count
from serdesc.models.speech import SpeechTokens
from serdesc.plan import lengths, work

CPU = torch.device("cpu")


def test_tokens_are_those_that_the_model_gets(corpus: Path, tiny_settings: list[str]) -> None:
    config = configs.load(settings=tiny_settings)
    encoder, model = built(config)
    measured, scale, notes = lengths.items(datadir.read(corpus), encoder, model.tokenizer, config)
    real = models.initialise(config, stores.Live(Encoder.load(config.encoder, CPU)), CPU)
    for item in measured:
        u = token_count(item.frames, config.adapter.k)
        zeros = torch.zeros(1, u, real.llm_width)
        speech = SpeechTokens(zeros, zeros, torch.zeros(()))
        rows = real.build_rows(real.prompt, speech, [u], [item.caption])
        shape = work.padded(
            [item], lengths.prompt_tokens(model.tokenizer, config), "descriptor", config
        )
        assert (shape.n, shape.labels) == (rows.embeds.shape[1], len(rows.labels))
    assert scale == 1 and notes == [
        "some labels are missing (serdesc annotate): captions of seven fields are assumed"
    ]


def test_an_estimate_of_tokens_is_near_llama_3s(real_models: Callable[[str], Path]) -> None:
    real, guess = Llama3(real_models("llama3_tokenizer/tokenizer.model")), lengths.Estimate("llama")
    assert abs(lengths.prompt_tokens(guess, Config()) - 40) <= 2
    for text in (
        (
            'A tired old man says at a slow pace, "they were so overwhelmed with the waters",'
            " sounding sad."
        ),
        "伤心难过，声音颤抖，情绪激动失望",
    ):
        assert len(guess.encode(text)) == pytest.approx(len(real.encode(text, False)), rel=0.15)


def test_the_posterior_of_a_model_that_chooses_words_needs_no_candidates() -> None:
    def counted(*settings: str) -> int:
        return lengths.candidates(configs.load(settings=[*settings]), 4)

    words = ("adapter.words=true", "adapter.slots=7")
    assert counted() == counted(words[0]) == counted(*words, "model=undivided") == 4
    assert counted(*words) == counted("decoding.posterior=false") == 0
    assert lengths.candidates(configs.load(), 1) == 0
