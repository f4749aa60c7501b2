"""Sequence lengths of a data directory: frames T, speech tokens U, tokens of prompt and targets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Sequence

from serdesc import models
from serdesc.builtin import resolve
from serdesc.captions import writer
from serdesc.captions.fields import EMOTIONS, Fields
from serdesc.config import Config, TargetConfig
from serdesc.data import annotate, datadir, folds
from serdesc.data.audio import SAMPLE_RATE
from serdesc.data.datadir import Utterance
from serdesc.data.folds import Fold
from serdesc.errors import UserError
from serdesc.features.encoder import Encoder
from serdesc.models import prompt as prompts
from serdesc.models.words import are_given_for_fields
from serdesc.training.examples import caption_of

WORDS_PER_SECOND = 2.5  # assumed if there is no transcript
CLIP_SECONDS = 4.0  # assumed without data: SpeechCraft's mean, 740 h in 670,070 clips
SAMPLE = 20_000  # a larger corpus is sampled down to this number of utterances
# A marker, a line break, a Chinese or Japanese character, a word, a punctuation mark: 0.96 to 0.99
# of Llama 3's tokens in MELD's transcripts and captions.
PIECE = re.compile(r"<\|[^|>]*\|>|\n+|[\u2e80-\u9fff]|[^\W\u2e80-\u9fff]+|[^\w\s]")


class Estimate:
    """Replaces a tokenizer that is not on this machine: counts words and punctuation marks."""

    def __init__(self, model_type: str) -> None:
        self.mark = "<|im_start|>" if model_type.startswith("qwen") else "<|start_header_id|>"

    def get_vocab(self) -> dict[str, int]:
        return {self.mark: 0}

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [0] * len(PIECE.findall(text))

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return ""


def tokenizer(model: str, model_type: str) -> tuple[Any, str]:
    """The LLM's tokenizer and an empty note; Estimate and a note if it is not on this machine."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(resolve(model), local_files_only=True), ""
    except (OSError, ValueError):
        return (
            Estimate(model_type),
            f"tokens are counted as words and punctuation marks: the tokenizer of {model} is not "
            "on this machine",
        )


@dataclass(frozen=True)
class DataParts:
    """The utterances of an experiment; train and test are those of the first fold."""

    every: list[Utterance]  # extracted
    train: list[Utterance]  # with the copies at other speeds
    test: list[Utterance]
    folds: int  # number of folds
    notes: tuple[str, ...] = ()


class AssumedData(NamedTuple):
    """Replaces a data directory: hours of speech in clips of equal length."""

    hours: float
    clip_seconds: float

    def __str__(self) -> str:
        return f"--hours {self.hours:g}"


def assumed_parts(data: AssumedData, config: Config) -> DataParts:
    """Clips without texts in one fold; the test part is folds.test_utterances, or a fifth.

    Training and test part also have a batch each of clips of the maximum length, which determine
    the peak of memory. Raises UserError if there is no speech left for other clips.
    """
    longest = min(config.prepare.max_seconds, config.training.max_seconds)
    long = max(config.training.batch_size, config.decoding.batch_size)
    count = round((3600 * data.hours - 2 * long * longest) / data.clip_seconds)
    by_rule = config.folds.rule == "recordings"
    tested = config.folds.test_utterances if by_rule else count // 5
    if not 0 < tested < count:
        raise UserError(
            f"{data}: too short for a test part of {tested} clips of {data.clip_seconds:g} s, the"
            f" longest clips ({2 * long} of {longest:g} s) and a training part: plan with more"
            " hours, or with a data directory"
        )
    seconds = [longest] * long + [data.clip_seconds] * count + [longest] * long
    emotions = config.folds.labels or EMOTIONS
    every: list[Utterance] = []
    for i, length in enumerate(seconds):
        emotion = emotions[i % len(emotions)]
        every.append(Utterance(f"{i:09d}", "", "", seconds=length, emotion=emotion))
    notes = [
        f"there are no data: {data.hours:g} h are {len(every):,} clips of {data.clip_seconds:g} s"
        f" (--clip-seconds), {2 * long} of them of {longest:g} s, in one fold with"
        f" {long + tested:,} clips to test ({'folds.test_utterances' if by_rule else 'a fifth'})"
    ]
    if config.prepare.speeds:
        notes.append("copies at the speeds of prepare.speeds are not extracted")
    return DataParts(every, every[long + tested :], every[: long + tested], 1, tuple(notes))


def data_parts(data: Path | AssumedData, config: Config) -> DataParts:
    """The utterances that `extract` uses, and the first fold: stored, or as `annotate` would split.

    DATA may contain folds only. Without usable folds, all utterances are train and test of one
    fold. Raises UserError if an utterance has no duration.
    """
    if isinstance(data, AssumedData):
        return assumed_parts(data, config)
    labels = config.folds.labels
    folders = [path for path in sorted(data.glob("fold*")) if _is_fold(path)]
    folds_only = bool(folders) and not (data / "wav.scp").exists()
    read = folders if folds_only else folders[:1]
    stored = [_fold(folder, labels) for folder in read]
    utterances = _union(stored) if folds_only else datadir.read(data)
    every = folds.usable_utterances(data, utterances, labels)
    unknown = [utt.utt_id for utt in every if utt.seconds is None]
    if unknown:
        raise UserError(
            f"{data}: no duration of '{unknown[0]}': add utt2dur, `<utt_id> <seconds>` per line"
        )
    notes: list[str] = []
    if folds_only:
        notes.append("DATA contains folds only: utterances outside of them are not extracted")
    try:
        first, count = (stored[0], len(folders)) if folders else _split(every, config)
        if not datadir.originals(first.train):
            raise UserError(f"fold{first.number} has no training part")
    except UserError as error:
        note = f"DATA has no folds to train on: one fold trains on and decodes all of it ({error})"
        return DataParts(every, every, datadir.originals(every), 1, (note,))
    if not folders:
        notes.append(
            "DATA has no folds yet: they are those that `serdesc annotate` would create "
            f"(folds.rule {config.folds.rule})"
        )
    if count > 1:
        notes.append(f"the folds cost what fold{first.number} costs")
    return DataParts(every, first.train, first.test, count, tuple(notes))


