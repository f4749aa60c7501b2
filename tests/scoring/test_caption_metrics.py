"""Caption metrics through `serdesc score`: equal to pycocoevalcap's own and sacrebleu's, and SPICE to its golden scores."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest
from typer.testing import CliRunner

from serdesc.captions import reader, writer
from serdesc.captions.fields import Fields
from serdesc.cli import app
from serdesc.config import ScoringConfig
from serdesc.data import datadir
from serdesc.data.corpora import secap600
from serdesc.data.datadir import Utterance
from serdesc.files import read_json, read_jsonl
from serdesc.scoring import captions, java
from serdesc.scoring.metrics import spice

ROOT = Path(__file__).parents[2]
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no Java: METEOR, SPICE and PTB tokens cannot be had")
WORDS = "a woman man with low high pitch moderate volume speaks slowly her sadness evident in the voice fast happy tone (really) it's".split()


def perturbed(text: list[str], rng: random.Random) -> list[str]:
    return [word if rng.random() < 0.8 else rng.choice(text) for word in text if rng.random() < 0.9] or text[:1]


def english(n: int) -> tuple[list[str], list[str]]:
    rng = random.Random(0)
    refs = [rng.choices(WORDS, k=rng.randint(3, 16)) for _ in range(n)]
    hyps = [perturbed(ref, rng) for ref in refs]
    said = [" ".join(words) + "." for words in hyps]
    said[0], said[1] = "A woman, \"who\" speaks; it's 5 o'clock (really) - 50 %!", ""
    return said, [" ".join(words).capitalize() + "." for words in refs]


def scored(folder: Path, hyps: list[str], refs: list[str], *settings: str) -> dict[str, dict[str, Any]]:
    """The scores that `serdesc score` writes of these captions."""
    utterances = [Utterance(f"u{i:04d}", f"{i}.wav", f"s{i % 3}", caption=ref, labels=Fields(emotion="sad")) for i, ref in enumerate(refs)]
    datadir.write(folder / "data", utterances)
    lines = [json.dumps({"utt_id": f"u{i:04d}", "response": hyp, "unread": []}, ensure_ascii=False) for i, hyp in enumerate(hyps)]
    (folder / "hyp.jsonl").write_text("\n".join(lines) + "\n")
    options = [item for setting in (*settings, f"scoring.cache={folder / 'cache'}") for item in ("--set", setting)]
    result = CliRunner().invoke(app, ["score", str(folder / "data"), "--hyp", str(folder / "hyp.jsonl"), *options])
    assert result.exit_code == 0, result.output
    return {row["metric"]: row for row in read_json(folder / "score.json")["scores"]}


def coco(hyps: list[str], refs: list[str]) -> dict[str, float]:
    """pycocoevalcap's own B@4, ROUGE-L and CIDEr of tokenised captions."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    theirs = ({i: [ref] for i, ref in enumerate(refs)}, {i: [hyp] for i, hyp in enumerate(hyps)})
    bleu = Bleu(4).compute_score(*theirs, verbose=0)[0][3]
    return {"bleu4": 100 * bleu, "rouge_l": 100 * Rouge().compute_score(*theirs)[0], "cider": 100 * Cider().compute_score(*theirs)[0]}


@needs_java
def test_english_equals_pycocoevalcap_and_sacrebleu(tmp_path: Path) -> None:
    import sacrebleu
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    hyps, refs = english(80)
    ours = scored(tmp_path, hyps, refs, "scoring.caption_text=full", "scoring.spice_jars=/none")
    tokenizer = PTBTokenizer()
    h, r = (tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(side)}) for side in (hyps, refs))
    tokens = [row["tokens"] for row in read_jsonl(tmp_path / "rows.jsonl")]
    assert [t["hyp"] for t in tokens] == [h[i][0] for i in range(80)] and [t["ref"] for t in tokens] == [r[i][0] for i in range(80)]
    for name, value in coco([h[i][0] for i in range(80)], [r[i][0] for i in range(80)]).items():
        assert ours[name]["value"] == pytest.approx(value, abs=6e-5), name
    corpus, sentences = Meteor().compute_score(r, h)
    assert ours["meteor"]["value"] == pytest.approx(100 * corpus, abs=6e-5)
    assert ours["meteor_mean"]["value"] == pytest.approx(100 * sum(sentences) / 80, abs=6e-5)
    assert ours["sacrebleu"]["value"] == pytest.approx(sacrebleu.corpus_bleu(hyps, [refs], lowercase=True).score, abs=6e-5)
    assert ours["spice"]["value"] is None and "tools/get_spice.sh" in ours["spice"]["note"]
    assert "caption_text:full|language:en|tokens:ptb|punctuation:removed" in ours["bleu4"]["signature"]


