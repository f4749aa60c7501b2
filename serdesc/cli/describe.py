"""serdesc describe"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Iterator

import typer

from serdesc.cli.command import Set, command
from serdesc.errors import FailedError, UserError

if TYPE_CHECKING:
    from serdesc.inference.describe import Description


@command
def describe(
    audio: Annotated[
        list[Path],
        typer.Argument(
            metavar="AUDIO",
            help="Sound and video files of most formats, or folders of them.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", metavar="EXP", help="Experiment folder or built-in model.")
    ] = "describer-mini",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per file: audio, caption, fields ...")
    ] = False,
    settings: Set = None,
) -> None:
    """Caption recordings: transcript, pitch, energy, speed, age, gender, emphasis and emotion.

    Example:

        serdesc describe my_voice.wav recordings/
    """
    from serdesc.data.audio import AudioError
    from serdesc.inference.describe import Captioner

    files = list(_files(audio))
    start = time.perf_counter()
    captioner = Captioner(model, settings)
    loaded = time.perf_counter() - start
    errors = 0
    for path, result in captioner.describe_files(files):
        if isinstance(result, AudioError):
            typer.echo(f"{path}: {result}", err=True)
            errors += 1
            continue
        _print(result, as_json)
        if result.cropped:
            limit = captioner.config.encoder.max_seconds
            typer.echo(
                f"{path}: only its first {limit:g} s were used (encoder.max_seconds)", err=True
            )
    if not as_json:
        names = f"{captioner.config.encoder.model} and {captioner.config.llm.model}"
        typer.echo(f"{loaded:.1f} s to load {names}", err=True)
    if errors:
        raise FailedError(
            f"{errors} of {len(files)} files could not be used; the reasons are above"
        )


def _files(paths: list[Path]) -> Iterator[Path]:
    """The files, and those in the folders. Raises UserError for a folder without recordings."""
    from serdesc.data import recording

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = recording.find(path)
        if not found:
            endings = " ".join(recording.SUFFIXES[:8])
            raise UserError(f"{path}: no recordings in this folder ({endings} ...)")
        yield from found


def _print(description: Description, as_json: bool) -> None:
    row = description.to_dict()
    if as_json:
        typer.echo(json.dumps(row, ensure_ascii=False))
        return
    lengths = f"{description.seconds:.1f} s, described in {description.took:.2f} s"
    typer.echo(f"{description.audio} ({lengths})\n  {description.caption}")
    values = []
    for name, value in row["fields"].items():
        if name != "transcript":
            values.append(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    typer.echo(f"  {'  '.join(values)}\n")
