"""A full disk at every stage that writes: one message, nothing finished lost, and the same result
after the next start. On a small tmpfs, which needs root.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest
from helpers.cli import serdesc

pytestmark = pytest.mark.slow
# Written with the time or the folder in them
VARYING = {"env.json", "manifest.json", "train.jsonl", "numba", "labelled.json"}


def stages(root: Path, corpus: Path, options: list[str]) -> dict[str, tuple[object, ...]]:
    """The commands of a fold, in order; each writes below `root`."""
    data, dump, exp = root / "data", root / "dump", root / "exp" / "fold1"
    hyp = exp / "decode_test" / "hyp.jsonl"
    return {
        "annotate": ("annotate", corpus, "--out", data, *options),
        "extract": ("extract", corpus, dump, *options),
        "train": ("train", data / "fold1" / "train", dump, exp, *options),
        "decode": ("decode", data / "fold1" / "test", dump, exp),
        "score": ("score", data / "fold1" / "test", "--hyp", hyp, "--metric", "ua,wer"),
        "report": ("report", root / "exp", *options),
    }


def contents(folder: Path) -> dict[str, bytes]:
    """The files that a run determines, by path; none may be a temporary one."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        assert not name.endswith((".part", ".partial", ".new", ".old")), name
        if path.is_file() and path.name not in VARYING and not path.name.endswith(".lock"):
            found[name] = path.read_bytes()
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here (that needs root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def leave(folder: Path, kilobytes: int) -> None:
    """Fill a disk up to so many kilobytes."""
    filler = folder / "filler"
    filler.unlink(missing_ok=True)
    filler.write_bytes(bytes(shutil.disk_usage(folder).free - 1024 * kilobytes))


def test_each_stage_goes_on_after_a_full_disk(
    corpus: Path, tmp_path: Path, small_disk: Path, tiny_settings: list[str]
) -> None:
    options = [word for setting in tiny_settings for word in ("--set", setting)]
    whole = tmp_path / "whole"
    for name, command in stages(whole, corpus, options).items():
        code, text = serdesc(*command)
        assert code == 0, (name, text)
    refused = set()
    for name, command in stages(small_disk, corpus, options).items():
        for kilobytes in (0, 4, 8, 16, 32, 64):  # a page is 4
            leave(small_disk, kilobytes)
            code, text = serdesc(*command)
            if code == 0:
                break
            assert code == 1 and ("No space left" in text or "are free there" in text), text
            assert "Traceback" not in text and " kept: make room" in text, text
            refused.add(name)
        (small_disk / "filler").unlink()
        code, text = serdesc(*command)
        assert code == 0, (name, text)
    assert refused == set(stages(whole, corpus, options))
    expected, found = contents(whole), contents(small_disk)
    assert found.keys() == expected.keys()
    for name, content in expected.items():
        if not name.endswith(".md"):  # the report has the path of the command
            assert found[name] == content, name
