"""serdesc translate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serdesc.cli.command import ConfigFile, Data, Set, command


@command
def translate(
    data: Data,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="Lines: id, translation.", show_default=False),
    ],
    config_files: ConfigFile = None,
    settings: Set = None,
) -> None:
    """Translate reference captions into English with the configured LLM, or resume that.

    For scores against references in another language. The LLM, its weights and the prompt are part
    of the scores' signature.

    Example:

        serdesc translate data/secap600/fold1/test --out data/secap600/english.txt
    """
    from serdesc import config as configs
    from serdesc.inference.translate import translate as translate_captions

    count, unusable = translate_captions(data, out, configs.load(config_files, settings))
    typer.echo(f"{out}: {count} captions")
    if unusable:
        typer.echo(
            f"{len(unusable)} of them are empty or not English, the first is '{unusable[0]}'."
            f" Correct {out}, or translate with another llm.model: --set llm.model=NAME",
            err=True,
        )
