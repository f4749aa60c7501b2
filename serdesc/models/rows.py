"""Rows of the LLM's input, and where each token of a batch stands in them.

B rows are padded to N positions. Positions are counted through the batch, row after row; they are
worked out on the CPU, so that the embeddings of a whole batch are put in place at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Sequence

import torch
from torch import Tensor

Side = Literal["left", "right"]


class Rows(NamedTuple):
    """The LLM's input: a row for each utterance. M: label tokens of all rows, row after row."""

    embeds: Tensor  # (B, N, H)
    mask: Tensor  # (B, N), attention mask
    labels: Tensor  # (M,)
    predicting: Tensor  # (M,), the position before each label


@dataclass
class Layout:
    """Positions of the tokens of a batch."""

    mask: Tensor  # (B, N)
    ids: list[int] = field(default_factory=list)  # of text
    text_at: list[int] = field(default_factory=list)
    speech_at: list[list[int]] = field(default_factory=list)  # of each group, with its padding
    predicting: list[int] = field(default_factory=list)  # the position before each label

    @property
    def surplus(self) -> int:
        """One position more than the batch has: the tokens of padding frames go there."""
        return self.mask.numel()


def lay_out(
    texts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    tokens: Sequence[int],
    width: int,
    attend: bool,
    padding: Side,
) -> Layout:
    """Text and speech in turn, then the answer: texts[0], first group, texts[1], ...

    tokens: U of each utterance; width: U of the batch; attend: to the second group, which is left
    out otherwise.
    """
    groups = len(texts) - 1
    fixed = sum(len(text) for text in texts)
    counts = [groups * u if attend else u for u in tokens]
    lengths = [fixed + count + len(a) for count, a in zip(counts, answers, strict=True)]
    n = max(lengths)
    layout = Layout(torch.zeros(len(lengths), n, dtype=torch.long))
    layout.speech_at = [[] for _ in range(groups)]
    for i, (u, answer) in enumerate(zip(tokens, answers)):
        begin = n - lengths[i] if padding == "left" else 0
        layout.mask[i, begin : begin + lengths[i]] = 1
        at = i * n + begin
        for group, text in enumerate(texts):
            at = _put_text(layout, text, at)
            if group < groups:
                placed = u if attend or group == 0 else 0
                surplus = [layout.surplus] * (width - placed)
                layout.speech_at[group] += [*range(at, at + placed), *surplus]
                at += placed
        layout.predicting += range(at - 1, at - 1 + len(answer))
        _put_text(layout, answer, at)
    return layout


def _put_text(layout: Layout, text: Sequence[int], at: int) -> int:
    """Add text tokens at a position; returns the one after them."""
    layout.ids += text
    layout.text_at += range(at, at + len(text))
    return at + len(text)
