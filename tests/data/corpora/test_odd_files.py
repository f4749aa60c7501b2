"""Releases as they lie on disks: byte order marks, CRLF, empty lines, macOS's files, lines without
words, speakers without sex. Each corpus gives the same utterances, or names the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile
from helpers import HEAD

from serdesc.config import PrepareConfig
from serdesc.data import release
from serdesc.data.corpora import (
    Rejected,
    librispeech,
    meld,
    ravdess,
    secap600,
    speechcraft,
    speechocean,
)
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError


def sound(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(16_000) / 9), 16_000)


def librispeech_tree(src: Path) -> None:
    for i in range(3):
        sound(src / f"dev/1/2/1-2-000{i}.flac")
    (src / "dev/1/2/1-2.trans.txt").write_text("1-2-0000 ONE\n1-2-0001 TWO WORDS\n1-2-0002\n")
    (src / "SPEAKERS.TXT").write_text("; ID | SEX |\n1 | F | dev | 8.0 | A\n2 |  | dev\n")


def speechocean_tree(src: Path) -> None:
    for i in range(3):
        sound(src / f"WAVE/SPEAKER0001/00{i}.WAV")
    sound(src / "WAVE/SPEAKER0002/009.WAV")
    (src / "text").write_text("000\tONE\n001\tTWO WORDS\n002\n009\tNINE\n")
    (src / "utt2spk").write_text("000\t0001\n001\t0001\n002\t0001\n009\t0002\n")
    (src / "spk2gender").write_text("0001\tF\n0002\n")
    (src / "spk2age").write_text("0001\t6\n0002\tunknown\n")


def secap_tree(src: Path) -> None:
    for i in (1, 2, 3):
        sound(src / f"wav/tx_emotion_00{i}00000001.wav")
    ids = [f"tx_emotion_00{i}00000001" for i in (1, 2, 3)]
    (src / "text.txt").write_text(f"{ids[0]} 你好\n{ids[1]}\t再见 了\n{ids[2]}\n", encoding="utf-8")
    captions = ", ".join(f'"{utt_id}": "高兴"' for utt_id in ids)
    (src / "fid2captions.json").write_text(f"{{{captions}}}\n", encoding="utf-8")


def meld_tree(src: Path) -> None:
    src.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        row = '1,It’s 1,Joey,joy,positive,0,1,1,1,"00:00:01,0","00:00:02,0"'
        (src / f"{split}_sent_emo.csv").write_text(f"{HEAD}\n{row}\n", encoding="utf-8")


def ravdess_tree(src: Path) -> None:
    for name in ("03-01-05-01-01-01-02", "03-01-01-01-02-01-02"):
        sound(src / f"Actor_02/{name}.wav")


CORPORA = {
    "librispeech": (librispeech_tree, librispeech),
    "speechocean": (speechocean_tree, speechocean),
    "secap600": (secap_tree, secap600),
    "meld": (meld_tree, meld),
    "ravdess": (ravdess_tree, ravdess),
}
TEXTS = ("*.txt", "*.csv", "*.json", "*.TXT", "text", "utt2spk", "spk2*")


def byte_order_mark(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def crlf(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def empty_lines(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n") + b" \n")


def no_last_line_feed(path: Path) -> None:
    path.write_bytes(path.read_bytes().rstrip(b"\n"))


def macos(path: Path) -> None:
    path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize(
    "change",
    [byte_order_mark, crlf, empty_lines, no_last_line_feed, macos],
    ids=lambda c: c.__name__,
)
def test_odd_files_change_nothing(
    tmp_path: Path, corpus: str, change: Callable[[Path], None]
) -> None:
    build, module = CORPORA[corpus]
    build(tmp_path / "src")
    expected = list(module.utterances(tmp_path / "src", PrepareConfig()))
    assert any(isinstance(item, Utterance) for item in expected)
    changed = {path for name in TEXTS for path in (tmp_path / "src").rglob(name)}
    if change is macos:
        changed |= {path for path in (tmp_path / "src").rglob("*") if path.is_file()}
    for path in changed:
        change(path)
    assert list(module.utterances(tmp_path / "src", PrepareConfig())) == expected


def test_lines_without_words_are_rejected_and_unknown_sexes_and_ages_are_none(
    tmp_path: Path,
) -> None:
    found: dict[str, list[Utterance | Rejected]] = {}
    for corpus in ("librispeech", "speechocean", "secap600"):
        build, module = CORPORA[corpus]
        build(tmp_path / corpus)
        found[corpus] = list(module.utterances(tmp_path / corpus, PrepareConfig()))
    reasons = {}
    for corpus, items in found.items():
        reasons[corpus] = [item.reason for item in items if isinstance(item, Rejected)]
    assert reasons == {
        "librispeech": ["no words in 1-2.trans.txt"],
        "speechocean": ["no words in text"],
        "secap600": ["no transcript in text.txt"],
    }
    first, *_, last = [i for i in found["speechocean"] if isinstance(i, Utterance)]
    assert (first.gender, first.age, last.gender, last.age) == ("female", 6, None, None)


@pytest.mark.parametrize("corpus", ["librispeech", "speechocean", "secap600", "meld"])
def test_another_encoding_is_named_with_the_way_out(tmp_path: Path, corpus: str) -> None:
    build, module = CORPORA[corpus]
    build(tmp_path)
    for name in TEXTS:
        for path in tmp_path.rglob(name):
            path.write_bytes(path.read_bytes() + "x caf\u00e9\n".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8: .* iconv"):
        list(module.utterances(tmp_path, PrepareConfig()))


def test_a_quotation_mark_that_is_not_closed_is_located(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('A,B\n1,"x\n' + "2,y\n" * 50_000)
    with pytest.raises(UserError, match=r"a.csv:\d+: not a table .* quotation mark"):
        list(release.rows(path, ("A",)))


def test_speechcraft_skips_macos_files(craft: Path) -> None:
    expected = list(speechcraft.utterances(craft, PrepareConfig()))
    for path in list(craft.rglob("*")):
        if path.is_file():
            macos(path)
    assert list(speechcraft.utterances(craft, PrepareConfig())) == expected
