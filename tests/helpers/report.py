"""A made-up experiment with everything that a report reads, without a model."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
from helpers.scoring import score
from safetensors.numpy import save_file

from serdesc import config as configs
from serdesc.captions import writer
from serdesc.captions.fields import Fields
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.files import write_json, write_jsonl
from serdesc.scoring import report

HOSTILE = (
    'A woman says "hello <b>there</b>" </script><script>document.title = "owned"</script>'
    " <img src=x onerror=\"document.title = 'owned'\"> \u2028 \x1b[31mred\x1b[0m, sad."
)
Change = Callable[[int, Utterance, Fields], str]


def captions(number: int, utt: Utterance, fields: Fields) -> str:
    """The reference's caption; sad in every fourth, without pitch in every fifth."""
    if number % 4 == 0:
        fields = replace(fields, emotion="sad")
    if number % 5 == 0:
        fields = replace(fields, pitch=None)
    return writer.render(fields, utt.utt_id)


def experiment(parts: Path, exp: Path, change: Change = captions) -> Path:
    """Decoded, scored and pooled folds of an annotated corpus."""
    for fold in (1, 2):
        data = parts / f"fold{fold}" / "test"
        folder = exp / f"fold{fold}"
        hyp = folder / "decode_test" / "hyp.jsonl"
        rows = []
        for number, utt in enumerate(datadir.read(data)):
            rows.append(_row(number, utt, change))
        write_jsonl(hyp, rows)
        place = os.path.relpath(data, hyp.parent)
        write_json(hyp.with_suffix(".made.json"), {"directory": place})
        _write_branches(hyp.with_suffix(".branches.safetensors"), datadir.read(data))
        score(data, hyp)
        write_jsonl(folder / "train.jsonl", _log())
        environment = {"command": "serdesc train <i>data</i>", "versions": {"numpy": "1"}}
        write_json(folder / "env.json", environment)
        configs.dump(configs.Config(), folder / "config.yaml")
    report.report(exp, "test", configs.Config())
    return exp


def _row(number: int, utt: Utterance, change: Change) -> dict[str, Any]:
    posterior = {"angry": 0.2, "happy": 0.3, "sad": 0.5}
    response = change(number, utt, utt.labels or Fields())
    return {"utt_id": utt.utt_id, "response": response, "posterior": posterior}


def _log() -> list[dict[str, Any]]:
    rows = []
    for step in range(400):
        phase = "content" if step < 200 else "descriptor"
        rows.append({"phase": phase, "epoch": 0, "llm_loss": 5.0 / (1 + step), "kl_loss": 0.1})
    rows[3]["llm_loss"] = float("nan")
    return rows


def _write_branches(path: Path, utterances: list[Utterance]) -> None:
    lengths = [round(25 * (utt.seconds or 0)) for utt in utterances]
    total = sum(lengths)
    tensors = {
        "ends": np.cumsum(lengths),
        "kl_content": np.linspace(0, 1, total).astype(np.float16),
        "kl_descriptor": np.full(total, 0.5, np.float16),
        "layer_weights_content": np.array([0.5, 0.3, 0.2], np.float32),
        "layer_weights_descriptor": np.array([0.1, 0.2, 0.7], np.float32),
    }
    record = {"utt_ids": [utt.utt_id for utt in utterances], "rate": 25}
    save_file(tensors, path, {"utterances": json.dumps(record)})


def data_of(page: Path, name: str) -> Any:
    """The value of a script in data/."""
    text = (page / "data" / f"{name}.js").read_text(encoding="utf-8")
    kind, number, value = text.removeprefix("serdesc.receive(").removesuffix(");\n").split(",", 2)
    return json.loads(value)
