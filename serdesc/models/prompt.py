"""The prompt that speech tokens are spliced into: Figure 1 of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serdesc.config import INSTRUCTION, SYSTEM
from serdesc.errors import UserError


@dataclass(frozen=True)
class Turns:
    """What an LLM writes around the turns of a chat. `end` closes the answer, and is what training targets end in."""

    system: str
    user: str
    assistant: str
    end: str


# Known by the token that opens a turn. Templates are not asked: Llama 3's adds today's date, and the prompt would change daily.
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
    "<|hears|>": Turns(
        system="<|begin|>", user="<|hears|>", assistant="<|writes|>", end="<|done|>"
    ),  # llama-mini
}


class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    def get_vocab(self) -> dict[str, int]: ...

    def encode(self, text: str, add_special_tokens: bool) -> list[int]: ...

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str: ...


def turns_of(tokenizer: Tokenizer) -> Turns:
    vocabulary = tokenizer.get_vocab()
    for mark, turns in TURNS.items():
        if mark in vocabulary:
            return turns
    raise UserError(
        f"the LLM's tokenizer has none of the turn markers {', '.join(TURNS)}: take a chat model of a known family, or add its "
        "markers to TURNS in serdesc/models/prompt.py"
    )


@dataclass(frozen=True)
class Prompt:
    """Token ids around the two groups of speech tokens: before s_con, between s_con and s_des, after s_des; and the answer's end."""

    before: list[int]
    between: list[int]
    after: list[int]
    end: int


def build_prompt(
    tokenizer: Tokenizer, system: str = SYSTEM, instruction: str = INSTRUCTION
) -> Prompt:
    turns = turns_of(tokenizer)

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    end = ids(turns.end)
    assert len(end) == 1, f"end of turn {turns.end} is {len(end)} tokens"
    return Prompt(
        ids(turns.system + system + turns.user),
        ids("\n"),
        ids("\n" + instruction + turns.assistant),
        end[0],
    )
