"""Decoding: captions of a data directory as hyp.jsonl, one line per utterance.

Identical runs give identical bytes, also after an interruption.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Sequence, TextIO

from torch import Tensor

from serdesc import config as configs
from serdesc import manifest, runtime
from serdesc.builtin import resolve
from serdesc.captions import reader, writer
from serdesc.captions.fields import VALUES
from serdesc.config import Config, rename_keys
from serdesc.data import datadir
from serdesc.data.audio import AudioError
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.features import batches
from serdesc.features.live import Features, first_frame
from serdesc.features.store import open_features
from serdesc.files import (
    exclusive_lock,
    partial_of,
    read_json,
    write_errors,
    write_json,
    write_jsonl,
)
from serdesc.inference import branches
from serdesc.models import Model, checkpoint
from serdesc.models.describer import Describer
from serdesc.progress import progress

Row = dict[str, Any]  # a line of hyp.jsonl


def decode_experiment(
    data: Path, store: str, exp: Path, hyp: Path, settings: list[str] | None = None
) -> list[AudioError] | None:
    """Decode a data directory with a finished experiment, or resume that; writes `hyp`.

    Returns the errors of utterances without usable audio, or None if `hyp` exists already. Raises
    UserError if `hyp` was decoded with another model, other settings, data or features.
    """
    exp = Path(resolve(str(exp)))
    config = configs.load(exp / "config.yaml", settings)
    utterances = datadir.read(data)
    state = read_json(checkpoint.finished(exp) / "state.json")
    with exclusive_lock(hyp):
        inputs = inputs_of(state, config, utterances, store)
        if has_resumable_output(hyp, inputs, data) and hyp.exists():
            return None
        device = runtime.start(config)
        features = open_features(store, config, device, any_length=True)
        model, _ = checkpoint.load_model(exp, features, device, settings)
        rejected = decode(model, features, utterances, hyp)
        if manifest.is_decoded(hyp.parent) and hyp.name == manifest.OF_DECODING[0]:
            manifest.record(hyp.parent, *manifest.OF_DECODING)
    record = hyp.parent.parent / "config.yaml"
    if manifest.is_decoded(hyp.parent) and not record.exists():
        configs.dump(config, record)  # decoded by an experiment elsewhere: `report` needs it here
        write_json(record.with_name("env.json"), runtime.environment())
    return rejected


def hypothesis(utt_id: str, response: str, posterior: dict[str, float] | None = None) -> Row:
    """A line of hyp.jsonl: the response, the fields read from it, and the emotion's posterior."""
    fields = reader.read(response).to_dict()
    unread = [name for name, value in fields.items() if value is None]
    return {
        "utt_id": utt_id,
        "response": response,
        **fields,
        "posterior": posterior,
        "unread": unread,
    }


def hypotheses(
    model: Model, features: Features, utterances: Sequence[Utterance], emotions: Sequence[str] = ()
) -> list[Row]:
    """Lines of hyp.jsonl of one batch, with posteriors over two or more `emotions`."""
    x, frames = batches.pad(features.load(utterances))
    return _hypotheses(model, x, frames, utterances, emotions)


def _hypotheses(
    model: Model,
    x: Tensor,
    frames: Tensor,
    utterances: Sequence[Utterance],
    emotions: Sequence[str],
) -> list[Row]:
    responses = model.generate(x, frames, model.config.decoding.max_new_tokens)
    of_rows = posteriors(model, x, frames, responses, emotions)
    pairs = enumerate(zip(utterances, responses))
    return [hypothesis(utt.utt_id, response, of_rows.get(i)) for i, (utt, response) in pairs]


