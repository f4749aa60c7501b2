"""Data directories: reading, writing and errors."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile

from serdesc.captions.fields import Fields
from serdesc.data import audio, datadir
from serdesc.errors import UserError
from serdesc.files import digest


def test_a_data_directory_reads_back_as_it_was_written(corpus: Path, tmp_path: Path) -> None:
    utterances = datadir.read(corpus)
    assert (
        len(utterances) == 12
        and utterances[0].gender == "female"
        and utterances[0].emphasis == ("now",)
    )
    full = [
        replace(
            u,
            measure={"pitch": 1.5},
            labels=Fields("a", "sad", gender="male"),
            caption="A man.",
            description="One.",
            age=7.5,
        )
        for u in utterances
    ]
    datadir.write(tmp_path / "copy", full)
    assert datadir.read(tmp_path / "copy") == full
    datadir.write(tmp_path / "copy", utterances)  # what is no longer known leaves no file behind
    assert datadir.read(tmp_path / "copy") == utterances


def test_a_description_is_part_of_the_identity_and_its_absence_is_not() -> None:
    """Experiments of data without descriptions have the identity that they were recorded with."""
    utt = datadir.Utterance(
        "u", "u.wav", "s", text="so", caption="So.", labels=Fields(emotion="sad")
    )
    labels = Fields(emotion="sad").to_dict()
    assert datadir.identity([utt]) == digest([("u", "s", "so", "So.", labels)])
    assert datadir.identity([replace(utt, description="One.")]) != datadir.identity([utt])


@pytest.mark.parametrize(
    "name, change, message",
    [
        (
            "wav.scp",
            lambda lines: ["s0-0 sox a.wav -t wav - |\n", "s0-1 b.ark:15\n", *lines[2:]],
            r"wav.scp:1: 's0-0 sox a.wav -t wav - \|', one of 2 lines .* with kaldiio: mkdir audio",
        ),
        ("wav.scp", lambda lines: ["s0-0\n", *lines[1:]], "wav.scp:1: 's0-0' has no file"),
        ("text", lambda lines: lines[::-1], "sort the file"),
        ("text", lambda lines: lines[:1] + lines, "text:2: 's0-0' is listed twice, in line 1 too"),
        ("text", lambda lines: lines[1:], "no line for 's0-0'"),
        ("utt2emo", lambda lines: [*lines, "zz angry\n"], "'zz' is not in wav.scp"),
        ("utt2spk", lambda lines: ["\n", *lines], "utt2spk:1: empty line"),
        ("utt2dur", lambda lines: ["s0-0 long\n", *lines[1:]], "'long' where a number"),
        (
            "spk2gender",
            lambda lines: [lines[0].replace(" f", " woman"), *lines[1:]],
            "'woman' where m or f",
        ),
        (
            "utt2emo",
            lambda lines: [*lines[:2], "s0-2 furious\n", *lines[3:]],
            "utt2emo:3: 'furious' where one of angry, calm.* 's0-2'",
        ),
    ],
)
def test_faults_of_a_data_directory_are_named(
    corpus: Path, name: str, change: Callable[[list[str]], list[str]], message: str
) -> None:
    lines = (corpus / name).read_text().splitlines(keepends=True)
    (corpus / name).write_text("".join(change(lines)))
    with pytest.raises(UserError, match=message):
        datadir.read(corpus)


@pytest.mark.parametrize(
    "name, content, message",
    [
        (
            "text",
            "s0-0 caf\u00e9\n".encode("latin-1"),
            "text:1: not UTF-8: byte 8 is 0xe9.*iconv -f WINDOWS-1252 -t UTF-8 text",
        ),
        (
            "utt2sed.jsonl",
            b'{"emotion": "sad"}\n',
            "utt2sed.jsonl:1: .*'emotion': 'sad'.* where an object with a text utt_id",
        ),
        (
            "utt2sed.jsonl",
            b'{"utt_id": "s0-0"}\n{"utt_id": "s0-1", "emotion": "furious"}\n',
            "utt2sed.jsonl:2: 's0-1': emotion is 'furious'",
        ),
        ("utt2sed.jsonl", b'{"utt_id": "s0-0", "emphasis": 5}\n', "utt2sed.jsonl:1: 's0-0': "),
        ("utt2measure.jsonl", b"[1, 2]\n", r"utt2measure.jsonl:1: \[1, 2\] where an object"),
        ("utt2measure.jsonl", b"\xff\n", "utt2measure.jsonl:1: not UTF-8"),
    ],
)
def test_files_of_another_encoding_or_form_are_named(
    corpus: Path, name: str, content: bytes, message: str
) -> None:
    (corpus / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        datadir.read(corpus)


def test_a_byte_order_mark_is_no_part_of_an_id(corpus: Path) -> None:
    before = datadir.read(corpus)
    (corpus / "text").write_bytes(b"\xef\xbb\xbf" + (corpus / "text").read_bytes())
    assert datadir.read(corpus) == before


def test_a_missing_data_directory_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="serdesc prepare"):
        datadir.read(tmp_path / "none")


def test_only_a_line_feed_ends_a_line_and_a_tab_separates(corpus: Path, tmp_path: Path) -> None:
    utterances = datadir.read(corpus)
    texts = ["one\u2028two", "one\x85two", "one\x0btwo", "one\x0ctwo"]
    changed = [replace(utt, text=text) for utt, text in zip(utterances, texts)]
    datadir.write(tmp_path / "d", changed)
    assert [utt.text for utt in datadir.read(tmp_path / "d")] == texts
    path = tmp_path / "d" / "utt2spk"
    for separator in ("\t", "\u00a0", " \t "):
        lines = [f"{utt.utt_id}{separator}{utt.spk}\n" for utt in changed]
        path.write_text("".join(lines), encoding="utf-8")
        assert [utt.spk for utt in datadir.read(tmp_path / "d")] == [utt.spk for utt in changed]


def test_ids_that_differ_in_unicode_normalisation_alone_say_so(corpus: Path) -> None:
    """As between names that macOS wrote (NFD) and lists that were typed (NFC)."""
    for name in ("wav.scp", "text", "utt2spk", "utt2dur"):
        path = corpus / name
        form = "NFD" if name == "wav.scp" else "NFC"
        path.write_text(unicodedata.normalize(form, path.read_text().replace("s3-2", "s3-\u00e9")))
    with pytest.raises(UserError, match="text: 's3-\u00e9' is not in wav.scp: .*NFC and NFD"):
        datadir.read(corpus)


def test_channels_of_segments_are_obeyed(tmp_path: Path) -> None:
    left, right = (0.3 * np.sin(np.arange(32_000) * f) for f in (0.05, 0.2))
    soundfile.write(tmp_path / "call.wav", np.stack([left, right], axis=1), 16_000)
    data = tmp_path / "data"
    utterances = [
        datadir.Utterance(f"u{i}", str(tmp_path / "call.wav"), "s", recording="call", span=(0.5, 1.5), channel=channel)
        for i, channel in enumerate((0, 1, None, 2))
    ]  # fmt: skip
    datadir.write(data, utterances)
    assert (data / "segments").read_text().splitlines()[1:3] == [
        "u1 call 0.500 1.500 1",
        "u2 call 0.500 1.500",
    ]
    assert datadir.read(data) == utterances
    first, second, mean, absent = datadir.read(data)
    part = slice(8000, 24_000)
    np.testing.assert_allclose(first.load_audio(), left[part], atol=1e-4)
    np.testing.assert_allclose(second.load_audio(), right[part], atol=1e-4)
    np.testing.assert_allclose(mean.load_audio(), (left + right)[part] / 2, atol=1e-4)
    with pytest.raises(audio.AudioError, match="no channel 2: the recording has 2, from 0"):
        absent.load_audio()
    (data / "segments").write_text("".join(f"u{i} call 0.5 -1\n" for i in range(4)))
    assert [utt.span for utt in datadir.read(data)] == [(0.5, 2.0)] * 4  # to its end, as in Kaldi
    assert [utt.seconds for utt in datadir.with_seconds(datadir.read(data))] == [1.5] * 4
    (data / "segments").write_text("u0 call 0.500 1.500 left\n")
    with pytest.raises(UserError, match="in a fifth column a channel, 0 or higher"):
        datadir.read(data)
