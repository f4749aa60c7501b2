"""Input from elsewhere: ids that are paths, audio that expands, huge or nested answers, escapes."""

from __future__ import annotations

import json
import os
import signal
import time
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import soundfile
from helpers.cli import serdesc
from hypothesis import given, settings
from hypothesis import strategies as st

from serdesc.captions import reader
from serdesc.captions.fields import Fields
from serdesc.data import audio, datadir, descriptors, perturb, recording
from serdesc.files import file_name
from serdesc.printable import printable

IDS = ("../outside", "/tmp/absolute", "a/b", "..", ".hidden", "x%2Fy", "é" * 300, "a\x00b")


def test_ids_that_are_paths_leave_no_folder(corpus: Path, tmp_path: Path) -> None:
    utterances = datadir.read(corpus)[: len(IDS)]
    named = [replace(utt, utt_id=name) for utt, name in zip(utterances, IDS)]
    copies = perturb.copies(named, [0.9], tmp_path / "copies", nj=1)
    for copy in copies:
        assert Path(copy.wav).resolve().parent == (tmp_path / "copies").resolve()
    assert len({copy.wav for copy in copies}) == len(IDS)
    assert not (tmp_path / "outside").exists() and not Path("/tmp/absolute").exists()


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_file_names_of_ids_are_safe_and_differ(one: str, other: str) -> None:
    name = file_name(one)
    assert "/" not in name and "\0" not in name and not name.startswith(".")
    assert 0 < len(name.encode("utf-8", "surrogateescape")) <= 200
    assert (name == file_name(other)) == (one == other)
    if one.isalnum() and len(one) < 20:
        assert name == one


def test_a_small_file_of_many_hours_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "silence.flac"
    with soundfile.SoundFile(path, "w", 48_000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(12):
            file.write(np.zeros(48_000 * 60, dtype=np.int16))
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(recording, "LARGEST", 48_000 * 600)
    with pytest.raises(audio.AudioError, match="longer than 0.2 h, which is read at once"):
        audio.load(path)
    monkeypatch.setattr(audio, "SILENCE", -1.0)
    assert len(audio.load(path, span=(600.0, 601.0))) == 16_000


def test_a_header_that_claims_hours_costs_no_memory(tmp_path: Path, tone: Any) -> None:
    content = bytearray(tone("short.flac").read_bytes())
    samples = 16_000 * 3600 * 5  # 36 bits from the middle of byte 21 on
    content[21] = (content[21] & 0xF0) | (samples >> 32)
    content[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    path = tmp_path / "liar.flac"
    path.write_bytes(content)
    with pytest.raises(audio.AudioError, match="cut off|not readable|broken"):
        audio.load(path)


HUGE = {
    "repetition": "low pitch high pitch " * 50_000,
    "quotation marks": "“" * 200_000,
    "braces": "{" * 200_000,
    "nested": '{"a":[' * 50_000,
    "fences": "```json " * 50_000,
    "negations": "no longer angry, but " * 20_000,
    "thoughts": "<think>" * 50_000,
}


@pytest.mark.parametrize("kind", HUGE)
def test_endless_answers_are_read_in_bounded_time(kind: str) -> None:
    started = time.monotonic()
    assert isinstance(reader.read(HUGE[kind]), Fields)
    assert time.monotonic() - started < 60  # without the bound: hours


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from('{}[]":,\\ \n\x00\x1bae1“”‘<>|`'), max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert isinstance(reader.read(text), Fields)
    assert isinstance(reader.read(f"A sad man says {text}"), Fields)


def test_nested_json_is_a_message(tmp_path: Path, corpus: Path) -> None:
    hyp = tmp_path / "hyp.jsonl"
    hyp.write_text("[" * 100_000 + "\n")
    code, text = serdesc("score", corpus, "--hyp", hyp)
    assert code in (1, 2) and "Traceback" not in text and "serdesc score: " in text


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_control_characters_do_not_reach_the_terminal(text: str) -> None:
    shown = printable(text)
    assert all(c in "\n\t" or unicodedata.category(c) != "Cc" for c in shown)
    if text.isprintable():
        assert shown == text


def test_escapes_in_ids_and_paths_are_spelt_out(tmp_path: Path) -> None:
    code, text = serdesc("check", tmp_path / "a\x1b]0;owned\x07b")
    assert code == 2 and "\x1b" not in text and "\\x1b]0;owned\\x07b" in text


def test_a_worker_that_is_killed_is_named_and_the_next_start_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = descriptors.measure

    def killed(wave: np.ndarray, text: str | None, config: Any) -> Any:
        if text == "say two now":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(wave, text, config)

    descriptors.compile_librosa()
    monkeypatch.setattr("serdesc.data.descriptors.compile_librosa", lambda config: None)
    monkeypatch.setattr("serdesc.data.annotate.descriptors.measure", killed)
    code, text = serdesc("annotate", corpus, "--nj", 2)
    assert code == 1 and "a worker process was ended from outside" in text, text
    monkeypatch.undo()
    code, text = serdesc("annotate", corpus, "--nj", 2)
    assert code == 0, text
    rows = (corpus / "utt2measure.jsonl").read_text().splitlines()
    assert len([json.loads(row) for row in rows]) == 12