@needs_java
def test_mandarin_equals_pycocoevalcap_on_the_same_tokens(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    """The references of secap600 against perturbed ones; characters, no punctuation."""
    rng = random.Random(1)
    refs = [utt.caption or "" for utt in secap600.utterances(real_data("emosec600")) if isinstance(utt, Utterance)]
    hyps = ["".join(perturbed(list(ref), rng)) for ref in refs]
    ours = scored(tmp_path, hyps, refs, "scoring.language=zh")
    tokens = [row["tokens"] for row in read_jsonl(tmp_path / "rows.jsonl")]
    assert all(t["ref"] == " ".join(c for c in ref if c.isalnum()) for t, ref in zip(tokens, refs))
    for name, value in coco([t["hyp"] for t in tokens], [t["ref"] for t in tokens]).items():
        assert ours[name]["value"] == pytest.approx(value, abs=6e-5), name
    for name in ("meteor", "spice"):
        assert ours[name]["value"] is None and "supports English only" in ours[name]["note"]


@needs_java
def test_spice_gives_its_golden_scores(tmp_path: Path, real_spice: Path) -> None:
    pairs = read_jsonl(real_spice / "golden.jsonl")
    ours = scored(
        tmp_path, [pair["hyp"] for pair in pairs], [pair["ref"] for pair in pairs],
        "scoring.caption_text=full", "scoring.spice_text=raw", f"scoring.spice_jars={real_spice}",
    )  # fmt: skip
    rows = [row["spice"] for row in read_jsonl(tmp_path / "rows.jsonl")]
    assert [row["sum"] for row in rows] == pytest.approx([pair["spice"] for pair in pairs], abs=1e-12) and len(rows) == 200
    assert ours["spice"]["value"] == pytest.approx(100 * sum(pair["spice"] for pair in pairs) / 200, abs=6e-5)
    assert "spice_text:raw" in ours["spice"]["signature"]
    empty = sum(not pair["hyp_tuples"] or not pair["ref_tuples"] for pair in pairs)
    assert ours["spice"]["counts"].get("no_tuples", 0) == empty


LONG = "A woman speaks slowly. The old man is sad. " * 12


@needs_java
def test_spice_of_a_long_caption_is_computed_once(tmp_path: Path, real_spice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The jar's own cache takes no caption over 511 bytes."""
    assert len(LONG) > 511
    settings = ("scoring.caption_text=full", "scoring.spice_text=raw", f"scoring.spice_jars={real_spice}")
    hyps, refs = [LONG, "A man shouts."], [LONG, "A man speaks loudly."]
    first = scored(tmp_path, hyps, refs, *settings)["spice"]
    assert first["n"] == 2 and first["value"] > 50
    run = java.run
    monkeypatch.setattr(java, "run", lambda arguments, given, name, **more: run(arguments, given, name, **more) if name != "SPICE" else 1 / 0)
    assert scored(tmp_path, hyps, refs, *settings)["spice"] == first


def test_spice_asks_for_new_pairs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(arguments: list[str], given: str, name: str, **options: object) -> str:
        file, made = arguments[arguments.index("-out") - 1], arguments[arguments.index("-out") + 1]
        pairs = read_json(Path(file))
        asked.extend(pair["test"] for pair in pairs)
        rows = [{"image_id": pair["image_id"], "scores": {"All": {"f": len(pair["test"]) / 100}}} for pair in pairs]
        Path(made).write_text(json.dumps(rows))
        return ""

    monkeypatch.setattr(java, "run", run)
    monkeypatch.setattr(spice, "folder", lambda setting: tmp_path)
    config = ScoringConfig(spice_text="raw", cache=str(tmp_path / "cache"))
    (first,) = [metric.captions for metric in spice.METRICS if metric.captions]
    assert [row["sum"] for row in first(captions.Captions(["aa", "b", "aa"], ["x"] * 3, config))] == [0.02, 0.01, 0.02]
    assert [row["sum"] for row in first(captions.Captions(["b", "ccc", LONG], ["x"] * 3, config))] == [0.01, 0.03, len(LONG) / 100]
    assert [row["n"] for row in first(captions.Captions([LONG, "b"], ["x", "y"], config))] == [1, 1]  # another reference is another pair
    assert asked == ["aa", "b", "ccc", LONG, "b"]


@pytest.mark.parametrize("said, version", [('java version "1.8.0_402"', "1.8.0_402"), ('openjdk version "10.0.2" 2018-07-17', "10.0.2"), ("x", "")])
def test_a_java_that_is_too_old_is_refused_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, version: str) -> None:
    fake = tmp_path / "java"
    fake.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    fake.chmod(0o755)
    monkeypatch.setattr(java.shutil, "which", lambda name: str(fake))
    if not version:
        assert java.program() == str(fake)
        return
    with pytest.raises(java.NotComputed, match=f"is Java {version}, which is too old: any from 11 to 21"):
        java.program()


def get_spice(folder: Path, *options: object, **env: str) -> tuple[int, str]:
    """tools/get_spice.sh in a checkout of its own, whose Python and Maven only note what they are asked for."""
    for name in ("tools/get_spice.sh", "utils/parse_options.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for program in ("tools/venv/bin/python", "bin/mvn"):
        (folder / program).parent.mkdir(parents=True, exist_ok=True)
        (folder / program).write_text(f'#!/bin/sh\necho "$*" >>{folder}/asked\nexit 1\n')
        (folder / program).chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run([str(folder / "tools/get_spice.sh"), *map(str, options)], capture_output=True, text=True, env={"PATH": path})
    return done.returncode, done.stdout + done.stderr


def test_jars_that_are_not_as_published_are_refused_by_name(tmp_path: Path) -> None:
    junk, to = tmp_path / "junk", tmp_path / "to"
    junk.mkdir()
    names = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models-other.jar", "rhino-1.7.14.jar")
    for name in names:
        (junk / name).write_text("junk")
    code, said = get_spice(tmp_path, "--from", junk, "--to", to)
    assert code == 1 and all(f"{junk / name}" in said for name in names) and "put into" not in said and list(to.iterdir()) == []
    code, said = get_spice(tmp_path, "--to", junk)  # what lies there already
    assert code == 1 and said.count("remove it and call again") == 3


def test_without_maven_every_jar_is_asked_for(tmp_path: Path) -> None:
    code, said = get_spice(tmp_path, "--to", tmp_path / "to")
    asked = (tmp_path / "asked").read_text()
    assert code == 1 and said.count("call again with --from DIR") == 3
    assert "org.mozilla:rhino:1.7.14:jar" in asked and "get_stanford_models" in asked


def test_genuine_jars_are_taken(tmp_path: Path, real_spice: Path) -> None:
    code, said = get_spice(tmp_path, "--from", real_spice, "--to", tmp_path / "to")
    assert code == 0 and said.count("put into") == 3 and spice.folder(str(tmp_path / "to")) == tmp_path / "to"
    assert get_spice(tmp_path, "--to", tmp_path / "to") == (0, said.replace(f"put into {tmp_path / 'to'}", "there"))


def test_without_java_the_other_metrics_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java.shutil, "which", lambda name: None)
    ours = scored(tmp_path, ["She sounds sad."] * 3, ["She sounds happy."] * 3)
    assert ours["ua"]["n"] == 3 and ours["sacrebleu"]["value"] is not None
    assert all(ours[name]["value"] is None and "Java is not installed" in ours[name]["note"] for name in ("bleu4", "meteor", "cider"))


def test_a_java_program_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\necho 'Exception: the last words' >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr(java.shutil, "which", lambda name: str(fake))
    with pytest.raises(java.FailedError, match="status 3(.|\n)*the last words"):
        java.run(["-jar", "x.jar"], "", "METEOR")
    fake.write_text("#!/bin/sh\nexec /bin/sleep 5\n")
    with pytest.raises(java.FailedError, match="not finished after"):
        java.run(["-jar", "x.jar"], "", "METEOR", timeout=0.2)


@pytest.mark.parametrize(
    "fields", [Fields(transcript="is it", emotion="sad", emphasis=("is",)), Fields(transcript="x y", speed="fast"), Fields(emotion="sad")]
)
def test_the_style_of_a_caption_has_no_transcript(fields: Fields) -> None:
    """Taking the quote out changes no field but the transcript, and a caption without one stays as it is."""
    for seed in range(20):
        caption = writer.render(fields, str(seed))
        style = captions.chosen(caption, ScoringConfig())
        said = reader.read(style)
        assert said.transcript is None and said.emphasis == fields.emphasis and said.emotion == fields.emotion and said.speed == fields.speed
        if fields.transcript is None:
            assert style == caption
    assert captions.chosen('He says, "I am fine", sad.', ScoringConfig(caption_text="full")) == 'He says, "I am fine", sad.'


@pytest.mark.parametrize(
    "segmentation, punctuation, tokens",
    [("characters", "removed", "她 o k 很 伤 心"), ("mixed", "removed", "她 ok 很 伤 心"), ("mixed", "kept", "她 ok ， 很 伤 心 。")],
)
def test_mandarin_tokens(segmentation: Any, punctuation: Any, tokens: str) -> None:
    config = ScoringConfig(language="zh", segmentation=segmentation, punctuation=punctuation)
    assert captions.tokenise(["她OK，很伤心。"], config) == [tokens]


@needs_java
def test_captions_in_another_language_are_refused_unless_references_are_translated(tmp_path: Path) -> None:
    hyps, refs = ["She sounds sad."] * 3, ["她很伤心。"] * 3
    for setting, reason in (("zh", "responses are in English, the references in Mandarin"), ("en", "set it to zh")):
        ours = scored(tmp_path, hyps, refs, f"scoring.language={setting}")
        assert all(ours[name]["value"] is None and reason in ours[name]["note"] for name in ("bleu4", "sacrebleu", "cider")), ours
    (tmp_path / "refs").write_text("".join(f"u{i:04d} She sounds very sad.\n" for i in range(3)))
    command = ["score", str(tmp_path / "data"), "--hyp", str(tmp_path / "hyp.jsonl"), "--metric", "bleu4,rouge_l", "--refs", str(tmp_path / "refs")]
    assert CliRunner().invoke(app, command).exit_code == 0
    rouge = next(row for row in read_json(tmp_path / "score.json")["scores"] if row["metric"] == "rouge_l")
    assert rouge["value"] > 80 and "refs:refs " in rouge["signature"]
    (tmp_path / "refs").write_text("u0000 She sounds very sad.\n")
    assert "no caption of 2 utterances, the first is 'u0001'" in CliRunner().invoke(app, command).output


def test_an_utterance_without_an_answer_is_named_or_wrong(tmp_path: Path) -> None:
    scored(tmp_path, ["She sounds sad."] * 3, ["She sounds sad."] * 3, "scoring.spice_jars=/none")
    lines = (tmp_path / "hyp.jsonl").read_text().splitlines()
    (tmp_path / "hyp.jsonl").write_text("\n".join(lines[:2]) + "\n")
    command = ["score", str(tmp_path / "data"), "--hyp", str(tmp_path / "hyp.jsonl"), "--metric", "ua"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2 and "1 missing: u0002" in refused.output
    allowed = CliRunner().invoke(app, [*command, "--missing", "wrong"])
    assert allowed.exit_code == 0 and "u0002" in allowed.output
    (score,) = read_json(tmp_path / "score.json")["scores"]
    assert score["value"] == pytest.approx(66.6667) and score["counts"]["unread"] == 1 and "missing:wrong" in score["signature"]
