"""Scores against hand calculation, scikit-learn and jiwer."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Callable

import jiwer
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, recall_score
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.captions import writer
from serdesc.captions.fields import AGES, EMOTIONS, Fields
from serdesc.cli import app
from serdesc.config import ScoringConfig, TargetConfig
from serdesc.data import annotate, datadir
from serdesc.data.corpora import librispeech
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.files import read_json, read_jsonl, write_json, write_jsonl
from serdesc.inference import decode
from serdesc.scoring import baselines, bootstrap, classes, hypotheses, java, metrics, normalise, report
from serdesc.scoring import score as scoring
from serdesc.scoring.metric import Metric


def metric(name: str) -> Metric:
    return metrics.chosen(name)[0]


def value(name: str, pairs: list[tuple[Fields, Fields]]) -> float:
    m = metric(name)
    counted = [c for c in (m.count(*pair) for pair in pairs) if c is not None]
    return m.value(scoring.total(counted))


def test_ua_is_scikit_learns_mean_recall() -> None:
    rng = random.Random(1)
    truth = [rng.choice(EMOTIONS[:4]) for _ in range(200)]
    said = [t if rng.random() < 0.5 else rng.choice(EMOTIONS[:4]) for t in truth]
    ours = value("ua", [(Fields(emotion=t), Fields(emotion=s)) for t, s in zip(truth, said)])
    assert ours == pytest.approx(100 * recall_score(truth, said, average="macro"))


@pytest.mark.parametrize("unread", [0.0, 0.1])
def test_classes_are_scored_as_scikit_learn_scores_them(unread: float) -> None:
    rng = random.Random(3)
    truth = [rng.choice(AGES[:4]) for _ in range(300)]
    said = [t if rng.random() < 0.4 else rng.choice(AGES) for t in truth]
    said = [None if rng.random() < unread else s for s in said]
    ages = [(Fields(age=t), Fields(age=s)) for t, s in zip(truth, said)]
    names = dict(zip(AGES, EMOTIONS))
    emotions = [(Fields(emotion=names[t]), Fields(emotion=s and names[s])) for t, s in zip(truth, said)]
    answered = [s or "unread" for s in said]
    assert value("wa", emotions) == pytest.approx(100 * accuracy_score(truth, answered))
    assert value("age_accuracy", ages) == pytest.approx(100 * accuracy_score(truth, answered))
    for mean in ("macro", "weighted"):
        wanted = f1_score(truth, answered, labels=AGES[:4], average=mean)
        assert value(f"{mean}_f1", emotions) == pytest.approx(100 * wanted)
    read = [(AGES.index(t), AGES.index(s)) for t, s in zip(truth, said) if s]
    assert value("age_kappa", ages) == pytest.approx(100 * cohen_kappa_score(*zip(*read), weights="quadratic"))
    table = classes.confusion(c for c in (metric("ua").count(*pair) for pair in emotions) if c)
    assert sum(table[names[AGES[0]]].values()) == truth.count(AGES[0])


def test_calibration_by_hand() -> None:
    """Sure by 0.9 and right, by 0.9 and wrong, by 0.6 and right, and one unread."""
    answers = [({"sad": 0.9, "happy": 0.1}, "sad"), ({"sad": 0.9, "happy": 0.1}, "happy"), ({"sad": 0.4, "happy": 0.6}, "happy"), (None, "sad")]
    nll, ece = metric("nll"), metric("ece")
    assert nll.posterior and ece.posterior
    nats = scoring.total([nll.posterior(truth, said) for said, truth in answers])
    assert nll.value(nats) == pytest.approx(-(math.log(0.9) + math.log(0.1) + math.log(0.6)) / 3) and nats["unread"] == 1
    bins = scoring.total([ece.posterior(truth, said) for said, truth in answers])
    assert ece.value(bins) == pytest.approx(100 * (abs(1.8 - 1) + abs(0.6 - 1)) / 3)


def test_an_answer_that_cannot_be_read_is_wrong() -> None:
    pairs = [(Fields(emotion="sad"), Fields(emotion="sad")), (Fields(emotion="sad"), Fields()), (Fields(emotion="calm"), Fields(emotion="calm"))]
    assert value("ua", pairs) == 75.0
    assert value("ua", [*pairs, (Fields(), Fields(emotion="sad"))]) == 75.0  # no reference, no count


def test_wer_is_jiwers_and_the_textbooks() -> None:
    rng = random.Random(2)
    words = "a b c d e f g".split()
    refs = [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(60)]
    hyps = [" ".join(w for w in ref.split() if rng.random() < 0.8) + rng.choice(["", " x"]) for ref in refs]
    ours = value("wer", [(Fields(transcript=r), Fields(transcript=h)) for r, h in zip(refs, hyps)])
    assert ours == pytest.approx(100 * jiwer.wer(refs, hyps))
    counts = metric("wer").count(Fields(transcript="the cat sat"), Fields(transcript="the bat sat down"))
    assert counts == {"n": 1, "words": 3, "unread": 0, "substitutions": 1, "deletions": 0, "insertions": 1}
    assert value("cer", [(Fields(transcript=r), Fields(transcript=h)) for r, h in zip(refs, hyps)]) == pytest.approx(
        100 * jiwer.cer(refs, [" ".join(h.split()) for h in hyps])
    )
    assert metric("wer").count(Fields(transcript="..."), Fields(transcript="two words"))["insertions"] == 2
    assert value("wer", [(Fields(transcript="one two"), Fields())]) == 100.0


def test_the_normaliser_treats_both_sides_alike() -> None:
    assert normalise.words("It’s “FINE”, isn't it? -- 'Yes'!") == ["it's", "fine", "isn't", "it", "yes"]
    assert normalise.words("你好，OK。") == ["你", "好", "ok"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("[LAUGHTER] Uh, excuse <COMMA> me. [garbage]", "excuse me"),
        ("Ross is 27; 1,200 came 3rd", "ross is twenty seven one thousand two hundred came third"),
        ("5% & $20.50 at 7:30", "five percent and twenty point five at seven thirty"),
        ("the 21st of 1A in the '90s", "the twenty first of one a in the ninety s"),
        ("um, hm", ""),
    ],
)
def test_tags_fillers_and_numbers(text: str, said: str) -> None:
    assert " ".join(normalise.words(text)) == said


def test_real_transcripts_become_plain_words_and_stay_so(real_data: Callable[[str], Path]) -> None:
    """Every line of MELD, and LibriSpeech's, which have no punctuation, number or filler: they stay as they are."""
    for part in ("train", "dev", "test"):
        with (real_data("meld_csv") / f"{part}_sent_emo.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                words = normalise.words(row["Utterance"])
                assert words == normalise.words(" ".join(words)) and not any(c.isdigit() for word in words for c in word)
    for utt in librispeech.utterances(real_data("librispeech_3spk")):
        assert normalise.words(utt.text or "") == (utt.text or "").split()


def test_emphasis_is_exact_and_chance_is_one_of_the_words() -> None:
    ref = Fields(transcript="one two three four", emphasis=("two",))
    pairs = [(ref, replace(ref, emphasis=e)) for e in (("two",), ("Two",), ("one",), ("two", "one"), None)]
    assert value("emphasis", pairs) == 40.0
    m = metric("emphasis")
    assert m.chance is not None and m.chance(scoring.total([m.count(*p) or {} for p in pairs])) == 25.0


def test_stressed_words_are_found_and_made_up() -> None:
    ref = Fields(transcript="one two three four", emphasis=("two", "four"))
    pairs = [(ref, replace(ref, emphasis=e)) for e in (("two",), ("Two", "one", "three"), None)]
    assert value("emphasis_precision", pairs) == 50.0 and value("emphasis_recall", pairs) == pytest.approx(100 / 3)


def test_an_unknown_metric_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="known are ua, wa, macro_f1, weighted_f1, nll, ece, wer, cer, bleu4"):
        metrics.chosen("ua,nope")


