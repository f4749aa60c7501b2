"""Scores, signatures and their files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from helpers.scoring import answer, metric, score
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.cli import app
from serdesc.config import Config, ScoringConfig, TargetConfig
from serdesc.data import annotate
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.files import read_json, read_jsonl, write_json
from serdesc.scoring import java, report, signature
from serdesc.scoring import score as scoring
from serdesc.scoring.signature import comparable


def test_perfect_captions_score_perfectly_and_absent_fields_are_not_scored(
    parts: Path, tmp_path: Path
) -> None:
    scores = score(
        parts / "fold1" / "test", answer(parts / "fold1" / "test", tmp_path / "hyp.jsonl")
    )
    said = {
        name: s.value for name, s in scores.items() if name != "pitch_kappa"
    }  # pitch has one value here
    assert (
        said == {name: 0.0 if name in ("wer", "cer") else 100.0 for name in said}
        and scores["pitch_kappa"].value is None
    )
    assert {
        "ua",
        "wa",
        "macro_f1",
        "wer",
        "cer",
        "pitch",
        "energy_kappa",
        "gender_accuracy",
        "emphasis",
        "emphasis_recall",
    } <= scores.keys()
    assert (
        "age" not in scores
        and scores["ua"].n == 6
        and scores["ua"].chance == pytest.approx(33.3333)
    )
    assert "normaliser:words-4" in scores["wer"].signature


def test_a_fold_is_scored_by_its_own_configuration(parts: Path, tmp_path: Path) -> None:
    hyp = tmp_path / "fold1" / "decode_test" / "hyp.jsonl"
    hyp.parent.mkdir(parents=True)
    answer(parts / "fold1" / "test", hyp)
    configs.dump(
        configs.load(settings=["folds.rule=speakers", "target.transcript=false"]),
        tmp_path / "fold1" / "config.yaml",
    )
    (parts / "labelled.json").rename(parts / "aside")
    command = ["score", str(parts / "fold1" / "test"), "--hyp", str(hyp), "--metric", "ua,wer"]
    assert CliRunner().invoke(app, command).exit_code == 0
    ua, wer = read_json(hyp.with_name("score.json"))["scores"]
    assert "fold_rule:speakers" in ua["signature"] and wer["value"] is None and wer["note"]
    assert CliRunner().invoke(app, [*command, "--set", "target.transcript=true"]).exit_code == 0
    assert read_json(hyp.with_name("score.json"))["scores"][1]["value"] == 0.0
    (parts / "aside").rename(parts / "labelled.json")
    assert CliRunner().invoke(app, command).exit_code == 0
    assert (
        "fold_rule:session" in read_json(hyp.with_name("score.json"))["scores"][0]["signature"]
    ), "as the folds were made"


@pytest.mark.slow
def test_scores_of_each_file_lie_beside_it_and_a_strangers_configuration_is_not_taken(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, results = parts / "fold1" / "test", tmp_path / "results"
    (tmp_path / "config.yaml").write_text("of: another program\n")
    rows = read_jsonl(answer(test, results / "A.jsonl"))
    (results / "model-1.5").write_text(
        "".join(f"{row['utt_id']} {row['response']}\n" for row in rows)
    )
    for name in ("A.jsonl", "model-1.5"):
        done = CliRunner().invoke(
            app, ["score", str(test), "--hyp", str(results / name), "--metric", "ua", "--faithful"]
        )
        assert done.exit_code == 0, done.output
    whose, what = ("A", "model-1.5"), (
        "faithfulness.json",
        "faithfulness.rows.jsonl",
        "rows.jsonl",
        "score.json",
    )
    assert {path.name for path in results.iterdir()} == {
        "A.jsonl",
        "model-1.5",
        *(f"{name}.{end}" for name in whose for end in what),
    }
    assert read_json(results / "A.score.json")["rows"] == "A.rows.jsonl"
    (tmp_path / "config.yaml").write_text("folds: {rule: nope}\n")
    (tmp_path / "decode_test").mkdir()
    monkeypatch.chdir(answer(test, tmp_path / "decode_test" / "hyp.jsonl").parent)
    assert (
        "folds.rule"
        in CliRunner()
        .invoke(app, ["score", str(test), "--hyp", "hyp.jsonl", "--metric", "ua"])
        .output
    ), "a fold's own is taken"


def test_scores_are_kept_where_nothing_changed_and_told_where_answers_did(
    parts: Path, tmp_path: Path
) -> None:
    test, exp = parts / "fold1" / "test", tmp_path / "exp"
    hyp = answer(test, exp / "fold1" / "decode_test" / "hyp.jsonl")
    data = str(test)

    def kept(*options: str) -> bool:
        done = CliRunner().invoke(
            app, ["score", data, "--hyp", str(hyp), "--metric", "ua,sacrebleu", "--keep", *options]
        )
        assert done.exit_code == 0, done.output
        return "kept, of the same answers" in done.output

    full = ("--set", "scoring.caption_text=full")
    assert [kept(), kept(), kept(*full), kept(*full), kept()] == [False, True, False, True, False]
    assert report.Experiment.open(exp, "test", configs.Config()).folds
    answer(test, hyp, change=1)
    with pytest.raises(
        UserError, match="hyp.jsonl has been decoded again since: rerun the score stage"
    ):
        report.Experiment.open(exp, "test", configs.Config())
    assert [kept(), kept()] == [False, True]
    labels = (test / "utt2sed.jsonl").read_text()
    (test / "utt2sed.jsonl").write_text(labels.replace('"happy"', '"sad"', 1))
    assert [kept(), kept()] == [False, True]
    there = read_json(hyp.with_name("score.json"))
    there["scores"][1] |= {"note": "no Java", "n": 0}
    write_json(hyp.with_name("score.json"), there)
    assert [kept(), kept()] == [False, True], "what had no value is tried again"


def test_a_program_that_fails_costs_its_metric_alone(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*arguments: object, **options: object) -> str:
        raise FailedError("METEOR: Java stopped with status 3")

    monkeypatch.setattr(java, "run", dies)
    hyp = answer(parts / "fold1" / "test", tmp_path / "hyp.jsonl")
    done = CliRunner().invoke(
        app,
        [
            "score",
            str(parts / "fold1" / "test"),
            "--hyp",
            str(hyp),
            "--metric",
            "ua,sacrebleu,meteor",
        ],
    )
    assert (
        done.exit_code == 1
        and "meteor: not computed" in done.output
        and "stopped with status 3" in done.output
    )
    ua, bleu, meteor = read_json(tmp_path / "score.json")["scores"]
    assert (ua["value"], bleu["value"] > 0, meteor["value"]) == (100.0, True, None)


@pytest.mark.slow
def test_figures_are_signed_with_what_the_labels_were_made_by(
    tmp_path: Path, corpus: Path, tiny_settings: list[str]
) -> None:
    """By what annotate noted, not by what is configured now; what is as by default is not told, and
    measures only to what sees their labels.
    """
    usual = {"fold_rule": "session", "protocol": "all", "labels": "all"}
    other = configs.load(
        settings=["measure.pitch=speechcraft", "measure.seconds=4", "folds.labels=[angry, sad]"]
    )
    measures = {
        "measure_source": "measured",
        "measure_pitch": "f0",
        "measure_speed": "phoneme",
        "measure_speech_time": "gated",
        "measure_energy": "relative",
        "measure_traits": "none",
    }

    def signed(folder: Path, name: str, config: Config, trained: Any = None) -> dict[str, str]:
        return signature.Provenance.of(folder, config).signature_fields(metric(name), trained)

    annotate.annotate(corpus, configs.Config(), 1, tmp_path / "usual")
    assert signed(tmp_path / "usual/fold1/test", "pitch", other) == usual | measures
    annotate.annotate(corpus, other, 1, tmp_path / "other")
    made = tmp_path / "other/fold1/test"
    usual = usual | {"labels": "angry+sad"}
    assert signed(made, "ua", Config()) == signed(made, "gender", Config()) == usual
    others = usual | measures | {"measure_pitch": "piptrack", "measure_seconds": "4.0"}
    assert signed(made, "pitch", Config()) == signed(made, "spice", Config()) == others
    # A model that learnt other labels than it is scored with: both are named.
    assert signed(made, "pitch", Config(), Config().measure) == others | {"trained_pitch": "f0"}
    assert signed(made, "ua", Config(), Config().measure) == usual
    improvised = configs.load(settings=["prepare.turns=improvised", "measure.traits=[melody]"])
    assert signed(tmp_path, "wer", improvised) == usual | {"labels": "all", "turns": "improvised"}
    assert signed(tmp_path, "melody", improvised)["measure_traits"] == "melody"
    own = configs.load(settings=["measure.source=corpus"])
    assert signed(tmp_path, "pitch", own)["measure_source"] == "corpus"
    assert "measure_pitch" not in signed(tmp_path, "pitch", own)


def test_signatures_of_earlier_versions_are_read_as_speechcrafts_measures() -> None:
    before = "metric:pitch|field:pitch|fold_rule:session|unit:speaker|serdesc:0.3.0"
    assert comparable(before) == (
        "metric:pitch|field:pitch|fold_rule:session|measure_source:measured|measure_pitch:piptrack"
        "|measure_speed:phoneme|measure_speech_time:whole|measure_energy:relative"
        "|measure_traits:none|unit:speaker|serdesc:0.3.0"
    )
    by_f0 = before.replace("|unit", "|measure_pitch:f0|unit")
    assert "|measure_pitch:f0|" in comparable(by_f0)
    assert "piptrack" not in comparable(by_f0)
    captions = (
        "metric:cider|fold_rule:session|target:descriptors+emotion|unit:speaker|serdesc:0.3.0"
    )
    assert "|measure_pitch:piptrack|" in comparable(captions)
    for other in (comparable(before), "metric:ua|field:emotion|unit:speaker|serdesc:0.3.0"):
        assert comparable(other) == other


def test_folds_are_pooled_whatever_the_method_of_their_intervals(tmp_path: Path) -> None:
    """And those of version 0.4.0, whose signature and scores do not name one."""
    ua, config = metric("ua"), ScoringConfig()
    for fold in (1, 2):
        rows = []
        for i in range(3 if fold == 1 else 120):
            counts = {"n": 1, "right": i % 2, "n.sad": 1, "right.sad": i % 2}
            rows.append((Utterance(f"u{fold}-{i:03d}", "", f"s{i:03d}"), counts))
        found = scoring.score(ua, rows, config, {})
        assert found.interval_units == len(rows)
        assert ("|ci:t|" if fold == 1 else "|ci:bootstrap|") in found.signature
        scoring.write(tmp_path / f"fold{fold}/decode_test/score.json", [found], {"ua": rows})
    report.report(tmp_path, "test", Config())
    (pooled,) = read_json(tmp_path / "score_test.json")["scores"]
    assert "|ci:bootstrap|pooled:2 folds" in pooled["signature"] and pooled["interval_units"] == 120
    assert "- 95 %: bootstrap over 120 speakers" in (tmp_path / "RESULTS.md").read_text()
    for fold in (1, 2):
        path = tmp_path / f"fold{fold}/decode_test/score.json"
        tree = read_json(path)
        (row,) = tree["scores"]
        del row["interval_units"]
        row["signature"] = "metric:ua|field:emotion|unit:speaker|serdesc:0.4.0"
        write_json(path, tree)
    report.report(tmp_path, "test", Config())
    (pooled,) = read_json(tmp_path / "score_test.json")["scores"]
    assert pooled["signature"].endswith("|serdesc:0.4.0|ci:bootstrap|pooled:2 folds")


def test_captions_are_signed_with_what_their_references_say() -> None:
    bleu, ua = metric("bleu4"), metric("ua")
    outputs = TargetConfig(transcript=False)
    style, full = ScoringConfig(), ScoringConfig(caption_text="full")
    assert (
        signature.target_signature(bleu, outputs, style)
        == signature.target_signature(bleu, TargetConfig(), style)
        == {"target": "descriptors+emotion"}
    )
    assert signature.target_signature(bleu, TargetConfig(), full) == {
        "target": "transcript+descriptors+emotion"
    }
    assert not signature.target_signature(ua, outputs, full)
    assert "punctuation:kept" in signature.signature(metric("sacrebleu"), style, {})
    assert "tokens:raw|punctuation:kept" in signature.signature(
        metric("spice"), ScoringConfig(spice_text="raw"), {}
    )
    jar = java.jars() / "meteor" / "meteor-1.5.jar"
    assert f"jar:{hashlib.sha256(jar.read_bytes()).hexdigest()[:8]}" in signature.signature(
        metric("meteor"), style, {}
    )
