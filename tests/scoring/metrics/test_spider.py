"""SPIDEr: the mean of CIDEr and SPICE."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.scoring import scored

from serdesc.config import Config, ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.files import read_json, read_jsonl
from serdesc.scoring import captions, java, metrics
from serdesc.scoring import score as scoring
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.metrics import cider, spice, spider

HYPS = ["a sad woman", "a man shouts", "a glad girl", "she whispers"]
REFS = [["a sad woman", "a woman weeps"], ["a man speaks"], ["a girl is glad"], ["she shouts"]]


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ScoringConfig:
    """Scores in which SPICE of a caption is its length / 100."""

    def run(arguments: list[str], given: str, name: str, **options: object) -> str:
        place = arguments.index("-out")
        rows = []
        for pair in read_json(Path(arguments[place - 1])):
            f = {"All": {"f": len(pair["test"]) / 100}}
            rows.append({"image_id": pair["image_id"], "scores": f})
        Path(arguments[place + 1]).write_text(json.dumps(rows))
        return ""

    monkeypatch.setattr(java, "run", run)
    monkeypatch.setattr(spice, "folder", lambda setting: tmp_path)
    return ScoringConfig(cache=str(tmp_path / "cache"))


def test_spider_is_the_mean_of_both(half: ScoringConfig) -> None:
    given = captions.Captions.of_tokens(HYPS, REFS, half)
    (metric,) = spider.METRICS
    rows = spider.METRICS[0].captions(given) if metric.captions else []
    each = [counts["sum"] for counts in cider.count(given)]
    wanted = [(c + len(hyp) / 100) / 2 for c, hyp in zip(each, HYPS)]
    assert [row["sum"] for row in rows] == pytest.approx(wanted)
    # x 100, as CIDEr and SPICE here: aac-metrics' 1.0 is 100
    assert metric.value(scoring.total(rows)) == pytest.approx(100 * sum(wanted) / 4)
    assert metric.bounds == (0, 550)


def test_pooled_folds_keep_spice_and_count_cider_again(
    half: ScoringConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (metric,) = metrics.chosen("spider")
    assert metric.captions is not None
    whole = metric.captions(captions.Captions.of_tokens(HYPS, REFS, half))
    for fold, part in ((1, slice(0, 2)), (2, slice(2, 4))):
        utts = [Utterance(f"u{i}", "", f"s{i}") for i in range(4)][part]
        given = captions.Captions.of_tokens(HYPS[part], REFS[part], half)
        table = {"spider": list(zip(utts, metric.captions(given)))}
        tokens = {u.utt_id: pair for u, pair in zip(utts, zip(HYPS[part], REFS[part]))}
        score = scoring.score(metric, table["spider"], half, {})
        scoring.write(tmp_path / f"fold{fold}/decode_test/score.json", [score], table, tokens)
    monkeypatch.setattr(spice, "count", lambda given: 1 / 0)
    pooled = Experiment.open(tmp_path, "test", Config()).rows(metric)
    assert [row["sum"] for _, row in pooled] == pytest.approx([row["sum"] for row in whole])


@pytest.mark.java
@pytest.mark.skipif(shutil.which("java") is None, reason="no Java")
def test_spider_of_the_command(tmp_path: Path, real_spice: Path) -> None:
    """Without SPICE's jars it has SPICE's reason and no number."""
    hyps, refs = ["A sad woman speaks.", "A man shouts."], ["A sad woman.", "A man speaks."]
    ours = scored(tmp_path, hyps, refs, f"scoring.spice_jars={real_spice}")
    mean = (ours["cider"]["value"] + ours["spice"]["value"]) / 2
    assert ours["spider"]["value"] == pytest.approx(mean, abs=1e-4) and mean > 100
    assert "|jar:" in ours["spider"]["signature"]
    rows = read_jsonl(tmp_path / "rows.jsonl")
    assert all(row["spider"]["spice"] == row["spice"]["sum"] for row in rows)
    without = scored(tmp_path, hyps, refs, "scoring.spice_jars=/none")["spider"]
    assert without["value"] is None and without["interval"] is None
    assert "tools/get_spice.sh" in without["note"]