# ---- the whole way ----


@pytest.fixture
def parts(corpus: Path) -> Path:
    annotate.annotate(corpus, configs.Config(), nj=1)
    return corpus


def answer(folder: Path, out: Path, change: int = 0) -> Path:
    """Captions of the references; the first `change` of them sad."""
    rows = []
    for i, utt in enumerate(datadir.read(folder)):
        fields = utt.labels or Fields()
        rows.append({"utt_id": utt.utt_id, "response": writer.render(replace(fields, emotion="sad") if i < change else fields, "x")})
    write_jsonl(out, rows)
    return out


def score(folder: Path, hyp: Path) -> dict[str, scoring.Score]:
    utterances, wanted = datadir.read(folder), [metric for metric in metrics.every() if metric.count]
    table = scoring.rows(utterances, hypotheses.answered(hyp, utterances)[0], TargetConfig(), wanted, ScoringConfig()).table
    scores = [scoring.score(m, table[m.name], ScoringConfig(resamples=200), {}) for m in wanted if table[m.name]]
    scoring.write(hyp.with_name("score.json"), scores, table)
    return {s.metric: s for s in scores}


def test_perfect_captions_score_perfectly_and_absent_fields_are_not_scored(parts: Path, tmp_path: Path) -> None:
    scores = score(parts / "fold1" / "test", answer(parts / "fold1" / "test", tmp_path / "hyp.jsonl"))
    said = {name: s.value for name, s in scores.items() if name != "pitch_kappa"}  # pitch has one value here
    assert said == {name: 0.0 if name in ("wer", "cer") else 100.0 for name in said} and scores["pitch_kappa"].value is None
    assert {"ua", "wa", "macro_f1", "wer", "cer", "pitch", "energy_kappa", "gender_accuracy", "emphasis", "emphasis_recall"} <= scores.keys()
    assert "age" not in scores and scores["ua"].n == 6 and scores["ua"].chance == pytest.approx(33.3333)
    assert "normaliser:words-3" in scores["wer"].signature


