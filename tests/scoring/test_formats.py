"""Files of answers as other systems and people write them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pandas as pd
import pytest

from serdesc import files
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.scoring import formats, hypotheses

TWO = {"u1": "A sad man.", "u2": 'She says "no".'}


def answers(path: Path, transcripts: bool = False) -> dict[str, str]:
    return {row["utt_id"]: row["response"] for _, row in formats.read(path, transcripts)}


@pytest.mark.parametrize(
    "content",
    [
        'id,caption\nu1,A sad man.\nu2,"She says ""no""."\n',
        'Caption,File,seconds\nA sad man.,u1,1\n"She says ""no"".",u2,2\n',
        'id\tcaption\nu1\tA sad man.\nu2\t"She says ""no""."\n',
        'u1\tA sad man.\nu2\tShe says "no".\n',
        "u1  A sad man.\nu2\u00a0She says \"no\".\n",
        '[{"image_id": "u1", "caption": "A sad man."}, {"image_id": "u2", "caption": "She says \\"no\\"."}]',
        '{"id": "u1", "caption": "A sad man."}\n{"id": "u2", "caption": "She says \\"no\\"."}\n',
        '{"results": [{"key": "u1", "answer": "A sad man."}, {"key": "u2", "answer": "She says \\"no\\"."}]}',
        'audio_path,pred\nu1,A sad man.\nu2,"She says ""no""."\n',
        'file: u1\nresult: A sad man.\nresult: Another.\nfile: u2\nresult: She says "no".\n',
    ],
)  # fmt: skip
def test_every_form_gives_the_same_answers(tmp_path: Path, content: str) -> None:
    path = tmp_path / "answers"
    path.write_text(content, encoding="utf-8")
    assert answers(path) == TWO
    path.write_text("\ufeff" + content.replace("\n", "\r\n"), encoding="utf-8")
    assert answers(path) == TWO


def test_line_breaks_inside_of_answers(tmp_path: Path) -> None:
    expected = {"u1": "A man.\n\nHe is sad.", "u2": "Calm."}
    (tmp_path / "a.tsv").write_text('id\tcaption\nu1\t"A man.\n\nHe is sad."\nu2\tCalm.\n')
    (tmp_path / "a.csv").write_text('id,caption\nu1,"A man.\n\nHe is sad."\nu2,Calm.\n')
    assert answers(tmp_path / "a.tsv") == answers(tmp_path / "a.csv") == expected
    (tmp_path / "result.txt").write_text(
        "file: u1.wav\nresult: A man.\n\nHe is sad.\nresult: Or not.\nHappy.\nfile: u2.wav\nresult: Calm.\n"
    )
    assert answers(tmp_path / "result.txt") == {"u1.wav": "A man.\nHe is sad.", "u2.wav": "Calm."}
    cut_off = tmp_path / "cut.tsv"  # an answer that was cut off takes no other line with it
    cut_off.write_text('u1\t"I am happy and\nu2\tCalm.\n')
    assert answers(cut_off) == {"u1": '"I am happy and', "u2": "Calm."}


def test_parquet_and_numbers_of_coco(tmp_path: Path) -> None:
    frame = pd.DataFrame({"key": list(TWO), "text": list(TWO.values()), "pitch": ["low", None]})
    frame.to_parquet(tmp_path / "answers")
    assert answers(tmp_path / "answers") == TWO
    hyps = hypotheses.read_hypotheses(tmp_path / "answers")
    assert (hyps["u1"].fields.pitch, hyps["u2"].fields.pitch) == ("low", None)
    (tmp_path / "coco.json").write_text('[{"image_id": 12, "caption": "Calm."}]')
    assert answers(tmp_path / "coco.json") == {"12": "Calm."}
    (tmp_path / "bad").write_bytes(b"PAR1 and more")
    with pytest.raises(UserError, match="not readable as Parquet"):
        formats.read(tmp_path / "bad")


@pytest.mark.parametrize(
    "content, words",
    [
        ("u1 A 0.50 0.2 there\nu1 A 0.10 0.3 hello 0.98\nu2 1 0 0.4 no\n", {"u1": "hello there", "u2": "no"}),
        (";; a comment\nu1 A 0.1 0.2 hello\n", {"u1": "hello"}),
        ("hello there (u1)\nno (u2)\n (u3)\n", {"u1": "hello there", "u2": "no", "u3": ""}),
        ("u1 hello there\nu2 no\nu3\n", {"u1": "hello there", "u2": "no", "u3": ""}),
    ],
)  # fmt: skip
def test_outputs_of_asr_are_transcripts(
    tmp_path: Path, content: str, words: dict[str, str]
) -> None:
    path = tmp_path / "out"
    path.write_text(content)
    assert answers(path, transcripts=True) == words
    utterances = [Utterance(utt_id, "", "s") for utt_id in words]
    found, _ = hypotheses.answered(path, utterances, wrong=True, transcripts=True)
    assert {utt_id: hyp.fields.transcript or "" for utt_id, hyp in found.items()} == words


@pytest.mark.parametrize(
    "content, message",
    [
        ("u1 A 0.50 0.2 there\n", "is CTM of an ASR system, no caption: .* --as transcript"),
        ("hello there (u1)\n", "is trn of an ASR system, no caption: .* --as transcript"),
        ("<?xml version='1.0'?>\n", "is XML or HTML, which is not read. Read are JSON Lines"),
        ("1\n00:00:01,000 --> 00:00:02,000\nHello\n", "is subtitles"),
        ('File type = "ooTextFile"\n', "is a Praat TextGrid"),
        ('id,caption\nu1,"never closed\n' + "x" * 200_000, "not CSV|fewer columns"),
        ('{"utt_id": "u1", "response": "x", "posterior": {"sad": 0.4, "angry": 0.4}}\n', "sum 1"),
        ('{"utt_id": "u1", "response": "x", "posterior": {"sadness": 1.0}}\n', "probabilities of"),
        ('{"utt_id": "u1", "response": "x", "posterior": {"sad": 1.2, "angry": -0.2}}\n', "sum 1"),
    ],
)  # fmt: skip
def test_other_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "answers"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        hypotheses.read_hypotheses(path)


def test_an_answer_that_is_an_object(tmp_path: Path) -> None:
    path = tmp_path / "hyp.jsonl"
    path.write_text('{"utt_id": "u1", "response": {"emotion": "Sadness", "text": "no"}}\n')
    fields = hypotheses.read_hypotheses(path)["u1"].fields
    assert (fields.emotion, fields.transcript) == ("sad", "no")


def test_ids_with_slashes_and_names_of_files(tmp_path: Path) -> None:
    utterances = [Utterance(utt_id, "", "s") for utt_id in ("a/1", "b/1", "2", "c/3.wav")]
    path = tmp_path / "answers.tsv"
    path.write_text("a/1\tSad.\nb/1.wav\tHappy.\n/corpus/wav/2.flac\tCalm.\nc/3.wav\tAngry.\n")
    found, _ = hypotheses.answered(path, utterances)
    emotions = {utt_id: hyp.fields.emotion for utt_id, hyp in found.items()}
    assert emotions == {"a/1": "sad", "b/1": "happy", "2": "calm", "c/3.wav": "angry"}


def test_halves_of_surrogate_pairs_can_be_stored(tmp_path: Path) -> None:
    path = tmp_path / "hyp.jsonl"
    path.write_text(
        '{"utt_id": "u1", "response": "Sad \\ud83d"}\n{"utt_id": "u2", "response": "\\ud83d\\ude00"}\n'
    )
    assert answers(path) == {"u1": "Sad \ufffd", "u2": "😀"}
    assert all(text.encode() for text in answers(path).values())


def test_a_pipe_is_read_once_and_its_hash_is_that_of_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = "u1 A sad man.\n"
    writer = threading.Thread(target=path.write_text, args=(content,))
    writer.start()
    assert answers(path) == {"u1": "A sad man."}
    writer.join()
    (tmp_path / "file").write_text(content)
    assert files.file_digest(path) == files.file_digest(tmp_path / "file")
    assert answers(path) == {"u1": "A sad man."}
