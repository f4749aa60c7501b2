"""How much there is to hear and to say: frames T, speech tokens U, and tokens of prompt and targets, measured on a data directory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from serdesc import models
from serdesc.builtin import resolve
from serdesc.captions import writer
from serdesc.captions.fields import Fields
from serdesc.config import Config, TargetConfig
from serdesc.data import annotate, datadir, folds
from serdesc.data.audio import SAMPLE_RATE
from serdesc.data.datadir import Utterance
from serdesc.data.folds import Fold
from serdesc.errors import UserError
from serdesc.features.encoder import Encoder
from serdesc.models import prompt as prompts
from serdesc.training.examples import caption_of

SPOKEN = 2.5  # words of a transcript in a second of speech, where there is none
SAMPLE = 20_000  # utterances that are measured of a larger corpus
# A marker, a line's end, a Chinese or Japanese character, a word, a sign: 0.96 to 0.99 of Llama 3's tokens in MELD's transcripts and captions.
PIECE = re.compile(r"<\|[^|>]*\|>|\n+|[\u2e80-\u9fff]|[^\W\u2e80-\u9fff]+|[^\w\s]")


class Estimate:
    """In a tokenizer's place where it cannot be had: it counts words and signs."""

    def __init__(self, model_type: str) -> None:
        self.mark = "<|im_start|>" if model_type.startswith("qwen") else "<|start_header_id|>"

    def get_vocab(self) -> dict[str, int]:
        return {self.mark: 0}

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [0] * len(PIECE.findall(text))

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return ""


