"""Dependence test: replace one descriptor in front of the emotion and read the posterior again.

Teacher-forced: the caption is rendered from the fields that the model predicted, with its
descriptors before its emotion. p(e) is the softmax over the log-likelihoods of the captions with
each emotion e in its place (as in decode.py), which are equal up to the emotion; the audio is the
same. In the altered captions one descriptor has the lowest or the highest of its values, in the
phrase of the same number; in the control it has its own value in another phrase. Emphasis and
traits are behind the emotion, so they are not tested.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from serdesc import config as configs
from serdesc import runtime
from serdesc.captions import writer
from serdesc.captions.fields import VALUES, Fields
from serdesc.captions.writer import Wording
from serdesc.data import audio
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.features import batches
from serdesc.features.encoder import Encoder
from serdesc.features.live import Features, Live
from serdesc.files import read_json
from serdesc.inference.counterfactual import first_by_hash
from serdesc.inference.decode import emotions_of, softmax
from serdesc.models import Model, checkpoint
from serdesc.progress import progress
from serdesc.scoring.hypotheses import Hypothesis

# descriptor -> the part of a caption that states it
PARTS = {
    "pitch": "pitch",
    "energy": "energy",
    "speed": "speed",
    "age": "speaker",
    "gender": "speaker",
}
# reasons why an utterance is not used
NO_EMOTION, NO_DESCRIPTOR = "no emotion in the caption", "no descriptor with two phrases"
UNUSABLE = "unusable audio"
Row = dict[str, Any]  # one replacement: see scoring/dependence.py
Rendered = tuple[Fields, Wording]


@dataclass(frozen=True)
class Replacement:
    """One descriptor of a caption with another value, and with another phrase for its own."""

    field: str
    to: str
    altered: Rendered
    control: Rendered


def wording_of(fields: Fields, seed: str) -> Wording:
    """A wording with the descriptors before the emotion."""
    wording = writer.draw(fields, random.Random(seed))
    return replace(wording, order=min(wording.order, 1))


def replacements(fields: Fields, wording: Wording) -> Iterator[Replacement]:
    """Each descriptor at each end of its values, if its own value has another phrase."""
    for field, part in PARTS.items():
        value = getattr(fields, field)
        options = writer.phrases(part, fields) if value is not None else ()
        if len(options) < 2:
            continue
        number = options.index(getattr(wording, part))
        control = fields, _with_phrase(fields, wording, part, number + 1)
        for end in (VALUES[field][0], VALUES[field][-1]):
            if end != value:
                altered = Fields.from_dict({**fields.to_dict(), field: end})
                worded = _with_phrase(altered, wording, part, number)
                yield Replacement(field, end, (altered, worded), control)


def _with_phrase(fields: Fields, wording: Wording, part: str, number: int) -> Wording:
    """The wording with a phrase, counted modulo their number, for the fields' values of a part."""
    options = writer.phrases(part, fields)
    phrase: dict[str, Any] = {part: options[number % len(options)]}
    return replace(wording, **phrase)


