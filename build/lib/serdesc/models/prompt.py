"""The prompt that speech tokens are spliced into: Figure 1 of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serdesc.config import INSTRUCTION, SYSTEM
from serdesc.errors import UserError


@dataclass(frozen=True)
class Turns:
    """Turn markers of a chat model. `end` closes the answer and ends every training target."""

    system: str
    user: str
    assistant: str
    end: str


# First marker -> markers of a model family. Chat templates are not used: Llama 3's inserts today's
# date.
TURNS = {
    "<|start_header_id|>": Turns(  # Llama 3
        system="<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n",
        user="<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        assistant="<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        end="<|eot_id|>",
    ),
    "<|im_start|>": Turns(  # Qwen 2 and later
        system="<|im_start|>system\n",
        user="<|im_end|>\n<|im_start|>user\n",
        assistant="<|im_end|>\n<|im_start|>assistant\n",
        end="<|im_end|>",
    ),
    "<|hears|>": Turns(  # llama-mini
        system="<|begin|>", user="<|hears|>", assistant="<|writes|>", end="<|done|>"
    ),
}


class Tokenizer(Protocol):
    """The methods of a Hugging Face tokenizer that are used."""

    def get_vocab(self) -> dict[str, int]: ...

    def encode(self, text: str, add_special_tokens: bool) -> list[int]: ...

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str: ...


def turns_of(tokenizer: Tokenizer) -> Turns:
    """The turn markers of a tokenizer's model family. Raises UserError for an unknown family."""
    vocabulary = tokenizer.get_vocab()
    for marker, turns in TURNS.items():
        if marker in vocabulary:
            return turns
    raise UserError(
        f"the LLM's tokenizer has none of the turn markers {', '.join(TURNS)}: use a chat model of"
        " a known family, or add its markers to TURNS in serdesc/models/prompt.py"
    )


@dataclass(frozen=True)
class Prompt:
    """Token ids before s_con (P1), between s_con and s_des (P2), after s_des (P3), and the end
    token.
    """

    before: list[int]
    between: list[int]
    after: list[int]
    end: int


def build_prompt(
    tokenizer: Tokenizer, system: str = SYSTEM, instruction: str = INSTRUCTION
) -> Prompt:
    """The prompt of Figure 1 in the turn markers of the tokenizer's family."""
    turns = turns_of(tokenizer)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    end = encode(turns.end)
    assert len(end) == 1, f"end of turn {turns.end} is {len(end)} tokens"
    return Prompt(
        before=encode(turns.system + system + turns.user),
        between=encode("\n"),
        after=encode("\n" + instruction + turns.assistant),
        end=end[0],
    )
