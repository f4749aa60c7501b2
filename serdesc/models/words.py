"""Speech tokens as words of the LLM (adapter.words), for which training.pretrain makes them. Not in
the paper.

B utterances, U speech tokens, H LLM width, C values of a field.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from serdesc.captions.fields import VALUES
from serdesc.config import Config
from serdesc.models import llm as llms
from serdesc.models.speech import frame_mask

BLANK = " "  # the token that blanks become: an LLM passes over it without training
SHARPNESS = 30.0  # logit of a token: minus so many squared distances, the mean embedding as unit


def are_given_for_fields(config: Config) -> bool:
    """Whether the LLM is given a word for each field, which the descriptor branch chose."""
    adapter = config.adapter
    return adapter.words and adapter.slots > 0 and config.model == "describer"


def embeddings_of(llm: nn.Module, tokenizer: Any, values: Sequence[str]) -> Tensor:
    """The LLM's input embeddings of the values of a field (C, H), means over their tokens."""
    weight = llms.embeddings(llm).weight.detach()
    ids = [tokenizer.encode(f" {value}", add_special_tokens=False) for value in values]
    return torch.stack([weight[of_value].float().mean(0) for of_value in ids])


def closeness(s: Tensor, embeddings: Tensor) -> Tensor:
    """(..., C) of s (..., H) to embeddings (C, H): |s|^2 minus the squared distances."""
    return 2 * s @ embeddings.T - embeddings.square().sum(-1)


@torch.inference_mode(False)  # it may be computed in decoding and used in training
def mean_square(llm: nn.Module) -> Tensor:
    """The mean squared length of the LLM's input embeddings: the unit of squared distances."""
    return llms.embeddings(llm).weight.detach().float().square().sum(-1).mean()


def log_probabilities(s: Tensor, embeddings: Tensor, unit: Tensor) -> Tensor:
    """(..., C) of the embeddings (C, H) for each of s (..., H), by their squared distances."""
    return (SHARPNESS / unit * closeness(s, embeddings)).log_softmax(-1)


def nearest(s: Tensor, embeddings: Tensor) -> Tensor:
    """For each vector of s (..., H) the nearest of the embeddings (C, H)."""
    return embeddings[closeness(s, embeddings).argmax(-1)].to(s)


def slot_of(name: str, slots: int) -> int:
    """The slot of a field: its tokens are this one and every `slots`-th after it."""
    return list(VALUES).index(name) % slots


def vocabulary_of(tokenizer: Any, transcripts: Iterable[str]) -> set[int]:
    """The tokens of transcripts, and the blank."""
    texts = [BLANK, *(f" {text}" for text in transcripts)]
    return {token for text in texts for token in tokenizer.encode(text, add_special_tokens=False)}


def nearest_content(
    llm: nn.Module, tokenizer: Any, s: Tensor, vocabulary: Sequence[int] = ()
) -> Tensor:
    """s (B, U, H) with the embedding of the nearest token in place of each speech token, and the
    blank in place of a repetition, as CTC reads its best path.

    vocabulary: the tokens to choose from; empty: all.
    """
    weight = llms.embeddings(llm).weight.detach()
    chosen = nearest_tokens(llm, s, vocabulary)  # (B, U)
    repeated = functional.pad(chosen[:, 1:] == chosen[:, :-1], (1, 0))
    blank = weight[tokenizer.encode(BLANK, add_special_tokens=False)[0]]
    return torch.where(repeated[..., None], blank.float(), weight[chosen].float()).to(s)


def nearest_tokens(llm: nn.Module, s: Tensor, vocabulary: Sequence[int] = ()) -> Tensor:
    """The LLM's token that is nearest to each speech token (..., H), of a vocabulary as above."""
    weight = llms.embeddings(llm).weight.detach()
    embeddings = (weight[list(vocabulary)] if vocabulary else weight).float()
    chosen = closeness(s, embeddings).argmax(-1)
    return chosen.new_tensor(list(vocabulary))[chosen] if vocabulary else chosen


def transcript_of(llm: nn.Module, tokenizer: Any, s: Tensor, vocabulary: Sequence[int] = ()) -> str:
    """The text of CTC's best path over the speech tokens (U, H) of an utterance: repetitions
    merged, blanks left out.
    """
    blank = tokenizer.encode(BLANK, add_special_tokens=False)[0]
    path = groupby(nearest_tokens(llm, s, vocabulary).tolist())
    text: str = tokenizer.decode([token for token, _ in path if token != blank])
    return text.strip()


def nearest_values(llm: nn.Module, tokenizer: Any, s: Tensor, counts: Tensor, slots: int) -> Tensor:
    """s (B, U, H), each slot's tokens replaced by the value of its field that is nearest to their
    mean. counts (B,): speech tokens of each utterance without padding.
    """
    found = s.clone()
    for name in list(VALUES)[:slots]:
        embeddings, slot = embeddings_of(llm, tokenizer, VALUES[name]), slot_of(name, slots)
        found[:, slot::slots] = nearest(mean_of_slot(s, counts, slot, slots), embeddings)[:, None]
    return found


def mean_of_slot(s: Tensor, counts: Tensor, slot: int, slots: int) -> Tensor:
    """The mean (B, H) of each utterance's tokens of a slot; zeros for one too short to have any."""
    own = frame_mask(counts, s.shape[1])[:, slot::slots, None]  # (B, tokens, 1)
    return (s[:, slot::slots].float() * own).sum(1) / own.sum(1).clamp_min(1)
