"""From speech to captions: hyp.jsonl, one line an utterance, equal for equal runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Sequence

from serdesc import batches, tasks
from serdesc.data.datadir import Utterance
from serdesc.features.store import Features
from serdesc.files import write_jsonl
from serdesc.models.describer import Describer
from serdesc.progress import progress


def hypothesis(utt_id: str, response: str) -> dict[str, Any]:
    """A line of hyp.jsonl: the raw answer and what the reader makes of it."""
    said = tasks.read(response).to_dict()
    return {
        "utt_id": utt_id,
        "response": response,
        **said,
        "posterior": None,
        "unread": [name for name, value in said.items() if value is None],
    }


def answers(model: Describer, features: Features, utterances: Sequence[Utterance]) -> list[str]:
    """The answer to each of a batch of utterances."""
    x, frames = batches.pad(features.load(utterances))
    return model.generate(x, frames, model.config.decoding.max_new_tokens)


def decode(model: Describer, features: Features, utterances: Sequence[Utterance], out: Path) -> None:
    """Write `out`, in order of id. Batches that a stopped run finished are kept beside it and not decoded again."""
    partial = out.with_name(f".{out.name}.partial")
    done = _finished(partial)
    groups = batches.decoding_batches(utterances, model.config.decoding.batch_size)
    left = [group for group in groups if not all(utt.utt_id in done for utt in group)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with progress(f"decode {out.parent.parent.name}", sum(map(len, left)), "utterances") as advance, partial.open("a", encoding="utf-8") as file:
        for group in left:
            for utt, response in zip(group, answers(model, features, group)):
                done[utt.utt_id] = hypothesis(utt.utt_id, response)
                file.write(json.dumps(done[utt.utt_id], ensure_ascii=False) + "\n")
            file.flush()
            advance(len(group))
    write_jsonl(out, [done[utt_id] for utt_id in sorted(utt.utt_id for utt in utterances)])
    partial.unlink()


def _finished(partial: Path) -> dict[str, dict[str, Any]]:
    """What a stopped run had decoded; its last line may be cut off and is then left out."""
    done: dict[str, dict[str, Any]] = {}
    if partial.exists():
        for line in partial.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                break
            done[row["utt_id"]] = row
        write_jsonl(partial, done.values())
    return done
