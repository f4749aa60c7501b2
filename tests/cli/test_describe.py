"""serdesc describe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import soundfile
from helpers.cli import serdesc

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
    assert [Path(row["audio"]).name for row in rows] == [path.name for path in files]
    assert (
        all(set(row) >= {"audio", "caption", "fields", "seconds"} for row in rows)
        and rows[2]["seconds"] <= 30
    )
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
