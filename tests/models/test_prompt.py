"""The prompt of Figure 1."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Callable

import pytest
from helpers.models import Llama3

from serdesc.captions import reader
from serdesc.captions.fields import Fields
from serdesc.errors import UserError
from serdesc.models import prompt as prompts

# ids of the paper's prompt with Llama 3's tokenizer
BEFORE = [
    128000,
    128006,
    9125,
    128007,
    271,
    2675,
    527,
    264,
    11190,
    4221,
    323,
    8982,
    18328,
    13,
    128009,
    128006,
    882,
    128007,
    271,
]


AFTER = [
    198,
    5618,
    17703,
    279,
    1988,
    7855,
    4184,
    311,
    2262,
    323,
    8982,
    16819,
    14228,
    2038,
    13,
    128009,
    128006,
    78191,
    128007,
    271,
]


def test_prompt_is_the_papers_to_the_last_id(real_models: Callable[[str], Path]) -> None:
    tokenizer = Llama3(real_models("llama3_tokenizer/tokenizer.model"))
    assert tokenizer.encode("This is a test sentence.", False) == [2028, 374, 264, 1296, 11914, 13]
    prompt = prompts.build_prompt(tokenizer)
    assert prompt == prompts.Prompt(BEFORE, [198], AFTER, 128009)
    example = (
        "Within the realm of politics, an old man with low pitch and moderate volume expresses his"
        ' opinion at a slow pace, stating, "The way he talks about people", his anger evident in'
        ' his speech, accentuating the word "people" distinctly.'
    )
    assert len(tokenizer.encode(example, False)) + 1 == 50
    assert reader.read(example) == Fields(
        "The way he talks about people",
        "angry",
        "low",
        "normal",
        "slow",
        "elderly",
        "male",
        ("people",),
    )


def test_prompt_is_the_same_on_two_days(tiny_llm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llm)
    today = prompts.build_prompt(tokenizer)

    class Tomorrow(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return super().now(tz) + datetime.timedelta(days=1)

    monkeypatch.setattr(datetime, "datetime", Tomorrow)
    assert prompts.build_prompt(tokenizer) == today
    assert today.end != tokenizer.pad_token_id


def test_a_tokenizer_without_known_turns_is_refused() -> None:
    class Bare(Llama3):
        def __init__(self) -> None: ...

        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

    with pytest.raises(UserError, match="turn markers"):
        prompts.build_prompt(Bare())