def tokenizer(model: str, model_type: str) -> tuple[Any, str]:
    """The LLM's own tokenizer where this machine has it, and what is to be said of it."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(resolve(model), local_files_only=True), ""
    except (OSError, ValueError):
        return (
            Estimate(model_type),
            f"tokens are counted as words and signs: the tokenizer of {model} is not on this machine",
        )


@dataclass(frozen=True)
class Corpus:
    """What is extracted, and what each of so many folds trains on and decodes."""

    every: list[Utterance]
    train: list[Utterance]  # with the copies at other speeds
    test: list[Utterance]
    folds: int
    notes: tuple[str, ...] = ()


def corpus(data: Path, config: Config) -> Corpus:
    """What `extract` takes of DATA, and the first fold: as it lies there, or as `annotate` would make it. DATA may hold folds alone."""
    labels = config.folds.labels
    made = [
        path
        for path in sorted(data.glob("fold*"))
        if path.name[4:].isdigit() and any((path / name).is_dir() for name in annotate.PARTS)
    ]
    alone = bool(made) and not (data / "wav.scp").exists()
    lying = [_fold(folder, labels) for folder in (made if alone else made[:1])]
    every = folds.usable_utterances(data, _together(lying) if alone else datadir.read(data), labels)
    unknown = [utt.utt_id for utt in every if utt.seconds is None]
    if unknown:
        raise UserError(
            f"{data}: no length of '{unknown[0]}': add utt2dur, `<utt_id> <seconds>` a line"
        )
    notes = ["DATA holds folds alone: what is in none of them is not extracted"] if alone else []
    try:
        first, count = (lying[0], len(made)) if made else _split(every, config)
        if not datadir.originals(first.train):
            raise UserError(f"fold{first.number} has no training part")
    except UserError as error:
        whole = datadir.originals(every)
        return Corpus(
            every,
            every,
            whole,
            1,
            (
                f"DATA has no folds to train on: all of it is trained on once, and decoded once ({error})",
            ),
        )
    notes += (
        []
        if made
        else [
            f"DATA has no folds yet: they are those that `serdesc annotate` would make (folds.rule {config.folds.rule})"
        ]
    )
    notes += [f"the folds cost what fold{first.number} costs"] if count > 1 else []
    return Corpus(every, first.train, first.test, count, tuple(notes))


def _fold(folder: Path, labels: Sequence[str]) -> Fold:
    parts = {
        name: datadir.read(folder / name) if (folder / name).is_dir() else []
        for name in annotate.PARTS
    }
    return Fold(
        int(folder.name[4:]),
        **{name: folds.with_labels(part, labels) for name, part in parts.items()},
    )


def _together(made: Sequence[Fold]) -> list[Utterance]:
    """The utterances of all folds, each once."""
    by_id = {utt.utt_id: utt for fold in made for part in fold.parts().values() for utt in part}
    return [by_id[utt_id] for utt_id in sorted(by_id)]


def _split(every: Sequence[Utterance], config: Config) -> tuple[Fold, int]:
    """The first fold of so many, labelled where its labels are brought or measured already."""
    made = folds.split(every, config.folds, config.seed)
    if not made:
        raise UserError(f"folds.protocol {config.folds.protocol} leaves no utterance")
    known = config.measure.source == "corpus" or all(
        utt.measure for utt in made[0].train + made[0].test
    )
    return annotate.label_fold(made[0], config)[1] if known else made[0], len(made)


@dataclass(frozen=True, slots=True)
class Item:
    """An utterance: T, its targets, and their tokens with the end token."""

    utterance: Utterance
    frames: int
    transcript: str
    caption: str
    transcript_tokens: int
    caption_tokens: int

    def target(self, phase: str) -> str:
        return self.transcript if phase == "content" else self.caption

    def tokens(self, phase: str) -> int:
        return self.transcript_tokens if phase == "content" else self.caption_tokens


def items(
    utterances: Sequence[Utterance], heard: Encoder, words: prompts.Tokenizer, config: Config
) -> tuple[list[Item], float, list[str]]:
    """The utterances measured, evenly drawn from a large corpus; how many each stands for; and what was assumed."""
    every = -(-len(utterances) // SAMPLE) if utterances else 1
    drawn = utterances[::every]
    frames = heard.lengths([round((utt.seconds or 0.0) * SAMPLE_RATE) for utt in drawn])
    out = []
    for utt, t in zip(drawn, frames):
        transcript = (
            utt.text if utt.text is not None else "word " * round(SPOKEN * (utt.seconds or 0.0))
        )
        said = [transcript, _caption(utt, transcript, config.target)]
        counts = [len(words.encode(text, add_special_tokens=False)) + 1 for text in said]
        out.append(Item(utt, t, said[0], said[1], counts[0], counts[1]))
    notes = (
        [f"tokens are measured on {len(drawn)} of {len(utterances)} utterances"]
        if every > 1
        else []
    )
    if any(utt.text is None for utt in drawn):
        notes.append(f"some transcripts are missing: {SPOKEN} words a second are assumed")
    if any(utt.labels is None and utt.caption is None for utt in drawn):
        notes.append(
            "some labels are missing (serdesc annotate): captions of seven fields are assumed"
        )
    return out, len(utterances) / max(1, len(drawn)), notes


def _caption(utt: Utterance, transcript: str, outputs: TargetConfig) -> str:
    if utt.labels is not None or utt.caption is not None:
        return caption_of(utt, outputs)
    likely = Fields(
        transcript,
        utt.emotion or "neutral",
        "normal",
        "normal",
        "normal",
        gender=utt.gender or "female",
        emphasis=utt.emphasis,
    )
    return writer.render(writer.select(likely, outputs), utt.utt_id)


def longest(measured: Sequence[Item], count: int, phase: str, config: Config) -> list[Item]:
    """The utterances that need most memory when they meet in one batch."""
    return sorted(
        measured,
        key=lambda item: groups(config) * (item.frames // config.adapter.k) + item.tokens(phase),
        reverse=True,
    )[:count]


def speech_tokens(frames: int, config: Config) -> int:
    """U, as the adapter counts."""
    return max(1, frames // config.adapter.k)


def groups(config: Config) -> int:
    """Groups of speech tokens in the LLM's input."""
    return models.model_class(config).groups


def prompt_tokens(words: prompts.Tokenizer, config: Config) -> int:
    found = prompts.build_prompt(words, config.prompt.system, config.prompt.instruction)
    return len(found.before) + len(found.between) * (groups(config) - 1) + len(found.after)


def in_order(measured: Sequence[Item], batches: Sequence[Sequence[Utterance]]) -> list[list[Item]]:
    by_id = {item.utterance.utt_id: item for item in measured}
    return [[by_id[utt.utt_id] for utt in batch] for batch in batches]
