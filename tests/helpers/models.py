"""Random features, Llama 3's tokenizer, and tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import torch

from serdesc import config as configs
from serdesc import models
from serdesc.config import Config

L, D = 3, 6  # layers and width of random features


def random_features(*frames: int) -> list[Any]:
    """x (L, T, D) for each number of frames T."""
    import torch

    generator = torch.Generator().manual_seed(4)
    return [torch.randn(L, t, D, generator=generator) for t in frames]


class Llama3:
    """The real tokenizer, read with tiktoken; special tokens in the order of Meta's list."""

    PATTERN = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    SPECIAL = {
        "<|begin_of_text|>": 128000, "<|end_of_text|>": 128001, "<|start_header_id|>": 128006, "<|end_header_id|>": 128007, "<|eot_id|>": 128009,
    }  # fmt: skip

    def __init__(self, ranks: Path) -> None:
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe

        self.bpe = tiktoken.Encoding(
            "llama3",
            pat_str=self.PATTERN,
            mergeable_ranks=load_tiktoken_bpe(str(ranks)),
            special_tokens=self.SPECIAL,
        )

    def get_vocab(self) -> dict[str, int]:
        return self.SPECIAL

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return self.bpe.encode(text, allowed_special="all")

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return self.bpe.decode(ids)


def configured(settings: Sequence[str], system: str) -> Config:
    return configs.load([Path(system)], [*settings, "llm.lora.dropout=0"])


def tiny(settings: Sequence[str], system: str) -> models.Model:
    torch.manual_seed(1)
    return models.build(configured(settings, system), L, D)
