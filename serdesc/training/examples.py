"""Training examples: an utterance with what each phase asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence

from serdesc.captions import writer
from serdesc.captions.fields import Fields
from serdesc.config import Config, TargetConfig
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError


@dataclass(frozen=True)
class Example:
    """An utterance with the target of each phase. Where there are fields to say, each epoch says them in other words."""

    utterance: Utterance
    transcript: str
    caption: str
    reworded: Fields | None = None
    copies: tuple[Example, ...] = ()  # at other speeds

    def at_speed(self, seed: int) -> Example:
        """What an epoch hears: the utterance, or one of its copies, all alike likely."""
        return (self, *self.copies)[seed % (1 + len(self.copies))]

    def target(self, phase: str, epoch: int) -> str:
        if phase == "content":
            return self.transcript
        return (
            self.caption
            if self.reworded is None
            else writer.render(self.reworded, f"{self.utterance.utt_id} {epoch}")
        )


def examples(
    utterances: Sequence[Utterance], config: Config
) -> tuple[list[Example], list[Utterance]]:
    """Training examples, copies at other speeds within their originals; and the utterances that are too long."""
    outputs, skipped = config.target, []
    out: dict[str, Example] = {}
    for utt in sorted(utterances, key=lambda utt: utt.uniq is not None):  # originals first
        if utt.text is None or utt.labels is None:
            what, step = (
                ("text", "add it")
                if utt.text is None
                else ("labels", "run `serdesc annotate` and train on a fold's folder")
            )
            raise UserError(f"'{utt.utt_id}' has no {what}: {step}.")
        if (utt.seconds or 0.0) > config.training.max_seconds:
            skipped.append(utt)
        else:
            reworded = (
                writer.select(utt.labels, outputs) if config.training.paraphrase_targets else None
            )
            example = Example(utt, utt.text, caption_of(utt, outputs), reworded)
            if utt.uniq is None:
                out[utt.utt_id] = example
            elif utt.uniq in out:
                out[utt.uniq] = replace(out[utt.uniq], copies=(*out[utt.uniq].copies, example))
    return list(out.values()), skipped


def caption_of(utt: Utterance, outputs: TargetConfig) -> str:
    """The target of the descriptor phase: the reference caption, or one with fewer outputs from the same fields."""
    fields = utt.labels or Fields()
    if utt.caption is not None and writer.select(fields, outputs) == fields:
        return utt.caption
    return writer.render(writer.select(fields, outputs), utt.utt_id)
