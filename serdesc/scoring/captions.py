"""What of a caption is compared, and as which tokens.

A caption quotes the transcript, so n-grams of the whole mostly measure speech recognition. `caption_text: style` takes the quoted
transcript out of both sides; `full` leaves it in. English is tokenised as the COCO caption tools do (Stanford's PTB tokenizer, lower
case); Mandarin by characters, by jieba, or by characters with Latin words whole.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Sequence

from serdesc.captions import reader
from serdesc.config import ScoringConfig
from serdesc.scoring import java

# What COCO's caption evaluation leaves out after tokenising.
PTB_MARKS = frozenset(
    (
        "''",
        "'",
        "``",
        "`",
        "-LRB-",
        "-RRB-",
        "-LCB-",
        "-RCB-",
        ".",
        "?",
        "!",
        ",",
        ":",
        "-",
        "--",
        "...",
        ";",
    )
)
_HAN, _LATIN_WORD = re.compile(r"[\u3400-\u9fff]"), re.compile(r"[A-Za-z]+")
_LATIN_OR_CHARACTER = re.compile(r"[a-z0-9]+|\S")


@dataclass(frozen=True)
class Captions:
    """Captions of two sides, in one order, as they are compared; tokens are separated by spaces."""

    hyps: list[str]
    refs: list[str]
    config: ScoringConfig

    @cached_property
    def tokens(self) -> tuple[list[str], list[str]]:
        """Tokenised (hyps, refs), both in one call."""
        tokenised = tokenise([*self.hyps, *self.refs], self.config)
        return tokenised[: len(self.hyps)], tokenised[len(self.hyps) :]

    @property
    def tokenised(self) -> bool:
        return "tokens" in self.__dict__

    @classmethod
    def of_tokens(cls, hyps: list[str], refs: list[str], config: ScoringConfig) -> Captions:
        """Captions that were tokenised before."""
        made = cls(hyps, refs, config)
        made.__dict__["tokens"] = (hyps, refs)
        return made


def chosen(caption: str, config: ScoringConfig) -> str:
    """The caption on one line, with or without the transcript that it quotes."""
    text = reader.without_transcript(caption) if config.caption_text == "style" else caption
    return " ".join(text.split())


LANGUAGES = {"en": "English", "zh": "Mandarin"}


def language(texts: Sequence[str]) -> str:
    """zh where there are more Chinese characters than Latin words, else en."""
    whole = " ".join(texts)
    return "zh" if len(_HAN.findall(whole)) > len(_LATIN_WORD.findall(whole)) else "en"


def refuse_other_languages(hyps: Sequence[str], refs: Sequence[str], config: ScoringConfig) -> None:
    """Raises NotComputed where captions in one language would be scored against references in another."""
    said, wanted = language(hyps), language(refs)
    if wanted != config.language:
        raise java.NotComputed(
            f"the references are in {LANGUAGES[wanted]}, but scoring.language is {config.language}: set it to {wanted}"
        )
    if said != wanted:
        raise java.NotComputed(
            f"the answers are in {LANGUAGES[said]}, the references in {LANGUAGES[wanted]}: a score between them means nothing. "
            "Give --refs FILE with translated references and set scoring.language to theirs"
        )


def signed(config: ScoringConfig) -> dict[str, Any]:
    """What a caption metric's signature says of its text."""
    how = "ptb" if config.language == "en" else config.segmentation
    return {
        "caption_text": config.caption_text,
        "language": config.language,
        "tokens": how,
        "punctuation": config.punctuation,
    }


def tokenise(texts: Sequence[str], config: ScoringConfig) -> list[str]:
    return (
        _ptb(texts, config)
        if config.language == "en"
        else [_mandarin(text, config) for text in texts]
    )


def _ptb(texts: Sequence[str], config: ScoringConfig) -> list[str]:
    jar = java.jars() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    arguments = [
        "-cp",
        str(jar),
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
    ]
    different = list(dict.fromkeys(texts))
    said = java.run(
        arguments,
        "\n".join(different) + "\n",
        "PTB tokenizer",
        memory=config.java_memory,
        timeout=config.java_timeout,
    )
    lines = said.split("\n")[: len(different)]
    kept = (line.split() for line in lines)
    if config.punctuation == "removed":
        kept = ([token for token in line if token not in PTB_MARKS] for line in kept)
    tokenised = dict(zip(different, (" ".join(line) for line in kept), strict=True))
    return [tokenised[text] for text in texts]


def _mandarin(text: str, config: ScoringConfig) -> str:
    plain = text.lower()
    if config.punctuation == "removed":
        plain = "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in plain)
    if config.segmentation == "jieba":
        import jieba

        return " ".join(word for word in jieba.lcut(plain) if word.strip())
    if config.segmentation == "mixed":
        return " ".join(_LATIN_OR_CHARACTER.findall(plain))
    return " ".join("".join(plain.split()))
