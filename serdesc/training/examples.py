"""Training examples: an utterance and the target of each phase."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Sequence

from serdesc.captions import quotations, writer
from serdesc.captions.fields import Fields
from serdesc.config import Config, TargetConfig
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import write_json, write_jsonl
from serdesc.models.describer import Phase
from serdesc.training.phases import Block

TARGETS = "targets.json"
SAMPLE = 2000  # targets of which the tokens are counted, spread evenly over the data


@dataclass(frozen=True)
class Example:
    """An utterance with its targets."""

    utterance: Utterance
    transcript: str | None  # None: not in the content phase
    caption: str
    paraphrased: Fields | None = None  # rendered in a new wording in every epoch
    open: bool = False  # the emotion is unknown: the target is the beginning of a caption
    copies: tuple[Example, ...] = ()  # at other speeds

    def at_speed(self, seed: int) -> Example:
        """This example or one of its copies, each with the same probability."""
        return (self, *self.copies)[seed % (1 + len(self.copies))]

    def target(self, phase: str, epoch: int) -> str:
        """Content phase: the transcript. Other phases: the caption."""
        if phase == "content":
            return self.transcript or ""
        if self.paraphrased is None:
            return self.caption
        render = writer.render_beginning if self.open else writer.render
        return render(self.paraphrased, f"{self.utterance.utt_id} {epoch}")


def examples(
    utterances: Sequence[Utterance], config: Config
) -> tuple[list[Example], list[Utterance]]:
    """Training examples, with copies at other speeds inside their originals; and skipped
    utterances.

    Utterances over training.max_seconds are skipped. Raises UserError for one without text or
    labels.
    """
    target, skipped = config.target, []
    by_id: dict[str, Example] = {}
    for utt in sorted(utterances, key=lambda utt: utt.uniq is not None):  # originals first
        text, labels = _text_and_labels(utt, config.training.without_text == "refuse")
        if (utt.seconds or 0.0) > config.training.max_seconds:
            skipped.append(utt)
            continue
        paraphrased = writer.select(labels, target) if config.training.paraphrase_targets else None
        is_open = config.training.without_emotion == "open" and labels.emotion is None
        if is_open:
            caption: str = writer.render_beginning(writer.select(labels, target), utt.utt_id)
        else:
            caption = caption_of(utt, target)
        example = Example(utt, text, caption, paraphrased, is_open)
        if utt.uniq is None:
            by_id[utt.utt_id] = example
        elif utt.uniq in by_id:
            original = by_id[utt.uniq]
            by_id[utt.uniq] = replace(original, copies=(*original.copies, example))
    return list(by_id.values()), skipped


def utterances_of_phases(
    data: Sequence[Example], blocks: Sequence[Block]
) -> dict[Phase, list[Utterance]]:
    """The utterances that each phase of a schedule is trained on: for content, those with text.

    Raises UserError if there are none.
    """
    of_phases = {}
    for phase in {epoch.phase for block in blocks for epoch in block}:
        trained = [one for one in data if phase != "content" or one.transcript is not None]
        if not trained:
            raise UserError(
                "the content phase has no training data: no utterance has text. Leave the phase out"
                " (training.content.epochs: 0)"
            )
        of_phases[phase] = [example.utterance for example in trained]
    return of_phases


def usable_examples(
    data: Sequence[Utterance], config: Config
) -> tuple[list[Example], list[Utterance]]:
    """The examples to train on, and the utterances that are too long."""
    usable, skipped = examples(data, config)
    if not usable:
        raise UserError(
            f"no training data: all {len(skipped)} utterances are longer than training.max_seconds"
            f" = {config.training.max_seconds}. Raise it, or train on other data"
        )
    return usable, skipped


def list_skipped(skipped: list[Utterance], limit: float, exp: Path) -> None:
    """Print and write utterances that are longer than `limit` seconds, if there are any."""
    if skipped:
        rows = [{"utt_id": utt.utt_id, "seconds": utt.seconds} for utt in skipped]
        write_jsonl(exp / "skipped.jsonl", rows)
        count = len(skipped)
        print(
            f"{count} training utterances are longer than {limit} s and are skipped: "
            f"{exp / 'skipped.jsonl'}"
        )


def _text_and_labels(utt: Utterance, need_text: bool) -> tuple[str | None, Fields]:
    if utt.text is None and need_text:
        raise UserError(
            f"'{utt.utt_id}' has no text: add it, or train on utterances without text in the"
            " descriptor phase alone (training.without_text: descriptor)."
        )
    if utt.labels is None:
        raise UserError(
            f"'{utt.utt_id}' has no labels: run `serdesc annotate` and train on a fold's folder."
        )
    return utt.text, utt.labels


def caption_of(utt: Utterance, target: TargetConfig) -> str:
    """Target of the descriptor phase: the reference caption, or for a target that lacks only the
    transcript the reference description; rendered if the target has fewer outputs than these.
    """
    fields = utt.labels or Fields()
    selected = writer.select(fields, target)
    if utt.caption is not None and selected == fields:
        return utt.caption
    if utt.description is not None and selected == replace(fields, transcript=None):
        return utt.description
    return writer.render(selected, utt.utt_id)


def count_tokens(data: Sequence[Example], label_count: Callable[[str], int], exp: Path) -> None:
    """Print and write the mean tokens of the captions in the targets, and the transcript's share.

    A target's quoted transcript takes part in its loss, so its share is that of ASR in the loss.
    label_count: tokens of a text, its end token included.
    """
    sample = data[:: -(-len(data) // SAMPLE)]
    tokens, of_transcripts = 0, 0
    for example in sample:
        target = example.target("descriptor", 0)
        tokens += label_count(target)
        of_transcripts += label_count(target) - label_count(quotations.without_transcript(target))
    mean, share = round(tokens / len(sample), 1), round(100 * of_transcripts / tokens, 1)
    write_json(exp / TARGETS, {"targets": len(sample), "tokens": mean, "transcript %": share})
    print(f"targets: {mean} tokens on average, transcript {share} %")
