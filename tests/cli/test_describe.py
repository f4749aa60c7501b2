"""serdesc describe."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import soundfile
from helpers.cli import serdesc
from helpers.report import data_of

from serdesc.captions.reader import read
from serdesc.cli.describe import _print
from serdesc.inference.describe import Description

ROOT = Path(__file__).parents[2]


def test_without_torch_models_say_what_to_install(corpus: Path, tmp_path: Path) -> None:
    """A process in which torch cannot be imported, as where only the scorer was installed."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "serdesc.cli", "describe", str(tmp_path / "x.wav")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=ROOT)
    assert (
        done.returncode == 2
        and "package torch is not installed" in done.stderr
        and "pip install torch transformers peft safetensors" in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_describe_takes_any_recording_and_names_the_unusable(
    corpus: Path, tmp_path: Path, tiny_settings: list[str], tone: Callable[..., Path]
) -> None:
    with_settings = [item for setting in tiny_settings for item in ("--set", setting)]
    exp = tmp_path / "exp" / "fold1"
    for arguments in (
        ("annotate", corpus, *with_settings),
        ("train", corpus / "fold1" / "train", "live", exp, *with_settings),
    ):
        code, text = serdesc(*arguments)
        assert code == 0, text
    folder = tmp_path / "folder"
    (folder / "in it").mkdir(parents=True)
    inside = [tone("folder/in it/b.FLAC"), tone("folder/z.ogg")]
    for name in ("._z.ogg", "notes.txt", "in it/.hidden.wav"):
        (folder / name).write_text("x")
    files = [
        tone("phone.wav", rate=8000), tone("studio.flac", rate=48_000, channels=2, subtype="PCM_24"), tone("long.flac", seconds=1200, rate=8000),
        tone("short.wav", seconds=0.03), *inside,
    ]  # fmt: skip
    soundfile.write(tmp_path / "silent.wav", [0.0] * 16_000, 16_000)
    code, text = serdesc(
        "describe",
        *files[:-2],
        folder,
        tmp_path / "silent.wav",
        tmp_path / "absent.wav",
        "--model",
        exp,
        "--json",
    )
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    names = [Path(row["audio"]).name for row in rows]
    assert list(dict.fromkeys(names)) == [path.name for path in files]
    assert all(set(row) >= {"audio", "caption", "fields", "seconds"} for row in rows)
    pieces = [row for row in rows if "start" in row]
    assert {Path(row["audio"]).name for row in pieces} == {"long.flac"} and len(pieces) > 100
    assert pieces[0]["start"] == 0 and pieces[-1]["end"] == 1200
    assert all(row["seconds"] <= 12 for row in pieces)
    joints = zip(pieces, pieces[1:])
    assert all(abs(first["end"] - second["start"]) < 0.002 for first, second in joints)
    assert (
        code == 1
        and "silent.wav: silent" in text
        and "absent.wav: no such file" in text
        and "2 of 8 files" in text
        and "Traceback" not in text
    )
    (folder / "empty").mkdir()
    code, text = serdesc("describe", folder / "empty", "--model", exp)
    assert code == 2 and "no recordings in this folder" in text


def test_a_long_recording_is_a_table_and_a_page(
    corpus: Path, tmp_path: Path, tiny_settings: list[str], tone: Callable[..., Path]
) -> None:
    with_settings = [item for setting in tiny_settings for item in ("--set", setting)]
    exp = tmp_path / "exp" / "fold1"
    serdesc("annotate", corpus, *with_settings)
    serdesc("train", corpus / "fold1" / "train", "live", exp, *with_settings)
    long, page = tone("long <b>.wav", seconds=40), tmp_path / "page"
    code, text = serdesc("describe", long, "--model", exp, "--html", page)
    assert code == 0 and "pieces)" in text and str(page / "report.html") in text
    rows = data_of(page, "rows")
    packed = data_of(page, "curves-0")
    assert len(rows) == len(packed) >= 4 and all(one[5] > 0 for one in packed)  # KL of a branch
    code, text = serdesc(
        "describe", long, "--model", exp, "--json", "--set", "decoding.cut_seconds=0"
    )
    assert code == 0 and "only its first 30 s were used" in text and text.count('"audio"') == 1
    code, text = serdesc("describe", long, "--html", corpus)
    assert code == 2 and "is not empty and no report" in text


def test_an_emotion_has_its_probability_and_a_doubtful_one_is_called_unsure() -> None:
    def said(posterior: dict[str, float] | None, caption: str = "A man speaks sadly.") -> str:
        described = Description("a.wav", caption, read(caption), 1.0, 0.1, False, None, posterior)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            _print(described)
        return output.getvalue()

    assert "emotion: sad (81 %)" in said({"sad": 0.81, "angry": 0.19})
    assert "emotion: sad (43 %, unsure)" in said({"sad": 0.43, "angry": 0.57})
    assert "emotion: sad " in said(None)
    assert "emotion" not in said(None, "A man speaks.")
    assert "emotion: bored " in said({"sad": 1.0}, "A man speaks, sounding bored.")
