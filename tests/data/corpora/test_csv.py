"""Tables of recordings with columns of many names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.cli import serdesc

from serdesc import config as configs
from serdesc.data import datadir, prepare, rejections
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError


def prepared(
    table: Path, out: Path, *settings: str
) -> tuple[list[Utterance], list[tuple[str, str, str]]]:
    config = configs.load(settings=list(settings))
    utterances, _ = prepare.prepare("csv", table, out, config.prepare, nj=1)
    return utterances, rejections.read(out)


def test_a_table_with_usual_names(tmp_path: Path, tone: Any) -> None:
    (tmp_path / "clips").mkdir()
    for name in "abc":
        tone(f"clips/{name}.wav", seconds=0.5)
    table = tmp_path / "my.csv"
    table.write_text(
        "File Name,Actor,Transcript,Emotion Label,Sex,Age,Split\n"
        'clips/a.wav,s 1,"Well, ""yes""",Anger,F,31,Training\n'
        "clips/b.wav,s2,No.,joyful,man,twenties,validation\n"
        "clips/c.wav,s3,,,unknown,20-29,test\n"
    )
    utterances, rejected = prepared(table, tmp_path / "data")
    assert not rejected
    a, b, c = utterances
    assert (a.utt_id, a.spk, a.text) == ("clips-a", "s_1", "Well, 'yes'")
    assert (a.emotion, a.gender, a.age, a.session) == ("angry", "female", 31.0, "train")
    assert (b.emotion, b.gender, b.age, b.session) == ("happy", "male", 25.0, "dev")
    assert (c.emotion, c.gender, c.age, c.text) == (None, None, 24.5, None)
    assert datadir.read(tmp_path / "data") == utterances


def test_other_names_and_labels_are_given(tmp_path: Path, tone: Any) -> None:
    for name in "abcd":
        tone(f"{name}.wav", seconds=0.5)
    table = tmp_path / "my.tsv"
    table.write_text("x\twho\tlabel\na.wav\t1\tang\nb.wav\t1\toth\nc.wav\t2\tzzz\nd.wav\t\tang\n")
    with pytest.raises(UserError, match="no column for the audio and the speaker.*x, who, label"):
        prepared(table, tmp_path / "data")
    with pytest.raises(UserError, match="speaker=nobody: the name is one of .* x, who, label"):
        prepared(table, tmp_path / "data", "prepare.columns=[audio=x, speaker=nobody]")
    utterances, rejected = prepared(
        table,
        tmp_path / "data",
        "prepare.columns=[audio=x, speaker=who]",
        "prepare.emotions=[ang=angry, oth=none]",
    )
    assert [(u.utt_id, u.emotion) for u in utterances] == [("a", "angry"), ("b", None)]
    (_, _, unknown), (_, _, nobody) = rejected
    assert "label 'zzz' is no emotion" in unknown and "prepare.emotions=[zzz=" in unknown
    assert nobody == "no speaker"


def test_segments_of_a_recording(tmp_path: Path, tone: Any) -> None:
    tone("long.wav", seconds=3.0)
    (tmp_path / "t.csv").write_text(
        "audio,speaker,start,end\nlong.wav,s1,0,1.5\nlong.wav,s2,1.5,3\nlong.wav,s2,2,1\n"
    )
    utterances, rejected = prepared(tmp_path, tmp_path / "data")
    assert [u.span for u in utterances] == [(0.0, 1.5), (1.5, 3.0)]
    assert len(utterances[1].load_audio()) == 24_000 and len(rejected) == 1


def test_rows_of_one_audio_have_ids_of_their_own_or_are_rejected(tmp_path: Path, tone: Any) -> None:
    tone("a.wav", seconds=0.5)
    (tmp_path / "t.csv").write_text("audio,speaker\na.wav,s1\na.wav,s1\n../a.wav,s1\n")
    utterances, rejected = prepared(tmp_path / "t.csv", tmp_path / "data")
    assert [u.utt_id for u in utterances] == ["a"]
    assert sum("earlier row" in reason for _, _, reason in rejected) == 2


def test_it_is_a_command(tmp_path: Path, tone: Any) -> None:
    tone("a.wav", seconds=0.5)
    (tmp_path / "t.csv").write_text("audio,speaker,emotion\na.wav,s1,sad\n")
    code, text = serdesc("prepare", "csv", tmp_path / "t.csv", tmp_path / "data")
    assert code == 0 and "1 utterances, 1 speakers" in text
    code, text = serdesc("prepare", "ravdess", tmp_path / "t.csv", tmp_path / "d2")
    assert code == 2 and "no such folder" in text
