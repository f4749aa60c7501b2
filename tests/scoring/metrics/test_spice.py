"""SPICE."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.scoring import scored

from serdesc.config import ScoringConfig
from serdesc.files import read_json, read_jsonl
from serdesc.scoring import captions, java
from serdesc.scoring.metrics import spice

needs_java = pytest.mark.skipif(
    shutil.which("java") is None, reason="no Java: METEOR, SPICE and PTB tokens cannot be had"
)


pytestmark = pytest.mark.java


@needs_java
def test_spice_gives_its_golden_scores(tmp_path: Path, real_spice: Path) -> None:
    pairs = read_jsonl(real_spice / "golden.jsonl")
    ours = scored(
        tmp_path, [pair["hyp"] for pair in pairs], [pair["ref"] for pair in pairs],
        "scoring.caption_text=full", "scoring.spice_text=raw", f"scoring.spice_jars={real_spice}",
    )  # fmt: skip
    rows = [row["spice"] for row in read_jsonl(tmp_path / "rows.jsonl")]
    assert [row["sum"] for row in rows] == pytest.approx(
        [pair["spice"] for pair in pairs], abs=1e-12
    ) and len(rows) == 200
    assert ours["spice"]["value"] == pytest.approx(
        100 * sum(pair["spice"] for pair in pairs) / 200, abs=6e-5
    )
    assert "spice_text:raw" in ours["spice"]["signature"]
    empty = sum(not pair["hyp_tuples"] or not pair["ref_tuples"] for pair in pairs)
    assert ours["spice"]["counts"].get("no_tuples", 0) == empty


LONG = "A woman speaks slowly. The old man is sad. " * 12


@needs_java
def test_spice_of_a_long_caption_is_computed_once(
    tmp_path: Path, real_spice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jar's own cache takes no caption over 511 bytes."""
    assert len(LONG) > 511
    settings = (
        "scoring.caption_text=full",
        "scoring.spice_text=raw",
        f"scoring.spice_jars={real_spice}",
    )
    hyps, refs = [LONG, "A man shouts."], [LONG, "A man speaks loudly."]
    first = scored(tmp_path, hyps, refs, *settings)["spice"]
    assert first["n"] == 2 and first["value"] > 50
    run = java.run
    monkeypatch.setattr(
        java,
        "run",
        lambda arguments, given, name, **more: (
            run(arguments, given, name, **more) if name != "SPICE" else 1 / 0
        ),
    )
    assert scored(tmp_path, hyps, refs, *settings)["spice"] == first


def test_spice_asks_for_new_pairs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(arguments: list[str], given: str, name: str, **options: object) -> str:
        file, made = arguments[arguments.index("-out") - 1], arguments[arguments.index("-out") + 1]
        pairs = read_json(Path(file))
        asked.extend(pair["test"] for pair in pairs)
        rows = [
            {"image_id": pair["image_id"], "scores": {"All": {"f": len(pair["test"]) / 100}}}
            for pair in pairs
        ]
        Path(made).write_text(json.dumps(rows))
        return ""

    monkeypatch.setattr(java, "run", run)
    monkeypatch.setattr(spice, "folder", lambda setting: tmp_path)
    config = ScoringConfig(spice_text="raw", cache=str(tmp_path / "cache"))
    (first,) = [metric.captions for metric in spice.METRICS if metric.captions]
    assert [
        row["sum"] for row in first(captions.Captions(["aa", "b", "aa"], [["x"]] * 3, config))
    ] == [0.02, 0.01, 0.02]
    assert [
        row["sum"] for row in first(captions.Captions(["b", "ccc", LONG], [["x"]] * 3, config))
    ] == [0.01, 0.03, len(LONG) / 100]
    assert [row["n"] for row in first(captions.Captions([LONG, "b"], [["x"], ["y"]], config))] == [
        1,
        1,
    ]  # another reference is another pair
    assert asked == ["aa", "b", "ccc", LONG, "b"]
