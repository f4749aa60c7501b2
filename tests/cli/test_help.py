"""Help."""

from __future__ import annotations

import subprocess
import sys

from helpers.cli import serdesc

from serdesc.cli import app


def test_help_of_every_verb_shows_an_example() -> None:
    code, listing = serdesc("--help")
    verbs = [command.name for command in app.registered_commands]
    assert code == 0 and len(verbs) >= 10
    for name in verbs:
        code, text = serdesc(name, "--help")
        assert code == 0 and f"serdesc {name} " in text.replace("\n", " "), name


def test_help_and_scoring_import_no_torch() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from serdesc.cli import app; assert"
        " CliRunner().invoke(app, ['--help']).exit_code == 0; light = {'torch', 'transformers',"
        " 'pandas', 'sklearn', 'librosa'} & set(sys.modules); assert not light, light; import"
        " serdesc.scoring.report, serdesc.scoring.baselines, serdesc.scoring.metrics as m;"
        " m.every(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