def test_intervals_hold_the_score_and_count_speakers(parts: Path, tmp_path: Path) -> None:
    s = score(parts / "fold1" / "test", answer(parts / "fold1" / "test", tmp_path / "hyp.jsonl", change=3))["ua"]
    assert s.value == pytest.approx(200 / 3) or s.interval is not None
    assert s.interval is not None and s.interval[0] <= (s.value or 0) <= s.interval[1] and s.interval[0] < s.interval[1]
    one = [(Utterance("a", "", "s0"), {"n.sad": 1, "right.sad": 1})]
    assert scoring.interval(metric("ua"), one, ScoringConfig()) is None


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows[1:], "1 missing: s0-0"),
        (lambda rows: [*rows, {"utt_id": "zz", "response": "x"}], "1 not in the data: zz"),
        (lambda rows: [*rows, rows[0]], "1 answered twice: s0-0"),
        (lambda rows: [{**rows[0], "response": " "}, *rows[1:]], "1 empty: s0-0"),
        (lambda rows: [{"utt_id": "s0-0"}, *rows[1:]], ":1: a line needs utt_id and response"),
        (lambda rows: [{**rows[0], "emotion": "glad"}, *rows[1:]], ":1: emotion 'glad': not one of angry, calm"),
    ],
)
def test_faulty_hypotheses_are_named(parts: Path, tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    hyp = answer(parts / "fold1" / "test", tmp_path / "hyp.jsonl")
    write_jsonl(hyp, change([json.loads(line) for line in hyp.read_text().splitlines()]))
    with pytest.raises(UserError, match=message):
        score(parts / "fold1" / "test", hyp)


def with_all_faults(hyp: Path) -> Path:
    """The first utterance missing, the second twice, the third empty, and one that nobody knows."""
    rows = [json.loads(line) for line in hyp.read_text().splitlines()]
    write_jsonl(hyp, [rows[1], rows[1], {**rows[2], "response": ""}, *rows[3:], {"utt_id": "zz", "response": "A man."}])
    return hyp


def test_all_faults_are_named_at_once_or_count_as_wrong(parts: Path, tmp_path: Path) -> None:
    test = parts / "fold1" / "test"
    ids = [utt.utt_id for utt in datadir.read(test)]
    hyp = with_all_faults(answer(test, tmp_path / "hyp.jsonl"))
    command = ["score", str(test), "--hyp", str(hyp), "--metric", "ua,wer,age"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    for told in (f"1 missing: {ids[0]}", f"1 answered twice: {ids[1]}", f"1 empty: {ids[2]}", "1 not in the data: zz", "--missing wrong"):
        assert told in refused.output
    done = CliRunner().invoke(app, [*command, "--missing", "wrong"])
    assert done.exit_code == 0, done.output
    saved = read_json(tmp_path / "score.json")
    ua = next(s for s in saved["scores"] if s["metric"] == "ua")
    assert ua["counts"]["right"] == len(ids) - 3 and ua["n"] == len(ids) and "missing:wrong" in ua["signature"]
    assert saved["counted as wrong"] == {"missing": [ids[0]], "answered twice": [ids[1]], "empty": [ids[2]], "not in the data": ["zz"]}
    assert "age" in {s["metric"] for s in saved["scores"]} and "not computed: age" in done.output  # asked for by name, so told
    assert "substitutions" in done.output and "recall" in done.output


def test_an_empty_answer_of_our_own_is_what_the_model_said(parts: Path, tmp_path: Path) -> None:
    test = parts / "fold1" / "test"
    utterances = datadir.read(test)
    write_jsonl(tmp_path / "hyp.jsonl", [decode.hypothesis(utt.utt_id, "") for utt in utterances])
    hyps, faults = hypotheses.answered(tmp_path / "hyp.jsonl", utterances)
    assert not faults and len(hyps) == len(utterances)


def test_an_answer_may_hold_any_character(parts: Path, tmp_path: Path) -> None:
    """Also those that end a line elsewhere; a file of another encoding is told."""
    test = parts / "fold1" / "test"
    write_jsonl(tmp_path / "hyp.jsonl", [decode.hypothesis(utt.utt_id, "A\u2028man\x85 speaks.") for utt in datadir.read(test)])
    hyps, _ = hypotheses.answered(tmp_path / "hyp.jsonl", datadir.read(test))
    assert {hyp.response for hyp in hyps.values()} == {"A\u2028man\x85 speaks."}
    (tmp_path / "latin").write_bytes("a caf\xe9\n".encode("latin-1"))
    for read in (hypotheses.read_hypotheses, lambda path: scoring.read_references(path, [])):
        with pytest.raises(UserError, match="latin:1: not UTF-8"):
            read(tmp_path / "latin")


def test_a_fold_is_scored_by_its_own_configuration(parts: Path, tmp_path: Path) -> None:
    hyp = tmp_path / "fold1" / "decode_test" / "hyp.jsonl"
    hyp.parent.mkdir(parents=True)
    answer(parts / "fold1" / "test", hyp)
    configs.dump(configs.load(settings=["folds.rule=speakers", "target.transcript=false"]), tmp_path / "fold1" / "config.yaml")
    (parts / "labelled.json").rename(parts / "aside")
    command = ["score", str(parts / "fold1" / "test"), "--hyp", str(hyp), "--metric", "ua,wer"]
    assert CliRunner().invoke(app, command).exit_code == 0
    ua, wer = read_json(hyp.with_name("score.json"))["scores"]
    assert "fold_rule:speakers" in ua["signature"] and wer["value"] is None and wer["note"]
    assert CliRunner().invoke(app, [*command, "--set", "target.transcript=true"]).exit_code == 0
    assert read_json(hyp.with_name("score.json"))["scores"][1]["value"] == 0.0
    (parts / "aside").rename(parts / "labelled.json")
    assert CliRunner().invoke(app, command).exit_code == 0
    assert "fold_rule:session" in read_json(hyp.with_name("score.json"))["scores"][0]["signature"], "as the folds were made"


def test_scores_of_each_file_lie_beside_it_and_a_strangers_configuration_is_not_taken(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, results = parts / "fold1" / "test", tmp_path / "results"
    (tmp_path / "config.yaml").write_text("of: another program\n")
    rows = read_jsonl(answer(test, results / "A.jsonl"))
    (results / "model-1.5").write_text("".join(f"{row['utt_id']} {row['response']}\n" for row in rows))
    for name in ("A.jsonl", "model-1.5"):
        done = CliRunner().invoke(app, ["score", str(test), "--hyp", str(results / name), "--metric", "ua", "--faithful"])
        assert done.exit_code == 0, done.output
    whose, what = ("A", "model-1.5"), ("faithfulness.json", "faithfulness.rows.jsonl", "rows.jsonl", "score.json")
    assert {path.name for path in results.iterdir()} == {"A.jsonl", "model-1.5", *(f"{name}.{end}" for name in whose for end in what)}
    assert read_json(results / "A.score.json")["rows"] == "A.rows.jsonl"
    (tmp_path / "config.yaml").write_text("folds: {rule: nope}\n")
    (tmp_path / "decode_test").mkdir()
    monkeypatch.chdir(answer(test, tmp_path / "decode_test" / "hyp.jsonl").parent)
    assert "folds.rule" in CliRunner().invoke(app, ["score", str(test), "--hyp", "hyp.jsonl", "--metric", "ua"]).output, "a fold's own is taken"


def test_scores_are_kept_where_nothing_changed_and_told_where_answers_did(parts: Path, tmp_path: Path) -> None:
    test, exp = parts / "fold1" / "test", tmp_path / "exp"
    hyp = answer(test, exp / "fold1" / "decode_test" / "hyp.jsonl")
    data = str(test)

    def kept(*options: str) -> bool:
        done = CliRunner().invoke(app, ["score", data, "--hyp", str(hyp), "--metric", "ua,sacrebleu", "--keep", *options])
        assert done.exit_code == 0, done.output
        return "kept, of the same answers" in done.output

    full = ("--set", "scoring.caption_text=full")
    assert [kept(), kept(), kept(*full), kept(*full), kept()] == [False, True, False, True, False]
    assert report.Experiment.open(exp, "test", configs.Config()).folds
    answer(test, hyp, change=1)
    with pytest.raises(UserError, match="hyp.jsonl has been decoded again since: rerun the score stage"):
        report.Experiment.open(exp, "test", configs.Config())
    assert [kept(), kept()] == [False, True]
    labels = (test / "utt2sed.jsonl").read_text()
    (test / "utt2sed.jsonl").write_text(labels.replace('"happy"', '"sad"', 1))
    assert [kept(), kept()] == [False, True]
    there = read_json(hyp.with_name("score.json"))
    there["scores"][1]["note"] = "no Java"
    write_json(hyp.with_name("score.json"), there)
    assert [kept(), kept()] == [False, True], "what had no value is tried again"


def test_a_program_that_fails_costs_its_metric_alone(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*arguments: object, **options: object) -> str:
        raise FailedError("METEOR: Java stopped with status 3")

    monkeypatch.setattr(java, "run", dies)
    hyp = answer(parts / "fold1" / "test", tmp_path / "hyp.jsonl")
    done = CliRunner().invoke(app, ["score", str(parts / "fold1" / "test"), "--hyp", str(hyp), "--metric", "ua,sacrebleu,meteor"])
    assert done.exit_code == 1 and "meteor: not computed" in done.output and "stopped with status 3" in done.output
    ua, bleu, meteor = read_json(tmp_path / "score.json")["scores"]
    assert (ua["value"], bleu["value"] > 0, meteor["value"]) == (100.0, True, None)


def test_figures_are_signed_with_what_the_labels_were_made_by(tmp_path: Path, corpus: Path, tiny_settings: list[str]) -> None:
    """By what annotate noted, not by what is configured now; what is as by default is not told, and measures only to what sees their labels."""
    usual = {"fold_rule": "session", "protocol": "all", "labels": "all"}
    other = configs.load(settings=["measure.pitch=f0", "measure.seconds=4", "folds.labels=[angry, sad]"])
    annotate.annotate(corpus, configs.Config(), 1, tmp_path / "usual")
    assert scoring.Provenance.of(tmp_path / "usual/fold1/test", other).signature_fields(metric("pitch")) == usual
    annotate.annotate(corpus, other, 1, tmp_path / "other")
    made = scoring.Provenance.of(tmp_path / "other/fold1/test", configs.Config())
    assert made.signature_fields(metric("ua")) == made.signature_fields(metric("gender")) == usual | {"labels": "angry+sad"}
    assert (
        made.signature_fields(metric("pitch"))
        == made.signature_fields(metric("spice"))
        == usual | {"labels": "angry+sad", "measure_pitch": "f0", "measure_seconds": "4.0"}
    )
    improvised = configs.load(settings=["prepare.turns=improvised", "measure.traits=[melody]"])
    assert scoring.Provenance.of(tmp_path, improvised).signature_fields(metric("wer")) == usual | {"turns": "improvised"}


def test_captions_are_signed_with_what_their_references_say() -> None:
    bleu, ua = metric("bleu4"), metric("ua")
    outputs = TargetConfig(transcript=False)
    style, full = ScoringConfig(), ScoringConfig(caption_text="full")
    assert scoring.target_signature(bleu, outputs, style) == scoring.target_signature(bleu, TargetConfig(), style) == {"target": "descriptors+emotion"}
    assert scoring.target_signature(bleu, TargetConfig(), full) == {"target": "transcript+descriptors+emotion"}
    assert not scoring.target_signature(ua, outputs, full)
    assert "punctuation:kept" in scoring.signature(metric("sacrebleu"), style, {})
    assert "tokens:raw|punctuation:kept" in scoring.signature(metric("spice"), ScoringConfig(spice_text="raw"), {})
    jar = java.jars() / "meteor" / "meteor-1.5.jar"
    assert f"jar:{hashlib.sha256(jar.read_bytes()).hexdigest()[:8]}" in scoring.signature(metric("meteor"), style, {})


def test_mandarin_characters_have_no_spaces_between_them() -> None:
    pair = (Fields(transcript="\u4f60\u597d\u5417\u6211\u5f88\u597d"), Fields(transcript="\u4f60\u53f7\u5417\u6211\u6068\u597d"))
    assert value("cer", [pair]) == value("wer", [pair]) == pytest.approx(100 * jiwer.cer(*(p.transcript for p in pair)))
    assert normalise.characters("\u597dOK go") == "\u597dok go"
    assert normalise.words("9" * 400)[:2] == ["nine", "nine"]


def test_folds_are_pooled_and_averaged(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exp = tmp_path / "exp"
    by_fold = []
    for k, change in ((1, 0), (2, 4)):
        hyp = exp / f"fold{k}" / "decode_test" / "hyp.jsonl"
        hyp.parent.mkdir(parents=True)
        by_fold.append(score(parts / f"fold{k}" / "test", answer(parts / f"fold{k}" / "test", hyp, change))["ua"].value)
    report.report(exp, "test", configs.Config())
    ua = next(s for s in read_json(exp / "score_test.json")["scores"] if s["metric"] == "ua")
    assert ua["by_fold"] == by_fold and ua["mean"] == pytest.approx(sum(v or 0 for v in by_fold) / 2) and ua["n"] == 12
    block = (exp / "RESULTS.md").read_text()
    assert "| metric | chance |" in " ".join(block.split()) and "substitutions" in block
    with pytest.raises(UserError, match="scored with unit:speaker, requested is unit:utterance: --set scoring.unit=speaker"):
        report.report(exp, "test", configs.load(settings=["scoring.unit=utterance"]))
    rows = [json.loads(line) for line in (exp / "fold1" / "decode_test" / "rows.jsonl").read_text().splitlines()]
    write_jsonl(exp / "fold1" / "decode_test" / "rows.jsonl", [{name: v for name, v in row.items() if name != "pitch"} for row in rows])
    report.report(exp, "test", configs.Config())
    assert "pitch %: not in fold1" in (exp / "RESULTS.md").read_text()
    other = read_json(exp / "fold2" / "decode_test" / "score.json")
    other["scores"][0]["signature"] += "|changed"
    (exp / "fold2" / "decode_test" / "score.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="not comparable"):
        report.report(exp, "test", configs.Config())
    with pytest.raises(UserError, match="Train, decode and score first"):
        report.report(tmp_path / "empty", "test", configs.Config())


def test_a_difference_is_resampled_in_pairs() -> None:
    """Equal systems differ by nothing in every resample; a system that is right once more a speaker lies above by just that."""
    m = metric("ua")
    people = [Utterance(f"{s}-{i}", "", f"s{s}") for s in range(6) for i in range(4)]
    truth = [Fields(emotion=("sad", "happy")[i % 2]) for i in range(24)]

    def counted(right: Callable[[int], bool]) -> scoring.Rows:
        return [(u, m.count(t, t if right(i) else Fields()) or {}) for i, (u, t) in enumerate(zip(people, truth))]

    some, more = counted(lambda i: i % 4 == 0), counted(lambda i: i % 4 in (0, 1))
    assert bootstrap.difference(m, some, some, ScoringConfig()) == (0.0, (0.0, 0.0))
    assert bootstrap.difference(m, more, some, ScoringConfig()) == (25.0, (25.0, 25.0))
    uneven = counted(lambda i: i < 12)
    value, interval = bootstrap.difference(m, uneven, some, ScoringConfig())
    assert value == 25.0 and interval is not None and interval[0] < 0 < 50 < interval[1]
    with pytest.raises(UserError, match="not scored on the same utterances"):
        bootstrap.difference(m, some[1:], more, ScoringConfig())


def test_baselines_know_what_can_be_known(parts: Path) -> None:
    baselines.write(parts / "baselines.json", table := baselines.baselines(parts, nj=1))
    rows = read_json(parts / "baselines.json")
    assert baselines.read_rows(parts / "baselines.json", baselines.LOGMEL)["ua"] == [
        (Utterance(u.utt_id, "", u.spk), counts) for u, counts in table[baselines.LOGMEL]["ua"]
    ]
    assert set(rows) == {"constant", "words alone", "reference descriptors", "log-mel statistics"}
    assert rows["words alone"]["ua"] == 100.0  # the corpus of tones says another word for each emotion
    assert rows["constant"]["gender"] == 50.0 and "gender" in rows["log-mel statistics"]
