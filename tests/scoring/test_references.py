"""Several references of an utterance: forms of the file, and every caption metric with them."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from helpers.cli import serdesc
from helpers.scoring import scored
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from serdesc.captions.fields import Fields
from serdesc.config import Config, ScoringConfig, TargetConfig
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, read_jsonl
from serdesc.scoring import captions, java, metrics, references
from serdesc.scoring import score as scoring
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.metrics import cider, spice

UTTERANCES = [Utterance(name, "", "s") for name in ("a", "b")]
WANTED = {"a": ["She is sad.", "A sad woman."], "b": ["He shouts."]}


@pytest.mark.parametrize(
    "text",
    [
        "a She is sad.\nb He shouts.\na A sad woman.\n",
        "a\tShe is sad.\na\tA sad woman.\nb\tHe shouts.\n",
        'utt_id\tcaption\na\t"She is sad."\na\tA sad woman.\nb\tHe shouts.\n',
        json.dumps({"a": ["She is sad.", "A sad woman."], "b": "He shouts."}),
        "".join(
            json.dumps({"utt_id": name, "response": text}) + "\n"
            for name, texts in WANTED.items()
            for text in texts
        ),
        json.dumps(
            {
                "images": [{"id": "a"}, {"id": "b"}],
                "annotations": [
                    {"id": 1, "image_id": "a", "caption": "She is sad."},
                    {"id": 2, "image_id": "b", "caption": "He shouts."},
                    {"id": 3, "image_id": "a", "caption": "A sad woman.\n"},
                ],
            }
        ),
    ],
    ids=["kaldi", "tsv", "header", "object", "jsonl", "coco"],
)
def test_forms_of_a_file_of_references(tmp_path: Path, text: str) -> None:
    path = tmp_path / "refs"
    path.write_text(text)
    found = references.read(path, UTTERANCES)
    assert found.captions == WANTED and found.count == "1-2" and found.name == "refs"
    assert references.read(path, UTTERANCES[1:]).count == "1-2", "of the file, not of the part"


@pytest.mark.parametrize(
    "text, said",
    [
        ("a She is sad.\n", "no caption of 1 utterances, the first is 'b'"),
        ("a She is sad.\nb \n", "refs:2: the reference of 'b' is empty"),
        ('{"a": ["x"], "b": [3]}', "the reference of 'b' is empty or no text: 3"),
        ('{"a": "x", "b": "y", "a": "z"}', "refs: the key 'a' is repeated"),
        ('{"annotations": [{"image_id": "a"}]}', "needs image_id and caption"),
    ],
)
def test_references_that_cannot_be_used_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "refs").write_text(text)
    with pytest.raises(UserError) as error:
        references.read(tmp_path / "refs", UTTERANCES)
    assert said in str(error.value)


def test_a_repeated_id_of_a_data_directory_is_refused_with_both_lines(tmp_path: Path) -> None:
    datadir.write(tmp_path, [Utterance("a", "a.wav", "s", caption="One.")])
    (tmp_path / "utt2cap").write_text("a One.\na Two.\n")
    with pytest.raises(UserError, match="utt2cap:2: 'a' is listed twice, in line 1 too"):
        datadir.read(tmp_path)


WORDS = "a woman man with low high pitch speaks slowly sad in the voice fast happy tone".split()


def sentences(n: int, least: int = 1) -> tuple[list[str], list[list[str]]]:
    """Hypotheses, and one to four references of each, in words that tokenisers leave as they are."""
    rng = random.Random(3)
    hyps = [" ".join(rng.choices(WORDS, k=rng.randint(3, 14))) for _ in range(n)]
    refs = []
    for hyp in hyps:
        changed = []
        for _ in range(rng.randint(least, 4)):
            words = [w if rng.random() < 0.7 else rng.choice(WORDS) for w in hyp.split()]
            changed.append(" ".join(words[: rng.randint(2, 14)]))
        refs.append(changed)
    return hyps, refs


def test_bleu_rouge_and_cider_are_pycocoevalcaps_and_sacrebleus() -> None:
    hyps, refs = sentences(60)
    theirs = (dict(enumerate(refs)), {i: [hyp] for i, hyp in enumerate(hyps)})
    wanted = {
        "bleu4": 100 * Bleu(4).compute_score(*theirs, verbose=0)[0][3],
        "rouge_l": 100 * Rouge().compute_score(*theirs)[0],
        "cider": 100 * Cider().compute_score(*theirs)[0],
    }
    streams: list[list[Any]] = [[(r + [None] * 4)[k] for r in refs] for k in range(4)]
    wanted["sacrebleu"] = sacrebleu.corpus_bleu(hyps, streams).score
    ours = captions.Captions.of_tokens(hyps, refs, ScoringConfig())
    for metric in metrics.chosen(",".join(wanted)):
        assert metric.captions is not None
        value = metric.value(scoring.total(metric.captions(ours)))
        assert value == pytest.approx(wanted[metric.name], abs=1e-9), metric.name
    one = captions.Captions.of_tokens(hyps, [r[:1] for r in refs], ScoringConfig())
    first = scoring.total(cider.count(one))["sum"]
    assert first != pytest.approx(scoring.total(cider.count(ours))["sum"])


@pytest.mark.java
def test_meteor_is_pycocoevalcaps(tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap.meteor.meteor")
    try:
        java.program()
    except java.NotComputed as reason:
        pytest.skip(str(reason))
    from pycocoevalcap.meteor.meteor import Meteor

    hyps, refs = sentences(30)
    corpus, each = Meteor().compute_score(
        dict(enumerate(refs)), {i: [hyp] for i, hyp in enumerate(hyps)}
    )
    ours = scored(tmp_path, hyps, [r[0] for r in refs], "scoring.spice_jars=/none", several=refs)
    assert ours["meteor"]["value"] == pytest.approx(100 * corpus, abs=6e-5)
    assert ours["meteor_mean"]["value"] == pytest.approx(100 * sum(each) / 30, abs=6e-5)
    assert "|nrefs:1-4|" in ours["meteor"]["signature"]
    for row, hyp, own in zip(read_jsonl(tmp_path / "rows.jsonl"), hyps, refs, strict=True):
        stored = {"refs": own} if len(own) > 1 else {"ref": own[0]}
        assert row["tokens"] == {"hyp": hyp, **stored}
    own = scored(tmp_path, hyps, [r[0] for r in refs], "scoring.spice_jars=/none")
    assert "|nrefs:1|" in own["meteor"]["signature"]
    assert "nrefs" not in own["ua"]["signature"], "fields are compared with the labels"


def test_spice_has_all_references_of_a_caption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(arguments: list[str], given: str, name: str, **options: object) -> str:
        place = arguments.index("-out")
        pairs = read_json(Path(arguments[place - 1]))
        asked.extend(pair["refs"] for pair in pairs)
        rows = [{"image_id": p["image_id"], "scores": {"All": {"f": 0.5}}} for p in pairs]
        Path(arguments[place + 1]).write_text(json.dumps(rows))
        return ""

    monkeypatch.setattr(java, "run", run)
    monkeypatch.setattr(spice, "folder", lambda setting: tmp_path)
    config = ScoringConfig(spice_text="raw", cache=str(tmp_path))
    for refs in ([["x", "y"], ["z"]], [["x"], ["z"]]):
        spice.count(captions.Captions(["a", "b"], refs, config))
    assert asked == [["x", "y"], ["z"], ["x"]], "one reference is another question than two"


def test_fields_are_compared_with_the_labels_and_a_plug_in_with_one_reference() -> None:
    """References in a file replace captions alone; a metric that knows one reference is not run."""
    utts = [
        Utterance(f"u{i}", "", f"s{i}", caption="Sad.", labels=Fields(emotion="sad"))
        for i in range(2)
    ]
    hyps = {utt.utt_id: Hypothesis("Happy.", Fields(emotion="sad")) for utt in utts}
    single = replace(
        metrics.chosen("rouge_l")[0],
        name="single",
        captions=lambda c: [{"n": 1, "sum": float(h == r)} for h, r in zip(c.hyps, c.refs)],
    )
    given = {"u0": ["Happy.", "Glad."], "u1": ["Happy."]}
    chosen = [*metrics.chosen("ua"), single]
    found = scoring.rows(utts, hyps, TargetConfig(), chosen, ScoringConfig(), given)
    assert [counts["right"] for _, counts in found.table["ua"]] == [1, 1]
    assert not found.table["single"] and "compares with one reference" in found.notes["single"]
    given["u0"] = ["Happy."]
    found = scoring.rows(utts, hyps, TargetConfig(), chosen, ScoringConfig(), given)
    assert [counts["sum"] for _, counts in found.table["single"]] == [1.0, 1.0]


def test_given_references_are_compared_as_they_are() -> None:
    """Also where the target has fewer fields than the labels: they cannot be limited."""
    labels = Fields(emotion="sad", pitch="low")
    utts = [Utterance("u", "", "s", caption="Her low pitch is sad.", labels=labels)]
    hyps = {"u": Hypothesis("A voice.", Fields())}
    outputs = TargetConfig(descriptors=False)
    seen: list[list[list[str]]] = []

    def look(given: captions.Captions) -> list[dict[str, float]]:
        seen.append(given.references)
        return [{"n": 1, "sum": 0.0}]

    metric = replace(metrics.chosen("rouge_l")[0], captions=look)
    scoring.rows(utts, hyps, outputs, [metric], ScoringConfig(), {"u": ["One.", "Two."]})
    scoring.rows(utts, hyps, outputs, [metric], ScoringConfig())
    assert seen[0] == [["One.", "Two."]] and "pitch" not in seen[1][0][0]


def test_pooled_folds_have_cider_of_all_their_references(tmp_path: Path) -> None:
    hyps, refs = sentences(40)
    chosen = metrics.chosen("cider")
    config = ScoringConfig()
    for fold, part in ((1, slice(0, 15)), (2, slice(15, 40))):
        utts = [Utterance(f"u{i:02d}", "", f"s{i % 5}") for i in range(40)][part]
        given = captions.Captions.of_tokens(hyps[part], refs[part], config)
        table = {"cider": list(zip(utts, cider.count(given)))}
        tokens = {u.utt_id: pair for u, pair in zip(utts, zip(hyps[part], refs[part]))}
        scores = [scoring.score(chosen[0], table["cider"], config, {"nrefs": "1-4"})]
        scoring.write(tmp_path / f"fold{fold}/decode_test/score.json", scores, table, tokens)
    pooled = Experiment.open(tmp_path, "test", Config()).rows(chosen[0])
    whole = cider.count(captions.Captions.of_tokens(hyps, refs, config))
    assert [counts["sum"] for _, counts in pooled] == pytest.approx([c["sum"] for c in whole])


@pytest.mark.java
def test_the_command_scores_several_references(tmp_path: Path) -> None:
    try:
        java.program()
    except java.NotComputed as reason:
        pytest.skip(str(reason))
    hyps = ["She sounds sad.", "A man is angry."]
    refs = [["A glad girl.", "She sounds sad."], ["A man is angry.", "He shouts."]]
    scored(tmp_path, hyps, [r[0] for r in refs], several=refs)
    command = ("score", tmp_path / "data", "--hyp", tmp_path / "hyp.jsonl", "--metric", "rouge_l")
    code, text = serdesc(*command, "--refs", tmp_path / "refs")
    assert code == 0 and "100.0" in text, text
