"""Commands in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from serdesc.cli import app


def serdesc(*arguments: object) -> tuple[int, str]:
    """Exit code and output of a verb, called as the program calls it."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output
