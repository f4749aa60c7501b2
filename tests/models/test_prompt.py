"""The prompt of Figure 1."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Callable

import pytest
import torch
from helpers.models import D, L, Llama3, random_features

from serdesc import config as configs
from serdesc import models
from serdesc.captions import reader
from serdesc.captions.fields import Fields
from serdesc.config import INSTRUCTION, SYSTEM
from serdesc.errors import UserError
from serdesc.features.batches import pad
from serdesc.models import prompt as prompts
from serdesc.models.describer import Describer

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


def test_the_turns_of_smollm2_are_those_of_its_chat_template(
    real_models: Callable[[str], Path],
) -> None:
    """Text before, between and after the speech tokens, and the token that ends an answer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_models("smollm2-135m-instruct"))
    prompt = prompts.build_prompt(tokenizer)
    speech = "SPEECH"
    turns = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{speech}\n{speech}\n{INSTRUCTION}"},
    ]
    whole = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    before, between, after = whole.split(speech)
    encoded = [
        tokenizer.encode(text, add_special_tokens=False) for text in (before, between, after)
    ]
    assert encoded == [prompt.before, prompt.between, prompt.after]
    answered = [*turns, {"role": "assistant", "content": "A man says nothing."}]
    ids = tokenizer.apply_chat_template(answered, tokenize=True)["input_ids"]
    answer = tokenizer.encode("A man says nothing.", add_special_tokens=False)
    start = len(tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"])
    assert ids[start:][: len(answer) + 1] == [*answer, prompt.end]
    assert prompt.end == tokenizer.eos_token_id
    assert tokenizer.decode([*answer, prompt.end], skip_special_tokens=True).strip().endswith(".")


def test_padding_with_smollm2s_end_token_changes_no_answer_and_no_loss(
    real_models: Callable[[str], Path],
) -> None:
    """Its tokenizer pads with the token that ends an answer."""
    config = configs.load(
        settings=[
            f"llm.model={real_models('smollm2-135m-instruct')}", "llm.dtype=float32", "device=cpu", "branch.latent=4",
            "adapter.hidden=8", "llm.lora.r=2",
        ]  # fmt: skip
    )
    torch.manual_seed(0)
    model = models.build(config, L, D)
    assert isinstance(model, Describer)
    assert model.tokenizer.pad_token_id == model.prompt.end
    rows = random_features(40, 12, 27)
    together = model.generate(*pad(rows), 12)
    assert together == [model.generate(*pad([row]), 12)[0] for row in rows]
    targets = ["A man says no.", "A woman says yes, she is very sad.", "x"]
    with torch.no_grad():
        loss = model(*pad(rows), targets, "descriptor").llm
        each = [model(*pad([r]), [t], "descriptor").llm for r, t in zip(rows, targets)]
    torch.testing.assert_close(loss, torch.stack(each).sum(), rtol=1e-4, atol=1e-3)
