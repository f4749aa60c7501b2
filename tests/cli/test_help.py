"""Help: examples, width, shell completion, and no heavy imports."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import click
import pytest
import typer
from helpers.cli import serdesc

from serdesc.cli import app

COMMANDS = sorted(str(command.name) for command in app.registered_commands)


def help_at(width: int, name: str) -> str:
    """The help of a command on a terminal of that width, in a process of its own."""
    env = {**os.environ, "COLUMNS": str(width), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "serdesc.cli", name, "--help"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def example_of(text: str) -> list[str]:
    """The words of the example, which is one line, so that it can be pasted."""
    (line,) = re.split(r"\n\s*╭", text.split("Example:")[1])[0].strip().splitlines()
    return shlex.split(line)


def test_help_of_every_command_shows_an_example() -> None:
    code, listing = serdesc("--help")
    assert code == 0 and len(COMMANDS) >= 10
    for name in COMMANDS:
        code, text = serdesc(name, "--help")
        assert code == 0 and f"serdesc {name} " in text.replace("\n", " "), name


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns_and_loses_nothing(name: str) -> None:
    """Each option, its whole help text and the example are shown; the example's options exist."""
    text = help_at(80, name)
    assert max(map(len, text.splitlines())) <= 80
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    plain = re.sub(r"[\s│]+", "", text)
    for parameter in command.params:
        shown = getattr(parameter, "help", None) or ""
        assert re.sub(r"\s+", "", shown) in plain, f"{name}: {shown}"
        if isinstance(parameter, click.Option):
            assert parameter.opts[0] in text, parameter.opts
    words = example_of(text)
    assert words[:2] == ["serdesc", name]
    context = click.Context(command, info_name=name)
    command.parse_args(context, list(words[2:]))  # raises for an unknown option or a missing one


def test_shell_completion_can_be_installed() -> None:
    code, text = serdesc("--help")
    assert code == 0 and "--install-completion" in text


def test_help_and_scoring_import_no_torch() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from serdesc.cli import app; assert"
        " CliRunner().invoke(app, ['--help']).exit_code == 0; light = {'torch', 'transformers',"
        " 'pandas', 'sklearn', 'librosa'} & set(sys.modules); assert not light, light; import"
        " serdesc.scoring.report, serdesc.scoring.baselines, serdesc.scoring.metrics as m;"
        " m.every(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
