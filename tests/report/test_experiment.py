"""The folder of an experiment's report: its values, escapes, audio and errors."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import serdesc
from helpers.report import HOSTILE, captions, data_of, experiment

from serdesc import config as configs
from serdesc.captions.fields import Fields
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.report import experiment as reports
from serdesc.report import packing, rows


@pytest.fixture
def exp(parts: Path, tmp_path: Path) -> Path:
    return experiment(parts, tmp_path / "exp" / "full")


def write(exp: Path, out: Path, **options: Any) -> Path:
    return reports.write(exp, "test", configs.Config(), out, **options).parent


def named(page: Path) -> list[dict[str, Any]]:
    """Rows as columns -> entries."""
    columns = data_of(page, "summary")["tables"]["columns"]
    return [dict(zip(columns, row)) for row in data_of(page, "rows")]


def test_the_page_has_every_utterance_with_claims_and_sound(exp: Path, tmp_path: Path) -> None:
    page = write(exp, tmp_path / "page")
    summary, found = data_of(page, "summary"), named(page)
    tables = summary["tables"]
    assert len(found) == 12 and summary["folds"] == ["fold1", "fold2"]
    one = found[0]
    assert one["id"] == "s0-0" and tables["speakers"][one["spk"]] == "s0"
    emotion = tables["fields"].index("emotion")
    values = tables["values"]["emotion"]
    assert values[one["hyp"][emotion]] == "sad" and values[one["ref"][emotion]] == "angry"
    assert one["right"][emotion] == "0"
    position = one["spans"].index(emotion)  # field, start, length
    start, length = one["spans"][position + 1 : position + 3]
    assert "sad" in one["cap"][start : start + length]
    assert one["ref"][tables["fields"].index("transcript")] == 1  # the words of its span
    assert any(text.endswith(" Hz") for text in one["sound"] if isinstance(text, str))
    ua = next(row for row in summary["scores"] if row["metric"] == "ua")
    pooled = next(
        row for row in read_json(exp / "score_test.json")["scores"] if row["metric"] == "ua"
    )
    assert ua["value"] == pooled["value"] and ua["signature"] == pooled["signature"]
    assert summary["training"][0][0]["llm_loss"][1] is not None
    assert summary["layers"][0]["weights"] == [0.5, 0.3, 0.2]
    assert summary["kl"][1]["means"]["emotion:angry"] == 0.5


def test_curves_are_those_of_the_recording_and_kl_that_of_decode(exp: Path, tmp_path: Path) -> None:
    page = write(exp, tmp_path / "page")
    packed, largest = data_of(page, "curves-0"), data_of(page, "summary")["scales"]["kl"]
    *lengths, text = packed[0]
    content = base64.b64decode(text)
    assert len(content) == sum(lengths) and lengths[3] in (2 * lengths[0], 2 * lengths[0] - 1)
    kl = np.frombuffer(content[-lengths[5] :], np.uint8) / 255 * largest["descriptor"]
    assert np.abs(kl - 0.5).max() < 0.01


def test_hostile_texts_cannot_end_a_script(parts: Path, tmp_path: Path) -> None:
    def hostile(number: int, utt: Utterance, fields: Fields) -> str:
        return HOSTILE if number == 1 else captions(number, utt, fields)

    page = write(experiment(parts, tmp_path / "exp" / "<i>full", hostile), tmp_path / "page")
    for path in [page / "report.html", *(page / "data").iterdir()]:
        text = path.read_text(encoding="utf-8")
        assert "owned" not in text or "<" not in text, path
        assert "\u2028" not in text and "\x1b" not in text
    assert "<i>full" not in (page / "report.html").read_text()
    assert HOSTILE in [row["cap"] for row in named(page)]


@pytest.mark.parametrize(
    "value", ["</script>", "<!--", "\u2028\u2029", "\ud800", "a\x00b", {"<": ["&"]}]
)
def test_json_in_scripts_is_read_as_it_was(value: Any) -> None:
    from serdesc.report.site import as_json

    text = as_json(value)
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == value or value == "\ud800"
    text.encode("utf-8")


def test_audio_is_linked_copied_or_embedded(exp: Path, tmp_path: Path) -> None:
    page = write(exp, tmp_path / "deep" / "page with spaces")
    prefix = data_of(page, "summary")["tables"]["audio"]
    linked = prefix + named(page)[0]["audio"]
    assert (page / linked).resolve().name == "s0-0.wav" and not (page / "audio").exists()
    copied = write(exp, tmp_path / "copied", audio="copy")
    assert len(list((copied / "audio").iterdir())) == 12
    embedded = write(exp, tmp_path / "copied", audio="embed")  # the old files are removed
    assert not (embedded / "audio").exists()
    uri = data_of(embedded, "audio-3")
    assert base64.b64decode(uri.removeprefix("data:audio/wav;base64,"))[:4] == b"RIFF"
    with pytest.raises(UserError, match="--audio loud: write one of link, copy, embed"):
        write(exp, tmp_path / "page", audio="loud")


def test_segments_are_parts_of_their_recording(parts: Path, tmp_path: Path) -> None:
    from serdesc.report.site import Site

    wav = Path(datadir.read(parts)[-1].wav)
    utt = Utterance("u", str(wav), "s", span=(0.1, 0.4), recording="r")
    linked = Site(tmp_path / "a", "link").audio_of(utt, 0)
    assert linked.endswith("#t=0.100,0.400")
    site = Site(tmp_path / "b", "copy")
    import soundfile

    samples, rate = soundfile.read(tmp_path / "b" / site.audio_of(utt, 0))
    assert len(samples) == 0.3 * rate


def test_two_experiments_are_shown_side_by_side(exp: Path, parts: Path, tmp_path: Path) -> None:
    other = experiment(parts, tmp_path / "exp" / "other", lambda i, utt, fields: utt.caption or "")
    page = write(exp, tmp_path / "page", compare=other)
    summary, found = data_of(page, "summary"), named(page)
    emotion = summary["tables"]["fields"].index("emotion")
    assert summary["compare"] == "other"
    assert {row["other"][4][emotion] for row in found} == {"1"}
    assert {row["right"][emotion] for row in found} == {"0", "1"}


def test_errors_name_what_to_do(exp: Path, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="is not empty and no report; name another folder"):
        write(exp, tmp_path / "full")
    for record in exp.rglob("hyp.made.json"):
        record.unlink()
    with pytest.raises(UserError, match="--data data/mini"):
        write(exp, tmp_path / "page")
    assert len(named(write(exp, tmp_path / "page", data=parts))) == 12
    code, text = serdesc("report", exp, "--data", parts)
    assert code == 2 and "add --html" in text


def test_the_command_writes_the_page_beside_the_table(exp: Path, tmp_path: Path) -> None:
    code, text = serdesc("report", exp, tmp_path / "page", "--html")
    assert code == 0 and text.rstrip().endswith("page/report.html")
    code, text = serdesc("report", exp, "--html", "--audio", "copy")
    assert code == 0 and (exp / "html_test" / "report.html").exists()
    assert (exp / "RESULTS.md").exists()


def test_an_experiment_of_another_system_needs_hypotheses_alone(exp: Path, tmp_path: Path) -> None:
    for pattern in ("*.safetensors", "train.jsonl", "env.json", "config.yaml"):
        for path in exp.rglob(pattern):
            path.unlink()
    page = write(exp, tmp_path / "page")
    summary = data_of(page, "summary")
    assert summary["layers"] == summary["kl"] == [] and summary["training"] == [[], []]
    assert len(named(page)) == 12


def test_audio_that_is_gone_is_listed(exp: Path, parts: Path, tmp_path: Path) -> None:
    gone = datadir.read(parts / "fold1" / "test")[0]
    Path(gone.wav).unlink()
    page = write(exp, tmp_path / "page")
    row = next(row for row in named(page) if row["id"] == gone.utt_id)
    assert row.get("audio", 0) == 0
    assert any(gone.utt_id in place for place, _ in data_of(page, "summary")["rejected"])


def test_aligned_words_are_those_of_the_error_rate() -> None:
    from serdesc.config import ScoringConfig

    pairs = rows.aligned("the cat sat down", "the hat sat right down", ScoringConfig())
    assert pairs == [["the"], ["cat", "hat"], ["sat"], ["", "right"], ["down"]]
    assert rows.aligned("", "so", ScoringConfig()) == [["", "so"]]
    assert rows.aligned("so", "", ScoringConfig()) == [["so", ""]]


def test_spans_count_as_javascript_does() -> None:
    caption = "A 😀 woman, sad."
    start, end = rows.spans(caption)["gender"]
    units = caption.encode("utf-16-le")
    assert units[2 * start : 2 * end].decode("utf-16-le") == "woman"
    assert rows.spans('{"emotion": "sad", "gender": "female"}') == {}
    thought = "<think>not sad</think> A man, angry."
    start, end = rows.spans(thought)["emotion"]
    assert thought[start:end] == "angry"


def test_packed_rows_are_small() -> None:
    row = {
        "id": "u",
        "cap": "A woman, sad.",
        "spans": {"gender": [2, 7], "emotion": [9, 12]},
        "hyp": {"gender": "female", "emotion": "sad"},
        "audio": "",
    }
    packer = packing.Packer([row])
    assert packer.fields == ["transcript", "emphasis", "gender", "emotion"]
    packed = packer.row(row)
    assert packed[:7] == ["u", 0, 0, 0, "A woman, sad.", [2, 2, 5, 3, 9, 3], [-1, -1, 0, 0]]