class DependenceTest:
    """A trained model, the source of its features, and the emotions of the posterior."""

    def __init__(self, model: Model, features: Features, emotions: Sequence[str]) -> None:
        self.model, self.features, self.emotions = model, features, emotions

    def run(
        self, utterances: Sequence[Utterance], captions: Mapping[str, Fields]
    ) -> tuple[list[Row], dict[str, Any]]:
        """The replacements in all captions; and how many utterances were used, and why not all.

        Utterances without usable audio are reported and left out.
        """
        rows: list[Row] = []
        unused: dict[str, list[str]] = {}
        rejected: list[audio.AudioError] = []
        with progress("replace descriptors", len(utterances), "utterances") as advance:
            for utt in utterances:
                fields = captions[utt.utt_id]
                try:
                    of_utterance = self.rows(utt, fields) if fields.emotion else []
                except audio.AudioError as error:
                    rejected.append(error)
                    unused.setdefault(UNUSABLE, []).append(utt.utt_id)
                    continue
                rows += of_utterance
                if not of_utterance:
                    reason = NO_DESCRIPTOR if fields.emotion else NO_EMOTION
                    unused.setdefault(reason, []).append(utt.utt_id)
                advance(1)
        audio.print_rejected(rejected, "are not tested")
        used = len({row["utt_id"] for row in rows})
        record = {"utterances": used, "of": len(utterances), "emotions": list(self.emotions)}
        return rows, {**record, "not used": unused}

    def rows(self, utt: Utterance, fields: Fields) -> list[Row]:
        """The replacements in the caption of an utterance. Raises AudioError."""
        wording = wording_of(fields, utt.utt_id)
        x, frames = batches.pad(self.features.load([utt]))
        posteriors: dict[Rendered, dict[str, float]] = {}

        def posterior(rendered: Rendered) -> dict[str, float]:
            if rendered not in posteriors:
                captions = self._captions(*rendered)
                (values,) = self.model.log_likelihoods(x, frames, [captions])
                posteriors[rendered] = softmax(self.emotions, values)
            return posteriors[rendered]

        rows = []
        for replacement in replacements(fields, wording):
            field = replacement.field
            row: Row = {"utt_id": utt.utt_id, "spk": utt.spk, "field": field}
            row |= {"from": getattr(fields, field), "to": replacement.to}
            row["before"] = posterior((fields, wording))
            row["after"] = posterior(replacement.altered)
            row["control"] = posterior(replacement.control)
            rows.append(row)
        return rows

    def _captions(self, fields: Fields, wording: Wording) -> list[str]:
        """The caption with each emotion in its place."""
        captions = []
        for emotion in self.emotions:
            captions.append(writer.compose(replace(fields, emotion=emotion), wording))
        return captions


def run(
    utterances: Sequence[Utterance],
    answers: Mapping[str, Hypothesis],
    hyp: Path,
    exp: Path,
    settings: list[str],
    limit: int,
) -> tuple[list[Row], dict[str, Any]]:
    """Rows of the first `limit` utterances, in order of a hash of their ids; and what was used.

    answers: the captions in `hyp`, which `exp` must have decoded. Raises UserError.
    """
    chosen = sorted(first_by_hash(utterances, limit), key=lambda utt: utt.utt_id)
    emotions = emotions_of(utterances)
    if len(emotions) < 2:
        raise UserError(
            f"--depends {exp}: the data have {len(emotions)} emotion(s), and the posterior needs "
            "two or more: name the test part of a fold"
        )
    captions = {utt_id: answer.fields for utt_id, answer in answers.items()}
    rows, record = _load(exp, hyp, emotions, settings).run(chosen, captions)
    if not rows:
        raise UserError(
            f"--depends {exp}: none of {len(chosen)} captions in {hyp} has an emotion and one of "
            f"{', '.join(PARTS)}, which the test replaces: decode a model whose target has both"
        )
    return rows, record


def _load(exp: Path, hyp: Path, emotions: Sequence[str], settings: list[str]) -> DependenceTest:
    """Raises UserError without an experiment, for an SSL baseline, or if `hyp` is of another."""
    folder = checkpoint.experiment(exp, "--depends ")
    config = configs.load(folder / "config.yaml", settings)
    if config.model == "ssl_baseline":
        raise UserError(
            f"--depends {exp}: its model is ssl_baseline, which has no caption to replace words "
            "in: name an experiment of model describer or undivided"
        )
    _check_decoded_by(folder, exp, hyp)
    device = runtime.start(config)
    live = Live(Encoder.load(config.encoder, device))
    model, _ = checkpoint.load_model(folder, live, device, settings)
    return DependenceTest(model, live, emotions)


def _check_decoded_by(folder: Path, exp: Path, hyp: Path) -> None:
    record = hyp.with_suffix(".made.json")
    weights = read_json(checkpoint.finished(folder) / "state.json")["files"]
    if not record.exists() or read_json(record).get("model") != weights:
        raise UserError(
            f"--depends {exp}: {hyp} was not decoded with its model (by {record.name}): decode with"
            f" it (serdesc decode DATA STORE {exp}), or name the model of the captions"
        )