def posteriors(
    model: Model, x: Tensor, frames: Tensor, responses: Sequence[str], emotions: Sequence[str]
) -> dict[int, dict[str, float]]:
    """The posterior over two or more emotions of each row whose response names one.

    Of a model that chooses a word for the emotion (adapter.words), that choice's probabilities,
    which its training made those of a regularised teacher: an LLM that is given one word is sure.
    """
    variants = {}
    for i, response in enumerate(responses):
        if len(emotions) > 1 and reader.read(response).emotion is not None:
            variants[i] = [writer.with_emotion(response, emotion) or "" for emotion in emotions]
    if not variants:
        return {}
    rows = list(variants)
    if isinstance(model, Describer) and model.has_field_words:
        values_of = model.word_log_probabilities(x[rows], frames[rows], "emotion", emotions)
    else:
        values_of = model.log_likelihoods(x[rows], frames[rows], list(variants.values()))
    return {i: softmax(emotions, values) for i, values in zip(rows, values_of)}


def softmax(emotions: Sequence[str], log_likelihoods: Sequence[float]) -> dict[str, float]:
    """The posterior of the emotions from the log-likelihoods of their captions."""
    largest = max(log_likelihoods)
    exponentials = [math.exp(value - largest) for value in log_likelihoods]
    total = math.fsum(exponentials)
    return {emotion: float(f"{e / total:.8g}") for emotion, e in zip(emotions, exponentials)}


def inputs_of(
    state: dict[str, Any], config: Config, utterances: Sequence[Utterance], store: str
) -> dict[str, Any]:
    """Everything that hypotheses depend on: hashes of the weights, settings, data and features."""
    settings = {name: asdict(getattr(config, name)) for name in ("prompt", "llm", "decoding")}
    del settings["decoding"]["batch_size"]  # these change no hypothesis
    del settings["decoding"]["branches"]
    del settings["decoding"]["cut_seconds"]
    del settings["llm"]["gradient_checkpointing"]
    if config.adapter.words:  # may be set at decoding; the other keys of the adapter may not
        settings["adapter"] = {"words": True}
    features = asdict(config.encoder)
    header = Path(store) / "header.json"
    if header.exists():
        features = read_json(header)
        features.pop("versions", None)
    return {
        "model": state["files"],
        "settings": settings,
        "data": datadir.identity(utterances),
        "features": features,
    }


def has_resumable_output(hyp: Path, inputs: dict[str, Any], data: Path | None = None) -> bool:
    """Whether hypotheses of the same inputs exist, complete or partial; records the inputs if not.

    data: the data directory, whose path from the folder of `hyp` is recorded too, for reports.
    Raises UserError if they have other inputs.
    """
    record = hyp.with_suffix(".made.json")
    existing = [path for path in (hyp, partial_of(hyp)) if path.exists()]
    recorded = read_json(record) if existing and record.exists() else inputs
    rename_keys(recorded.get("settings", {}), str(record))
    differences = [name for name, value in inputs.items() if recorded.get(name) != value]
    if differences:
        raise UserError(
            f"{existing[0]}: was decoded with another {' and another '.join(differences)}: remove"
            " it to decode again, or name another --out"
        )
    if not existing:
        place = {"directory": os.path.relpath(data, hyp.parent)} if data else {}
        write_json(record, {**inputs, **place})
    return bool(existing)


