"""From speech to captions: hyp.jsonl, one line an utterance, equal for equal runs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Sequence

from serdesc.captions import reader, writer
from serdesc.config import Config, rename_keys
from serdesc.data import datadir
from serdesc.data.audio import AudioError
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.features import batches
from serdesc.features.store import Features
from serdesc.files import read_json, write_json, write_jsonl, write_errors
from serdesc.models import Model
from serdesc.progress import progress


def hypothesis(
    utt_id: str, response: str, posterior: dict[str, float] | None = None
) -> dict[str, Any]:
    """A line of hyp.jsonl: the raw answer, what the reader makes of it, and the emotion's posterior where there is one."""
    said = reader.read(response).to_dict()
    return {
        "utt_id": utt_id,
        "response": response,
        **said,
        "posterior": posterior,
        "unread": [name for name, value in said.items() if value is None],
    }


def hypotheses(
    model: Model, features: Features, utterances: Sequence[Utterance], emotions: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """A line of hyp.jsonl for each of a batch of utterances, with posteriors over `emotions` if there are two or more."""
    x, frames = batches.pad(features.load(utterances))
    said = model.generate(x, frames, model.config.decoding.max_new_tokens)
    asked = [
        (
            [writer.with_emotion(response, emotion) or "" for emotion in emotions]
            if _names_one(response, emotions)
            else []
        )
        for response in said
    ]
    some = [i for i, changed in enumerate(asked) if changed]
    likely = (
        dict(zip(some, model.log_likelihoods(x[some], frames[some], [asked[i] for i in some])))
        if some
        else {}
    )
    posteriors = [_softmax(emotions, likely[i]) if i in likely else None for i in range(len(said))]
    return [
        hypothesis(utt.utt_id, response, posterior)
        for utt, response, posterior in zip(utterances, said, posteriors)
    ]


def _names_one(response: str, emotions: Sequence[str]) -> bool:
    return len(emotions) > 1 and reader.read(response).emotion is not None


def _softmax(emotions: Sequence[str], log_likelihoods: Sequence[float]) -> dict[str, float]:
    top = max(log_likelihoods)
    shares = [math.exp(value - top) for value in log_likelihoods]
    return {
        emotion: float(f"{share / math.fsum(shares):.8g}")
        for emotion, share in zip(emotions, shares)
    }


def inputs_of(
    checkpoint: dict[str, Any], config: Config, utterances: Sequence[Utterance], store: str
) -> dict[str, Any]:
    """What answers depend on: the trained files by their hashes, settings, data, and where the features come from."""
    settings = {name: asdict(getattr(config, name)) for name in ("prompt", "llm", "decoding")}
    del (
        settings["decoding"]["batch_size"],
        settings["llm"]["gradient_checkpointing"],
    )  # which change no answer
    header = Path(store) / "header.json"
    features = (
        {key: value for key, value in read_json(header).items() if key != "versions"}
        if header.exists()
        else asdict(config.encoder)
    )
    return {
        "model": checkpoint["files"],
        "settings": settings,
        "data": datadir.identity(utterances),
        "features": features,
    }


def has_resumable_output(out: Path, of: dict[str, Any]) -> bool:
    """Whether answers of the same source are there, or a part of them. Raises UserError where they are of another."""
    record = out.with_suffix(".made.json")
    there = [path for path in (out, partial_of(out)) if path.exists()]
    made = read_json(record) if there and record.exists() else of
    rename_keys(made.get("settings", {}), str(record))
    if differ := [name for name, value in of.items() if made.get(name) != value]:
        raise UserError(
            f"{there[0]}: was decoded with another {' and another '.join(differ)}: remove it to decode again, or name another --out"
        )
    if not there:
        write_json(record, of)
    return bool(there)


def partial_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial")


def decode(
    model: Model, features: Features, utterances: Sequence[Utterance], out: Path
) -> list[AudioError]:
    """Write `out`, in order of id. Batches that a stopped run finished are kept beside it and not decoded again.

    The posterior is over the emotions that occur in `utterances`. Returns what was left out because its audio cannot be used; raises
    FailedError where that is everything.
    """
    emotions = (
        sorted({utt.labels.emotion for utt in utterances if utt.labels and utt.labels.emotion})
        if model.config.decoding.posterior
        else []
    )
    partial = partial_of(out)
    done = _finished(partial)
    groups = batches.decoding_batches(utterances, model.config.decoding.batch_size)
    left = [group for group in groups if not all(utt.utt_id in done for utt in group)]
    unusable: list[AudioError] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with progress(
        f"decode {out.parent.parent.name}", sum(map(len, left)), "utterances"
    ) as advance, partial.open("a", encoding="utf-8") as file:
        for group in left:
            rows = _answered(model, features, group, emotions, unusable)
            done |= {row["utt_id"]: row for row in rows}
            with write_errors(partial):
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                file.flush()
            advance(len(group))
    wanted = {utt.utt_id for utt in utterances}
    if unusable and not wanted & done.keys():
        raise FailedError(
            f"{out}: none of {len(wanted)} utterances could be heard; the first: {unusable[0].place}: {unusable[0]}. Look at wav.scp"
        )
    write_jsonl(out, [done[utt_id] for utt_id in sorted(wanted & done.keys())])
    partial.unlink()
    return unusable


def _answered(
    model: Model,
    features: Features,
    group: Sequence[Utterance],
    emotions: Sequence[str],
    unusable: list[AudioError],
) -> list[dict[str, Any]]:
    """The lines of a batch without the utterances whose audio cannot be used, which are added to `unusable`."""
    while group:
        try:
            return hypotheses(model, features, group, emotions)
        except AudioError as error:
            unusable.append(error)
            group = [utt for utt in group if utt.utt_id != error.utt_id]
    return []


def _finished(partial: Path) -> dict[str, dict[str, Any]]:
    """What a stopped run had decoded; its last line may be cut off and is then left out."""
    done: dict[str, dict[str, Any]] = {}
    if partial.exists():
        for line in partial.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                break
            done[row["utt_id"]] = row
        write_jsonl(partial, done.values())
    return done
