"""Requests: transcripts of ASR systems, mapped emotions, answers without transcripts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jiwer
import pytest
from helpers.cli import serdesc

from serdesc import config as configs
from serdesc.captions.fields import Fields
from serdesc.data import datadir
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.scoring import evaluate, score
from serdesc.scoring.metrics import mapped
from serdesc.scoring.score import Score


def scores(data: Path, hyp: Path, *settings: str, **options: str) -> dict[str, Score]:
    config = configs.load(settings=list(settings))
    found = evaluate.evaluate(evaluate.Request.of(data, hyp, config, **options))
    return {row.metric: row for row in found.scores}


def test_asr_output_is_scored_as_transcripts(parts: Path, tmp_path: Path) -> None:
    data = parts / "fold1" / "test"
    utterances = datadir.read(data)
    said = {utt.utt_id: " ".join((utt.text or "").split()[1:]) for utt in utterances}
    path = tmp_path / "text"
    path.write_text("".join(f"{utt_id} {words}\n" for utt_id, words in said.items()))
    found = scores(data, path, answers="transcript")
    assert set(found) == {"wer", "cer"}
    references = [(utt.text or "").lower() for utt in utterances]
    expected = 100 * jiwer.wer(references, [said[utt.utt_id].lower() for utt in utterances])
    assert found["wer"].value == pytest.approx(expected)
    assert "answers:transcripts" in found["wer"].signature
    with pytest.raises(UserError, match="ua cannot be computed from transcripts"):
        scores(data, path, answers="transcript", metric="ua,wer")
    with pytest.raises(UserError, match="--as words: not one of caption, transcript"):
        scores(data, path, answers="words")


def test_answers_without_any_transcript_have_a_reason_and_no_wer(
    parts: Path, tmp_path: Path
) -> None:
    """It was 100, with exit code 0, for the output of an ASR system in Kaldi's form."""
    data = parts / "fold1" / "test"
    path = tmp_path / "text"
    path.write_text("".join(f"{utt.utt_id} {utt.text}\n" for utt in datadir.read(data)))
    found = scores(data, path)
    assert found["wer"].value is None and "--as transcript" in found["wer"].note
    code, text = serdesc("score", data, "--hyp", path, "--metric", "wer", "--out", tmp_path / "s")
    assert "--as transcript" in " ".join(text.split()) and "100.0" not in text
    code, text = serdesc(
        "score", data, "--hyp", path, "--as", "transcript", "--out", tmp_path / "s"
    )
    assert code == 0
    assert [row["value"] for row in read_json(tmp_path / "s")["scores"]] == [0.0, 0.0]


def test_answers_from_a_pipe(parts: Path, tmp_path: Path) -> None:
    """The bytes that were read are those that are hashed: --keep keeps no score of other answers."""
    data, out = parts / "fold1" / "test", tmp_path / "score.json"
    utterances = datadir.read(data)
    script = "from serdesc.cli import entry; entry()"
    command = [sys.executable, "-c", script, "score", str(data), "--hyp", "/dev/stdin"]
    command += ["--metric", "ua", "--keep"]

    def score_of(emotion: str, *more: str) -> subprocess.CompletedProcess[str]:
        answers = "".join(f"{utt.utt_id} Someone {emotion}.\n" for utt in utterances)
        return subprocess.run([*command, *more], input=answers, capture_output=True, text=True)

    for emotion in ("sad", "neutral", "sad"):
        done = score_of(emotion, "--out", str(out))
        assert done.returncode == 0 and "kept" not in done.stdout, done.stderr
        expected = 33.3333 if emotion == "sad" else 0
        assert read_json(out)["scores"][0]["value"] == expected
    assert "kept" in score_of("sad", "--out", str(out)).stdout
    done = score_of("sad")
    assert done.returncode == 2 and "add --out FILE" in done.stderr


def test_excited_is_happy_where_no_label_is_excited(parts: Path, tmp_path: Path) -> None:
    data = parts / "fold1" / "test"
    utterances = datadir.read(data)
    emotions = [utt.labels.emotion for utt in utterances if utt.labels]
    assert set(emotions) == {"angry", "happy", "sad"}
    said = {"happy": "excited", "sad": "calm"}  # no label is neutral: calm stays calm
    rows = []
    for utt, emotion in zip(utterances, emotions):
        response = f"The speaker sounds {said.get(str(emotion), emotion)}."
        rows.append(json.dumps({"utt_id": utt.utt_id, "response": response}))
    path = tmp_path / "hyp.jsonl"
    path.write_text("\n".join(rows))
    assert "ua_mapped" not in scores(data, path)
    found = scores(data, path, "scoring.map_emotions=true")
    values = {name: found[name].value for name in ("ua", "wa", "ua_mapped", "wa_mapped")}
    third, two = pytest.approx(100 / 3, abs=1e-3), pytest.approx(200 / 3, abs=1e-3)
    assert values == {"ua": third, "wa": third, "ua_mapped": two, "wa_mapped": two}
    assert "map:calm=neutral,excited=happy" in found["ua_mapped"].signature
    assert "map:" not in found["ua"].signature


@pytest.mark.parametrize(
    "said, labels, counted",
    [
        ("calm", {"neutral", "sad"}, "neutral"),
        ("calm", {"neutral", "calm"}, "calm"),
        ("calm", {"sad"}, "calm"),
        ("excited", {"happy"}, "happy"),
        ("sad", {"neutral", "happy"}, "sad"),
        (None, {"neutral"}, None),
    ],
)
def test_the_nearest_emotion_of_the_labels(
    said: str | None, labels: set[str | None], counted: str | None
) -> None:
    fields = score._nearest(Fields(emotion=said), mapped.NEAREST, labels)
    assert fields == Fields(emotion=counted)