def _is_fold(path: Path) -> bool:
    return path.name[4:].isdigit() and any((path / name).is_dir() for name in annotate.PARTS)


def _fold(folder: Path, labels: Sequence[str]) -> Fold:
    of_part: dict[str, list[Utterance]] = {}
    for name in annotate.PARTS:
        utterances = datadir.read(folder / name) if (folder / name).is_dir() else []
        of_part[name] = folds.with_labels(utterances, labels)
    return Fold(int(folder.name[4:]), **of_part)


def _union(stored: Sequence[Fold]) -> list[Utterance]:
    """The utterances of all folds, each once."""
    by_id: dict[str, Utterance] = {}
    for fold in stored:
        for part in fold.parts().values():
            by_id |= {utt.utt_id: utt for utt in part}
    return [by_id[utt_id] for utt_id in sorted(by_id)]


def _split(every: Sequence[Utterance], config: Config) -> tuple[Fold, int]:
    """The first fold, with labels if the corpus has them or measures exist; number of folds."""
    split = folds.split(every, config.folds, config.seed)
    if not split:
        raise UserError(f"folds.protocol {config.folds.protocol} leaves no utterance")
    first = split[0]
    measured = all(utt.measure for utt in first.train + first.test)
    if config.measure.source == "corpus" or measured:
        first = annotate.label_fold(first, config)[1]
    return first, len(split)


@dataclass(frozen=True, slots=True)
class Item:
    """An utterance: T, its targets, and their numbers of tokens with the end token."""

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
    utterances: Sequence[Utterance], encoder: Encoder, words: prompts.Tokenizer, config: Config
) -> tuple[list[Item], float, list[str]]:
    """Lengths of the utterances, of every n-th one in a large corpus; n; and assumptions."""
    step = -(-len(utterances) // SAMPLE) if utterances else 1
    sample = utterances[::step]
    frames = encoder.lengths([round((utt.seconds or 0.0) * SAMPLE_RATE) for utt in sample])
    out = []
    for utt, t in zip(sample, frames):
        transcript = utt.text
        if transcript is None:
            transcript = "word " * round(WORDS_PER_SECOND * (utt.seconds or 0.0))
        targets = [transcript, _caption(utt, transcript, config.target)]
        counts = [len(words.encode(text, add_special_tokens=False)) + 1 for text in targets]
        out.append(Item(utt, t, targets[0], targets[1], counts[0], counts[1]))
    notes: list[str] = []
    if step > 1:
        notes.append(f"tokens are measured on {len(sample)} of {len(utterances)} utterances")
    if any(utt.text is None for utt in sample):
        notes.append(
            f"some transcripts are missing: {WORDS_PER_SECOND} words per second are assumed"
        )
    if any(utt.labels is None and utt.caption is None for utt in sample):
        notes.append(
            "some labels are missing (serdesc annotate): captions of seven fields are assumed"
        )
    return out, len(utterances) / max(1, len(sample)), notes


def _caption(utt: Utterance, transcript: str, outputs: TargetConfig) -> str:
    if utt.labels is not None or utt.caption is not None:
        return caption_of(utt, outputs)
    typical = Fields(
        transcript,
        utt.emotion or "neutral",
        "normal",
        "normal",
        "normal",
        gender=utt.gender or "female",
        emphasis=utt.emphasis,
    )
    return writer.render(writer.select(typical, outputs), utt.utt_id)


def longest(measured: Sequence[Item], count: int, phase: str, config: Config) -> list[Item]:
    """The `count` utterances with the longest rows, which need most memory."""

    def row_length(item: Item) -> int:
        return groups(config) * (item.frames // config.adapter.k) + item.tokens(phase)

    return sorted(measured, key=row_length, reverse=True)[:count]


def groups(config: Config) -> int:
    """Groups of speech tokens in the LLM's input."""
    return models.model_class(config).groups


def candidates(config: Config, emotions: int) -> int:
    """Captions of an utterance whose likelihoods the LLM computes for the emotion's posterior."""
    if are_given_for_fields(config) or not config.decoding.posterior:
        return 0
    return emotions if emotions > 1 else 0


def prompt_tokens(words: prompts.Tokenizer, config: Config) -> int:
    """Text tokens of the prompt."""
    prompt = prompts.build_prompt(words, config.prompt.system, config.prompt.instruction)
    return len(prompt.before) + len(prompt.between) * (groups(config) - 1) + len(prompt.after)


def in_order(measured: Sequence[Item], batches: Sequence[Sequence[Utterance]]) -> list[list[Item]]:
    """The measured utterances in the order of these batches."""
    by_id = {item.utterance.utt_id: item for item in measured}
    ordered: list[list[Item]] = []
    for batch in batches:
        ordered.append([by_id[utt.utt_id] for utt in batch])
    return ordered