def decode(
    model: Model,
    features: Features,
    utterances: Sequence[Utterance],
    hyp: Path,
    with_branches: bool = True,
) -> list[AudioError]:
    """Write `hyp`, sorted by id; batches of an interrupted run are not decoded again.

    with_branches: also hyp.branches.safetensors (branches.py), unless decoding.branches is false.
    The posterior is over the emotions that occur in `utterances`. Returns the errors of utterances
    without usable audio; raises FailedError if no utterance has usable audio.
    """
    emotions = emotions_of(utterances) if model.config.decoding.posterior else []
    partial = partial_of(hyp)
    done = read_partial(partial)
    of_branches = _BranchRows(model, hyp, with_branches and model.config.decoding.branches)
    remaining = []
    for batch in batches.decoding_batches(utterances, model.config.decoding.batch_size):
        if not all(utt.utt_id in done for utt in batch):
            remaining.append(batch)
    rejected: list[AudioError] = []
    hyp.parent.mkdir(parents=True, exist_ok=True)
    total = sum(len(batch) for batch in remaining)
    with progress(f"decode {hyp.parent.parent.name}", total, "utterances") as advance:
        with partial.open("a", encoding="utf-8") as file:
            for batch in remaining:
                rows = _decode_usable(model, features, batch, emotions, rejected, of_branches)
                done |= {row["utt_id"]: row for row in rows}
                append_rows(file, partial, rows)
                advance(len(batch))
    decoded = sorted({utt.utt_id for utt in utterances} & done.keys())
    if rejected and not decoded:
        raise FailedError(
            f"{hyp}: none of {len(utterances)} utterances has usable audio; the first: "
            f"{rejected[0].place}: {rejected[0]}. Check wav.scp"
        )
    of_branches.write(decoded)
    write_jsonl(hyp, [done[utt_id] for utt_id in decoded])
    of_branches.partial.unlink(missing_ok=True)
    partial.unlink()
    return rejected


def emotions_of(utterances: Sequence[Utterance]) -> list[str]:
    """The emotions that occur in the labels, or in utt2emo where there are none, sorted."""
    emotions = {utt.labels.emotion if utt.labels else utt.emotion for utt in utterances}
    return sorted(emotion for emotion in emotions if emotion in VALUES["emotion"])


def _decode_usable(
    model: Model,
    features: Features,
    batch: Sequence[Utterance],
    emotions: Sequence[str],
    rejected: list[AudioError],
    of_branches: _BranchRows,
) -> list[Row]:
    """Lines of a batch; errors of utterances without usable audio are appended to `rejected`."""
    while batch:
        try:
            x, frames = batches.pad(features.load(batch))
        except AudioError as error:
            rejected.append(error)
            batch = [utt for utt in batch if utt.utt_id != error.utt_id]
        else:
            of_branches.append(x, frames, batch)  # before the lines, which mark a batch as finished
            return _hypotheses(model, x, frames, batch, emotions)
    return []


class _BranchRows:
    """The rows of hyp.branches.safetensors, also those that an interrupted run wrote."""

    def __init__(self, model: Model, hyp: Path, wanted: bool) -> None:
        self.model, self.hyp, self.wanted = model, hyp, wanted
        self.partial = partial_of(branches.path_of(hyp))
        self.rows = read_partial(self.partial) if self.wanted else {}

    def append(self, x: Tensor, frames: Tensor, utterances: Sequence[Utterance]) -> None:
        if not self.wanted:
            return
        encoder, first = self.model.config.encoder, None
        if encoder.trim:
            waves = (utt.load_audio(encoder.max_seconds) for utt in utterances)
            first = [first_frame(wave, encoder) for wave in waves]
        rows = branches.rows(self.model, x, frames, [utt.utt_id for utt in utterances], first)
        self.rows |= {row["utt_id"]: row for row in rows}
        with self.partial.open("a", encoding="utf-8") as file:
            append_rows(file, self.partial, rows)

    def write(self, utt_ids: Sequence[str]) -> None:
        if self.wanted:
            branches.write(self.hyp, self.model, self.rows, utt_ids)


def append_rows(file: TextIO, partial: Path, rows: Sequence[Row]) -> None:
    """Append lines to an open file of finished batches, at once."""
    with write_errors(partial):
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()


def read_partial(partial: Path) -> dict[str, Row]:
    """Lines that an interrupted run wrote; an incomplete last line is removed."""
    done: dict[str, Row] = {}
    if partial.exists():
        text = partial.read_text(encoding="utf-8", errors="replace")
        for line in text.split("\n")[:-1]:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                break
            done[row["utt_id"]] = row
        write_jsonl(partial, done.values())
    return done
