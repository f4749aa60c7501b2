"""The text of a caption that caption metrics compare, and its tokenisation.

A caption quotes the transcript, so n-grams of the whole caption mostly measure speech recognition.
`caption_text: style` removes the quoted transcript from both sides; `full` retains it. English is
tokenised as in the COCO caption tools (Stanford's PTB tokenizer, lower case); Mandarin by
characters, by jieba, or by characters with Latin words whole.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any, Sequence

from serdesc.captions import quotations
from serdesc.config import ScoringConfig
from serdesc.scoring import java

# The punctuation tokens that COCO's caption evaluation removes.
PTB_MARKS = frozenset("'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split())
_HAN, _LATIN_WORD = re.compile(r"[\u3400-\u9fff]"), re.compile(r"[A-Za-z]+")
_LATIN_OR_CHARACTER = re.compile(r"[a-z0-9]+|\S")


@dataclass(frozen=True)
class Captions:
    """Hypotheses and the references of each, in the same order; tokens are separated by spaces."""

    hyps: list[str]
    references: list[list[str]]  # one or more of each hypothesis
    config: ScoringConfig

    @cached_property
    def refs(self) -> list[str]:
        """The only reference of each. Raises NotComputed if one has several."""
        return _only(self.references)

    @cached_property
    def token_lists(self) -> tuple[list[str], list[list[str]]]:
        """Tokenised (hyps, references), in a single call of the tokenizer."""
        flat = [*self.hyps, *chain.from_iterable(self.references)]
        tokenised = iter(tokenise(flat, self.config))
        hyps = list(islice(tokenised, len(self.hyps)))
        return hyps, [list(islice(tokenised, len(refs))) for refs in self.references]

    @property
    def tokens(self) -> tuple[list[str], list[str]]:
        """Tokenised (hyps, refs). Raises NotComputed if a hypothesis has several references."""
        hyps, references = self.token_lists
        return hyps, _only(references)

    @property
    def tokenised(self) -> bool:
        return "token_lists" in self.__dict__

    @classmethod
    def of_tokens(
        cls, hyps: list[str], references: list[list[str]], config: ScoringConfig
    ) -> Captions:
        """Captions that are already tokenised."""
        captions = cls(hyps, references, config)
        captions.__dict__["token_lists"] = (hyps, references)
        return captions


def _only(references: Sequence[list[str]]) -> list[str]:
    if any(len(refs) != 1 for refs in references):
        raise java.NotComputed("this metric compares with one reference; some here have several")
    return [refs[0] for refs in references]


def chosen(caption: str, config: ScoringConfig) -> str:
    """The compared part of a caption on one line: with or without its quoted transcript."""
    text = quotations.without_transcript(caption) if config.caption_text == "style" else caption
    return " ".join(text.split())


LANGUAGES = {"en": "English", "zh": "Mandarin"}


def language(texts: Sequence[str]) -> str:
    """zh if the texts have more Chinese characters than Latin words, else en."""
    whole = " ".join(texts)
    return "zh" if len(_HAN.findall(whole)) > len(_LATIN_WORD.findall(whole)) else "en"


def refuse_other_languages(captions: Captions) -> None:
    """Raises NotComputed if hypotheses, references and scoring.language differ in language."""
    config, of_hyps = captions.config, language(captions.hyps)
    of_refs = language(list(chain.from_iterable(captions.references)))
    if of_refs != config.language:
        raise java.NotComputed(
            f"the references are in {LANGUAGES[of_refs]}, but scoring.language is "
            f"{config.language}: set it to {of_refs}"
        )
    if of_hyps != of_refs:
        raise java.NotComputed(
            f"the responses are in {LANGUAGES[of_hyps]}, the references in {LANGUAGES[of_refs]}: "
            "a score across languages is meaningless. Give --refs FILE with translated references "
            "and set scoring.language to theirs"
        )


def signature_fields(config: ScoringConfig) -> dict[str, Any]:
    """The settings of the compared text, for the signature of a caption metric."""
    tokens = "ptb" if config.language == "en" else config.segmentation
    return {
        "caption_text": config.caption_text,
        "language": config.language,
        "tokens": tokens,
        "punctuation": config.punctuation,
    }


def tokenise(texts: Sequence[str], config: ScoringConfig) -> list[str]:
    """Tokens of each text, separated by spaces. Raises NotComputed without Java (English only)."""
    if config.language == "en":
        return _ptb(texts, config)
    return [_mandarin(text, config) for text in texts]


def _ptb(texts: Sequence[str], config: ScoringConfig) -> list[str]:
    jar = java.jars() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    arguments = [
        "-cp",
        str(jar),
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
    ]
    unique = list(dict.fromkeys(texts))
    output = java.run(
        arguments,
        "\n".join(unique) + "\n",
        "PTB tokenizer",
        memory=config.java_memory,
        timeout=config.java_timeout,
    )
    ignored = PTB_MARKS if config.punctuation == "removed" else frozenset()
    tokenised: dict[str, str] = {}
    for text, line in zip(unique, output.split("\n")[: len(unique)], strict=True):
        tokenised[text] = " ".join(token for token in line.split() if token not in ignored)
    return [tokenised[text] for text in texts]


def _without_mark(character: str) -> str:
    """A space for a punctuation mark or a symbol."""
    return " " if unicodedata.category(character)[0] in "PS" else character


def _mandarin(text: str, config: ScoringConfig) -> str:
    plain = text.lower()
    if config.punctuation == "removed":
        plain = "".join(map(_without_mark, plain))
    if config.segmentation == "jieba":
        import jieba

        return " ".join(word for word in jieba.lcut(plain) if word.strip())
    if config.segmentation == "mixed":
        return " ".join(_LATIN_OR_CHARACTER.findall(plain))
    return " ".join("".join(plain.split()))
