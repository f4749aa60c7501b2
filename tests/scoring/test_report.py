"""Reports over folds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.scoring import answer, score

from serdesc import config as configs
from serdesc.errors import UserError
from serdesc.files import read_json, write_jsonl
from serdesc.scoring import baselines, report
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.metrics import every


def test_folds_are_pooled_and_averaged(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exp = tmp_path / "exp"
    by_fold = []
    for k, change in ((1, 0), (2, 4)):
        hyp = exp / f"fold{k}" / "decode_test" / "hyp.jsonl"
        hyp.parent.mkdir(parents=True)
        by_fold.append(
            score(parts / f"fold{k}" / "test", answer(parts / f"fold{k}" / "test", hyp, change))[
                "ua"
            ].value
        )
    counted = {"targets": 8, "tokens": 31.2, "transcript %": 41.0}
    (exp / "fold1" / "targets.json").write_text(json.dumps(counted))
    report.report(exp, "test", configs.Config())
    ua = next(s for s in read_json(exp / "score_test.json")["scores"] if s["metric"] == "ua")
    assert (
        ua["by_fold"] == by_fold
        and ua["mean"] == pytest.approx(sum(v or 0 for v in by_fold) / 2)
        and ua["n"] == 12
    )
    block = (exp / "RESULTS.md").read_text()
    assert "targets of fold 1: 31.2 tokens on average, transcript 41.0 %" in block
    assert "| metric | chance |" in " ".join(block.split()) and "substitutions" in block
    with pytest.raises(
        UserError,
        match="scored with unit:speaker, requested is unit:utterance: --set scoring.unit=speaker",
    ):
        report.report(exp, "test", configs.load(settings=["scoring.unit=utterance"]))
    rows = [
        json.loads(line)
        for line in (exp / "fold1" / "decode_test" / "rows.jsonl").read_text().splitlines()
    ]
    write_jsonl(
        exp / "fold1" / "decode_test" / "rows.jsonl",
        [{name: v for name, v in row.items() if name != "pitch"} for row in rows],
    )
    report.report(exp, "test", configs.Config())
    assert "pitch %: not in fold1" in (exp / "RESULTS.md").read_text()
    other = read_json(exp / "fold2" / "decode_test" / "score.json")
    other["scores"][0]["signature"] += "|changed"
    (exp / "fold2" / "decode_test" / "score.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="not comparable"):
        report.report(exp, "test", configs.Config())
    with pytest.raises(UserError, match="Train, decode and score first"):
        report.report(tmp_path / "empty", "test", configs.Config())


def test_baselines_are_over_the_utterances_that_were_decoded(parts: Path, tmp_path: Path) -> None:
    """The model's own answers as a baseline: its value is the model's, whichever folds there are."""
    exp = tmp_path / "exp"
    values = []
    for k, change in ((1, 0), (2, 4)):
        hyp = exp / f"fold{k}" / "decode_test" / "hyp.jsonl"
        hyp.parent.mkdir(parents=True)
        found = score(parts / f"fold{k}" / "test", answer(parts / f"fold{k}" / "test", hyp, change))
        values.append(found["ua"].value)
    assert values[0] != values[1]
    config = configs.Config()
    ua = next(metric for metric in every() if metric.name == "ua")
    both = Experiment.open(exp, "test", config)
    baselines.write(exp / "baselines.json", {"constant": {"ua": both.rows(ua)}})
    report.report(exp, "test", config)
    pooled = next(s for s in read_json(exp / "score_test.json")["scores"] if s["metric"] == "ua")
    assert report.baselines_of(both) == {"constant": {"ua": pooled["value"]}}
    (exp / "fold2").rename(tmp_path / "not_decoded")
    alone = Experiment.open(exp, "test", config)
    assert report.baselines_of(alone) == {"constant": {"ua": values[0]}}
    report.report(exp, "test", config)
    (row,) = [r for r in (exp / "RESULTS.md").read_text().splitlines() if r.startswith("| UA % ")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells.count(f"{values[0]:.1f}") >= 2  # the baseline and the pooled value

    (exp / "baselines.rows.jsonl").unlink()  # of a former version: values alone
    assert report.baselines_of(alone) == {"constant": {"ua": pooled["value"]}}
    other = [(replace(utt, utt_id="elsewhere"), counts) for utt, counts in both.rows(ua)]
    baselines.write(exp / "baselines.json", {"constant": {"ua": other}})
    assert report.baselines_of(alone) == {}
