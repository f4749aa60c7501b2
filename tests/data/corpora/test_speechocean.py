"""speechocean762 as published."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from serdesc import config as configs
from serdesc.data import prepare


def test_speechocean_as_it_is_published(tmp_path: Path, tone: Callable[..., Path]) -> None:
    """WAVE/ beside the parts, suffixes in capitals."""
    (tmp_path / "so" / "train").mkdir(parents=True)
    for name, line in (
        ("text", "1 MARK\n"),
        ("utt2spk", "1 0007\n"),
        ("spk2gender", "0007 m\n"),
        ("spk2age", "0007 6\n"),
    ):
        (tmp_path / "so" / "train" / name).write_text(line)
    (tmp_path / "so" / "WAVE" / "SPEAKER0007").mkdir(parents=True)
    tone("a.wav").rename(tmp_path / "so" / "WAVE" / "SPEAKER0007" / "1.WAV")
    accepted, rejected = prepare.prepare(
        "speechocean", tmp_path / "so" / "train", tmp_path / "data", configs.Config().prepare, nj=1
    )
    assert [(u.utt_id, u.age, u.text) for u in accepted] == [
        ("so0007-1", 6.0, "mark")
    ] and not rejected
