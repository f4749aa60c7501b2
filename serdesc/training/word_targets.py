"""Targets of training.targets: words: captions of the very words that the branches give.

An LLM that is to write the words it is given (adapter.words) must not see others in its targets: of
labels that differ from the words it learns to disregard these (egs/builtin/TRIED.md). Not in the
paper.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

import torch
from torch import Tensor

from serdesc.captions.fields import VALUES, Fields
from serdesc.config import Config
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.features import batches
from serdesc.features.live import Features
from serdesc.models import Model, words
from serdesc.models.describer import Describer
from serdesc.progress import progress
from serdesc.training import examples
from serdesc.training.examples import Example
from serdesc.training.unusable import Unusable


def check(config: Config) -> None:
    """Raises UserError if the targets are words that nobody has trained, or that still change."""
    if config.training.targets == "labels":
        return
    if not words.are_given_for_fields(config):
        raise UserError(
            "training.targets is words, but the LLM is given none: set adapter.words to true and"
            " adapter.slots to 7, with model describer; or training.targets to labels"
        )
    if config.training.branches:
        raise UserError(
            "training.targets is words, which change while the branches are trained: set"
            " training.branches to false; or training.targets to labels"
        )
    if not (config.training.pretrain.epochs or config.training.init):
        raise UserError(
            "training.targets is words, but nothing has taught them: set training.pretrain.epochs,"
            " for example to 40, or training.init; or training.targets to labels"
        )


def of_examples(
    model: Model, features: Features, data: Sequence[Example], unusable: Unusable, quiet: bool
) -> list[Example]:
    """The examples with what the branches say as transcripts, labels and captions."""
    assert isinstance(model, Describer)  # see check
    spoken = [one for example in data for one in (example, *example.copies)]
    by_id = {example.utterance.utt_id: example for example in spoken}
    said: dict[str, Utterance] = {}
    with progress("words", len(spoken), "utterances", quiet) as advance:
        utterances = [example.utterance for example in spoken]
        for group in batches.decoding_batches(utterances, model.config.decoding.batch_size):
            usable, x = unusable.load(features, [by_id[utt.utt_id] for utt in group])
            for example, fields in zip(usable, read(model, x) if x else []):
                said[example.utterance.utt_id] = relabelled(example.utterance, fields)
            advance(len(group))
    # Those without usable audio keep their labels: they are skipped again when they are loaded.
    kept = [said.get(utt_id, example.utterance) for utt_id, example in by_id.items()]
    return examples.examples(kept, model.config)[0]


def relabelled(utt: Utterance, said: Fields) -> Utterance:
    """The utterance with `said` as its transcript and labels."""
    return replace(
        utt,
        text=said.transcript or "",
        emotion=said.emotion,
        labels=said,
        caption=None,
        description=None,
    )


def read(model: Describer, x: Sequence[Tensor]) -> list[Fields]:
    """What the branches say of utterances x (L, T_i, D), with z = mu: CTC's best path, and of each
    field the nearest word. A field without a token, in a very short utterance, has none.
    """
    model.eval()
    padded, frames = batches.pad(x)
    counts = torch.tensor(model.token_counts(frames), device=model.device)
    with torch.inference_mode():
        speech = model.encode_speech(padded.to(model.device), frames, "descriptor", {})
    assert speech.s_des is not None  # the model has words for fields, so two groups of tokens
    slots, of = model.config.adapter.slots, (model.llm, model.tokenizer)
    chosen: list[dict[str, str | None]] = []
    for i, count in enumerate(counts.tolist()):
        text = words.transcript_of(*of, speech.s_con[i, :count], model.vocabulary)
        chosen.append({"transcript": text.replace('"', "") or None})
    for name in list(VALUES)[:slots]:
        table = words.embeddings_of(*of, VALUES[name])
        slot = words.slot_of(name, slots)
        mean = words.mean_of_slot(speech.s_des, counts, slot, slots)
        for i, best in enumerate(words.closeness(mean, table).argmax(-1).tolist()):
            chosen[i][name] = VALUES[name][best] if counts[i] > slot else None
    return [Fields.from_dict(one) for one in chosen]
