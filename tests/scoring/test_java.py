"""Java programs and their jars."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.scoring import scored

from serdesc.scoring import java
from serdesc.scoring.metrics import spice

pytestmark = pytest.mark.java


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "said, version",
    [
        ('java version "1.8.0_402"', "1.8.0_402"),
        ('openjdk version "10.0.2" 2018-07-17', "10.0.2"),
        ("x", ""),
    ],
)
def test_a_java_that_is_too_old_is_refused_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, version: str
) -> None:
    fake = tmp_path / "java"
    fake.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    fake.chmod(0o755)
    monkeypatch.setattr(java.shutil, "which", lambda name: str(fake))
    if not version:
        assert java.program() == str(fake)
        return
    with pytest.raises(
        java.NotComputed, match=f"is Java {version}, which is too old: any from 11 to 21"
    ):
        java.program()


def get_spice(folder: Path, *options: object, **env: str) -> tuple[int, str]:
    """tools/get_spice.sh in a checkout of its own, whose Python and Maven only note what they are
    asked for.
    """
    for name in ("tools/get_spice.sh", "utils/parse_options.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for program in ("tools/venv/bin/python", "bin/mvn"):
        (folder / program).parent.mkdir(parents=True, exist_ok=True)
        (folder / program).write_text(f'#!/bin/sh\necho "$*" >>{folder}/asked\nexit 1\n')
        (folder / program).chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(folder / "tools/get_spice.sh"), *map(str, options)],
        capture_output=True,
        text=True,
        env={"PATH": path},
    )
    return done.returncode, done.stdout + done.stderr


def test_jars_that_are_not_as_published_are_refused_by_name(tmp_path: Path) -> None:
    junk, to = tmp_path / "junk", tmp_path / "to"
    junk.mkdir()
    names = (
        "stanford-corenlp-3.6.0.jar",
        "stanford-corenlp-3.6.0-models-other.jar",
        "rhino-1.7.14.jar",
    )
    for name in names:
        (junk / name).write_text("junk")
    code, said = get_spice(tmp_path, "--from", junk, "--to", to)
    assert (
        code == 1
        and all(f"{junk / name}" in said for name in names)
        and "put into" not in said
        and list(to.iterdir()) == []
    )
    code, said = get_spice(tmp_path, "--to", junk)  # what lies there already
    assert code == 1 and said.count("remove it and call again") == 3


def test_without_maven_every_jar_is_asked_for(tmp_path: Path) -> None:
    code, said = get_spice(tmp_path, "--to", tmp_path / "to")
    asked = (tmp_path / "asked").read_text()
    assert code == 1 and said.count("call again with --from DIR") == 3
    assert "org.mozilla:rhino:1.7.14:jar" in asked and "get_stanford_models" in asked


def test_genuine_jars_are_taken(tmp_path: Path, real_spice: Path) -> None:
    code, said = get_spice(tmp_path, "--from", real_spice, "--to", tmp_path / "to")
    assert (
        code == 0
        and said.count("put into") == 3
        and spice.folder(str(tmp_path / "to")) == tmp_path / "to"
    )
    assert get_spice(tmp_path, "--to", tmp_path / "to") == (
        0,
        said.replace(f"put into {tmp_path / 'to'}", "there"),
    )


def test_without_java_the_other_metrics_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java.shutil, "which", lambda name: None)
    ours = scored(tmp_path, ["She sounds sad."] * 3, ["She sounds happy."] * 3)
    assert ours["ua"]["n"] == 3 and ours["sacrebleu"]["value"] is not None
    assert all(
        ours[name]["value"] is None and "Java is not installed" in ours[name]["note"]
        for name in ("bleu4", "meteor", "cider")
    )


def test_a_java_program_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\necho 'Exception: the last words' >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr(java.shutil, "which", lambda name: str(fake))
    with pytest.raises(java.FailedError, match="status 3(.|\n)*the last words"):
        java.run(["-jar", "x.jar"], "", "METEOR")
    fake.write_text("#!/bin/sh\nexec /bin/sleep 5\n")
    with pytest.raises(java.FailedError, match="not finished after"):
        java.run(["-jar", "x.jar"], "", "METEOR", timeout=0.2)
