"""Installations: what setup.cfg declares, and scoring with tools/requirements-score.txt alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

ROOT = Path(__file__).parents[1]
BRIEF = {
    "torch", "transformers", "peft", "typer", "rich", "librosa", "sacrebleu", "pycocoevalcap",
    "pandas", "pyyaml",
}  # fmt: skip


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    """Packages of install_requires."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options"]["install_requires"].split("\n")
    return {normalised(re.split(r"[ <>=;\[]", line.strip())[0]) for line in lines if line.strip()}


def closure(names: set[str]) -> set[str]:
    """The packages and everything that they require."""
    found: set[str] = set()
    waiting = [normalised(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        for line in lines:
            if "extra ==" not in line:
                waiting.append(normalised(re.split(r"[ <>=;!~\[(]", line)[0]))
    return found


def scoring_packages() -> set[str]:
    lines = (ROOT / "tools/requirements-score.txt").read_text().splitlines()
    return {line.strip() for line in lines if line.strip() and line[0] != "#"}


def imported_packages() -> set[str]:
    """Third-party packages that the modules of serdesc import, anywhere."""
    names = set()
    for path in (ROOT / "serdesc").rglob("*.py"):
        names |= set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.M))
    known = packages_distributions()
    return {normalised(known[name][0]) for name in names if name in known and name != "serdesc"}


def test_every_imported_package_is_declared() -> None:
    assert BRIEF <= declared(), "the packages that the brief names"
    # reported when they are needed
    optional = {"pyarrow", "bitsandbytes", "sentence-transformers", "whisper-normalizer"}
    assert imported_packages() <= declared() | optional


def test_scoring_needs_only_its_own_requirements(parts: Path, tmp_path: Path) -> None:
    """Nothing outside the closure of the file is imported, and torch cannot be."""
    lines = (parts / "fold1/test/utt2cap").read_text().splitlines()
    rows = [dict(zip(("utt_id", "response"), line.split(" ", 1))) for line in lines]
    (tmp_path / "hyp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = (
        "import sys, json\n"
        "for name in ('torch', 'transformers', 'peft', 'safetensors', 'pyarrow'): sys.modules[name] = None\n"
        "from typer.testing import CliRunner; from serdesc.cli import app\n"
        "done = CliRunner().invoke(app, sys.argv[1:]); print(done.output, file=sys.stderr)\n"
        "assert done.exit_code == 0, done.output\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules if sys.modules[name]})))"
    )
    command = ["score", str(parts / "fold1/test"), "--hyp", str(tmp_path / "hyp.jsonl")]
    metrics = ["--metric", "ua,wer,cer,bleu4,sacrebleu,rouge_l,cider,pitch,emphasis"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, *command, *metrics], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    known = packages_distributions()
    modules = json.loads(done.stdout.splitlines()[-1])
    used = {normalised(known[name][0]) for name in modules if name in known}
    test_tools = {"setuptools", "pip", "serdesc", "charset-normalizer"}  # the last: numpy, if there
    assert used - test_tools <= closure(scoring_packages()), used - closure(scoring_packages())


def test_a_bundle_is_verified_and_for_one_python(tmp_path: Path) -> None:
    """BUNDLE=DIR tools/setup.sh, in a copy of tools/: what stops it before it installs."""
    (tmp_path / "tools").mkdir()
    for name in ("setup.sh", "constraints.txt"):
        (tmp_path / "tools" / name).write_bytes((ROOT / "tools" / name).read_bytes())
    (tmp_path / "tools/setup.sh").chmod(0o755)
    (tmp_path / "setup.cfg").write_bytes((ROOT / "setup.cfg").read_bytes())
    wheels = tmp_path / "my bundle" / "wheels"

    def set_up() -> str:
        env = {**os.environ, "BUNDLE": str(wheels.parent), "PYTHON": sys.executable}
        done = subprocess.run(
            [str(tmp_path / "tools/setup.sh")], env=env, capture_output=True, text=True
        )
        assert done.returncode != 0 and not (tmp_path / "tools/venv").exists()
        return done.stderr

    wheels.mkdir(parents=True)
    assert "no wheels/SHA256SUMS in it" in set_up()
    (wheels / "PYTHON").write_text("Python 3.5.1\n")
    (wheels / "a.whl").write_bytes(b"a")
    sums = subprocess.run(["sha256sum", "a.whl"], cwd=wheels, capture_output=True, text=True)
    (wheels / "SHA256SUMS").write_text(sums.stdout)
    assert "is for Python 3.5" in set_up()
    here = f"Python {sys.version_info.major}.{sys.version_info.minor}.0\n"
    (wheels / "PYTHON").write_text(here)
    (wheels / "a.whl").write_bytes(b"b")
    assert "a.whl: FAILED" in set_up()


STAND_IN = """#!/bin/sh
# Stands in for Python with venv and pip: notes the calls of pip.
case "$1 $2" in
  "-m venv") mkdir -p venv/bin; cp "$0" venv/bin/python ;;
  "-m pip") shift 2; echo "$*" >>calls ;;
  "gpus.py ") echo "torch sees no GPU" ;;
esac
"""


def test_set_up_takes_torch_from_the_index_that_is_named(tmp_path: Path) -> None:
    tools = tmp_path / "it's a checkout" / "tools"
    tools.mkdir(parents=True)
    for name in ("setup.sh", "constraints.txt", "gpus.py", "../setup.cfg"):
        shutil.copy(ROOT / "tools" / name, tools / name)
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)

    def calls(**env: str) -> list[str]:
        (tools / "calls").write_text("")
        env = {"PATH": "/usr/bin:/bin", "PYTHON": str(python), **env}
        done = subprocess.run([tools / "setup.sh"], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = (tools / "calls").read_text().splitlines()
        assert ("torch sees no GPU" in done.stderr) == bool(lines)
        return [line.split("constraints.txt ")[1] for line in lines]

    usual = ["setuptools", "--no-build-isolation -e ..[test]"]
    assert calls() == usual and calls() == []
    index = "https://wheels.example.org/cu126"
    assert calls(TORCH_INDEX=index) == [
        "setuptools",
        f"--force-reinstall --no-deps --index-url {index} torch",
        f"--extra-index-url {index} {usual[1]}",
    ]
    assert calls() == []


def test_the_image_has_all_that_set_up_reads() -> None:
    """The definition's text: its files exist, and its shell parts parse."""
    text = (ROOT / "tools/serdesc.def").read_text()
    parts = re.split(r"^%(\w+)\n", text, flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2]))
    assert {"files", "post", "environment", "test", "runscript"} < set(sections)
    copied = [line.split() for line in sections["files"].splitlines() if line.strip()]
    for source, target in copied:
        assert (ROOT / source).exists() and target == f"/opt/serdesc/{source}"
    read = set(re.findall(r"[\w.]+\.(?:txt|cfg|py)\b", (ROOT / "tools/setup.sh").read_text()))
    assert read <= {Path(source).name for source, _ in copied}
    for name in ("post", "environment", "test", "runscript"):
        subprocess.run(["sh", "-n"], input=sections[name], text=True, check=True)


def test_the_gpus_that_torch_sees() -> None:
    def call(*options: str) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, str(ROOT / "tools/gpus.py"), *options]
        return subprocess.run(command, env=env, capture_output=True, text=True)

    done = call()
    assert done.returncode == 0 and re.match(r"torch 2\.\S+ .*; GPUs: none$", done.stdout.strip())
    needed = call("--need", "2")
    assert needed.returncode == 1 and "--ngpu 2, but torch sees 0 GPUs" in needed.stderr
    assert "Use --ngpu 0 for the CPU" in needed.stderr
