"""Hypotheses and their scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from serdesc.captions import writer
from serdesc.captions.fields import Fields
from serdesc.cli import app
from serdesc.config import ScoringConfig, TargetConfig
from serdesc.data import audio, datadir
from serdesc.data.datadir import Utterance
from serdesc.files import read_json, write_jsonl
from serdesc.scoring import hypotheses, metrics
from serdesc.scoring import score as scoring
from serdesc.scoring.metric import Counts, Metric


def metric(name: str) -> Metric:
    return metrics.chosen(name)[0]


def value(
    name: str, pairs: list[tuple[Fields, Fields]], config: ScoringConfig = ScoringConfig()
) -> float:
    m = metric(name)
    counted = [count(m, *pair, config) for pair in pairs]
    return m.value(scoring.total([counts for counts in counted if counts is not None]))


def count(
    m: Metric, ref: Fields, hyp: Fields, config: ScoringConfig = ScoringConfig()
) -> Counts | None:
    """The counts of an utterance by its fields or transcripts."""
    if m.transcript and ref.transcript is not None:
        return m.transcript(ref.transcript, hyp.transcript, config)
    return m.count(ref, hyp) if m.count else None


def answer(folder: Path, out: Path, change: int = 0) -> Path:
    """Captions of the references; the first `change` of them sad."""
    rows = []
    for i, utt in enumerate(datadir.read(folder)):
        fields = utt.labels or Fields()
        rows.append(
            {
                "utt_id": utt.utt_id,
                "response": writer.render(
                    replace(fields, emotion="sad") if i < change else fields, "x"
                ),
            }
        )
    write_jsonl(out, rows)
    return out


def score(folder: Path, hyp: Path) -> dict[str, scoring.Score]:
    utterances, wanted = datadir.read(folder), [
        metric for metric in metrics.every() if metric.count or metric.transcript
    ]
    table = scoring.rows(
        utterances, hypotheses.answered(hyp, utterances)[0], TargetConfig(), wanted, ScoringConfig()
    ).table
    scores = [
        scoring.score(m, table[m.name], ScoringConfig(resamples=200), {})
        for m in wanted
        if table[m.name]
    ]
    scoring.write(hyp.with_name("score.json"), scores, table)
    return {s.metric: s for s in scores}


def hum(seconds: float = 2.0, f0: float = 200.0) -> np.ndarray:
    """A voice-like tone of three overtones."""
    t = np.arange(int(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    return sum(np.sin(2 * np.pi * f0 * k * t) / k for k in (1, 2, 3)) * 0.1


def scored(
    folder: Path,
    hyps: list[str],
    refs: list[str],
    *settings: str,
    several: list[list[str]] | None = None,
) -> dict[str, dict[str, Any]]:
    """The scores that `serdesc score` writes of these captions; several: references in a file."""
    utterances = [
        Utterance(f"u{i:04d}", f"{i}.wav", f"s{i % 3}", caption=ref, labels=Fields(emotion="sad"))
        for i, ref in enumerate(refs)
    ]
    datadir.write(folder / "data", utterances)
    lines = [
        json.dumps({"utt_id": f"u{i:04d}", "response": hyp, "unread": []}, ensure_ascii=False)
        for i, hyp in enumerate(hyps)
    ]
    (folder / "hyp.jsonl").write_text("\n".join(lines) + "\n")
    options = [
        item
        for setting in (*settings, f"scoring.cache={folder / 'cache'}")
        for item in ("--set", setting)
    ]
    if several:
        lines = [f"u{i:04d} {ref}\n" for i, captions in enumerate(several) for ref in captions]
        (folder / "refs").write_text("".join(lines))
        options += ["--refs", str(folder / "refs")]
    result = CliRunner().invoke(
        app, ["score", str(folder / "data"), "--hyp", str(folder / "hyp.jsonl"), *options]
    )
    assert result.exit_code == 0, result.output
    return {row["metric"]: row for row in read_json(folder / "score.json")["scores"]}
