"""SECap's test set as published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest
import soundfile
from helpers import change

from serdesc.config import PrepareConfig
from serdesc.data import audio, datadir, prepare
from serdesc.data.corpora import Rejected, secap600
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError


def test_secaps_test_set_as_it_is(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    src = real_data("emosec600")
    found = [u for u in secap600.utterances(src) if isinstance(u, Utterance)]
    captions = json.loads((src / "fid2captions.json").read_text(encoding="utf-8"))
    assert {u.utt_id: u.caption for u in found} == captions and len(found) == 600
    lines = (src / "text.txt").read_text(encoding="utf-8").splitlines()
    assert sum("\t" in line for line in lines) == 251
    assert [f"{u.utt_id} {u.text}" for u in found] == [
        line.replace("\t", " ").strip() for line in lines
    ]
    assert all(Path(u.wav).exists() for u in found) and len({u.spk for u in found}) == 8
    datadir.write(tmp_path / "data", found)
    assert [(u.text, u.caption, u.spk) for u in datadir.read(tmp_path / "data")] == [
        (u.text, u.caption, u.spk) for u in found
    ]


def test_secaps_published_files_are_heard(real_data: Callable[[str], Path]) -> None:
    """24 kHz, two of the three with 24 bits: the same length at 16 kHz as the copy."""
    src = real_data("emosec600")
    published = sorted((src / "original_24k").glob("*.wav"))
    assert {soundfile.info(path).subtype for path in published} >= {"PCM_24"}
    for path in published:
        assert len(audio.load(path)) == pytest.approx(
            len(audio.load(src / "wav" / f"{path.stem}.flac")), abs=2
        )


def test_what_secap_lacks_is_rejected(secap: Path) -> None:
    change(
        secap / "fid2captions.json",
        lambda rows: {key: text for key, text in rows.items() if "xiao" not in key},
    )
    with (secap / "text.txt").open("a", encoding="utf-8") as file:
        file.write("tx_emotion_00900000001\n\nstranger 好\n")
    reasons = [item.reason for item in secap600.utterances(secap) if isinstance(item, Rejected)]
    assert reasons == ["no caption in fid2captions.json"] * 2 + [
        "no transcript in text.txt",
        "no caption in fid2captions.json",
    ]
    change(secap / "fid2captions.json", lambda rows: rows | {"tx_emotion_00299000077": "语气平静"})
    *_, last = secap600.utterances(secap)
    assert isinstance(last, Rejected) and (last.utt_id, last.reason) == (
        "tx_emotion_00299000077",
        "no line in text.txt",
    )
    (secap / "fid2captions.json").unlink()
    with pytest.raises(UserError, match="fid2captions.json: missing"):
        list(secap600.utterances(secap))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("text.txt", "tx_emotion_00299000001 caf\xe9\n".encode("latin-1"), "text.txt:1: not UTF-8"),
        ("fid2captions.json", b'["a"]', r"a JSON list, \['a'\], where an object {id: caption}"),
        ("fid2captions.json", b'{"a": ["b", "c"]}', "'a' has list .*, where one caption as text"),
        ("fid2captions.json", b'{"a":', "fid2captions.json:1: not JSON"),
        ("fid2captions.json", b"\xff", "fid2captions.json:1: not UTF-8"),
    ],
)
def test_files_of_secap_in_another_form_are_named(
    secap: Path, name: str, content: bytes, message: str
) -> None:
    (secap / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(secap600.utterances(secap))


def test_a_caption_of_two_lines_becomes_one(secap: Path, tmp_path: Path) -> None:
    change(secap / "fid2captions.json", lambda rows: {key: "语气\n平静 " for key in rows})
    (secap / "fid2captions.json").write_bytes(
        b"\xef\xbb\xbf" + (secap / "fid2captions.json").read_bytes()
    )
    prepare.prepare("secap600", secap, tmp_path / "data", PrepareConfig(), 1)
    assert {utt.caption for utt in datadir.read(tmp_path / "data")} == {"语气 平静"}
