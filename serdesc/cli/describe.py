"""serdesc describe"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Iterator, Optional

import typer

from serdesc.cli.command import Set, command
from serdesc.errors import FailedError, UserError
from serdesc.printable import printable

if TYPE_CHECKING:
    from serdesc.data.audio import AudioError
    from serdesc.inference.describe import Captioner, Description


SURE = 0.5  # probability of an emotion, from which on it is not called unsure


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
        str,
        typer.Option(
            "--model",
            metavar="EXP",
            help="Experiment folder or built-in model; default: describer-base, or describer-mini"
            " without its pretrained models.",
            show_default=False,
        ),
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per file: audio, caption, fields ...")
    ] = False,
    html: Annotated[
        Optional[Path],
        typer.Option("--html", metavar="DIR", help="Also write a page with sound and curves."),
    ] = None,
    link: Annotated[
        str, typer.Option("--audio", help="Of the page: link (to the files), copy or embed.")
    ] = "link",
    settings: Set = None,
) -> None:
    """Caption recordings: transcript, pitch, energy, speed, age, gender, emphasis and emotion.

    A long recording is cut at pauses and described piece by piece.

    Example:

        serdesc describe my_voice.wav recordings/
    """
    from serdesc.builtin import missing
    from serdesc.inference.describe import Captioner
    from serdesc.report.site import Site

    files = list(_files(audio))
    if html:
        Site(html, link)  # errors of the options come before the work
    start = time.perf_counter()
    if not model and (absent := missing("describer-base")):
        typer.echo(
            "describer-mini is used, a small model. A better one, describer-base, needs"
            f" {' and '.join(absent)}: tools/get_models.sh fetches them",
            err=True,
        )
    captioner = Captioner(model, settings)
    loaded = time.perf_counter() - start
    results = _Results(captioner, as_json, bool(html))
    for path, result in captioner.describe_files(files, details=bool(html)):
        results.add(path, result)
    results.end_recording()
    if html:
        typer.echo(str(results.write_page(html, link)), err=as_json)
    if not as_json:
        typer.echo(f"{loaded:.1f} s to load {_names(captioner)}", err=True)
    unusable = [path for path in files if path not in results.used]
    if unusable:
        raise FailedError(
            f"{len(unusable)} of {len(files)} files could not be used; the reasons are above"
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


def _names(captioner: Captioner) -> str:
    return f"{captioner.config.encoder.model} and {captioner.config.llm.model}"


class _Results:
    """Prints descriptions as they come; the pieces of a long recording as one table at its end."""

    def __init__(self, captioner: Captioner, as_json: bool, keep: bool) -> None:
        self.captioner, self.as_json, self.keep = captioner, as_json, keep
        self.used: set[Path] = set()
        self.kept: list[tuple[Path, Description]] = []
        self.rejected: list[tuple[str, str]] = []
        self.pieces: list[Description] = []

    def add(self, path: Path, result: Description | AudioError) -> None:
        if self.pieces and self.pieces[0].audio != str(path):
            self.end_recording()
        if isinstance(result, Exception):
            place = result.place or str(path)
            typer.echo(printable(f"{place}: {result}"), err=True)
            self.rejected.append((place, str(result)))
            return
        self.used.add(path)
        if self.keep:
            self.kept.append((path, result))
        if self.as_json:
            typer.echo(json.dumps(result.to_dict(), ensure_ascii=False))
        elif result.start is not None:
            self.pieces.append(result)
        else:
            _print(result)
        if result.cropped:
            limit = self.captioner.config.encoder.max_seconds
            note = f"{path}: only its first {limit:g} s were used (encoder.max_seconds)"
            typer.echo(printable(note), err=True)

    def end_recording(self) -> None:
        """Print the table of a long recording."""
        from serdesc.scoring import terminal

        if self.pieces:
            head = ["start", "emotion", "pitch", "energy", "speed", "gender", "transcript"]
            table = [head, *(_cells(piece) for piece in self.pieces)]
            title = f"{self.pieces[0].audio} ({len(self.pieces)} pieces)"
            terminal.print_table(table, title, labels=len(head))
        self.pieces = []

    def write_page(self, folder: Path, audio: str) -> Path:
        import yaml

        from serdesc import runtime
        from serdesc.report import recordings

        described = []
        for path, one in self.kept:
            assert one.details is not None
            described.append(
                recordings.Described(
                    path=path,
                    start=one.start,
                    seconds=one.seconds,
                    caption=one.caption,
                    fields=one.fields,
                    posterior=one.posterior,
                    kl=one.details.kl,
                    curves=one.details.curves,
                )
            )
        environment = runtime.environment()
        del environment["command"]
        run = {
            "model": _names(self.captioner),
            "config": yaml.safe_dump(asdict(self.captioner.config), sort_keys=False),
            "environment": environment,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        }
        return recordings.write(folder, described, run, self.rejected, audio)


def _cells(piece: Description) -> list[str]:
    """A row of the table of a long recording."""
    minutes, seconds = divmod(piece.start or 0.0, 60)
    fields = piece.fields
    emotion = _emotion(piece)
    values = [emotion, fields.pitch, fields.energy, fields.speed, fields.gender]
    cells = [f"{int(minutes)}:{seconds:04.1f}", *(value or "" for value in values)]
    return [*cells, fields.transcript or ""]


def _emotion(description: Description) -> str | None:
    """The emotion with its probability."""
    named, confidence = description.fields.emotion, description.confidence
    if named is None or confidence is None:
        return named
    return f"{named} ({100 * confidence:.0f} %{', unsure' if confidence < SURE else ''})"


def _print(description: Description) -> None:
    lengths = f"{description.seconds:.1f} s, described in {description.took:.2f} s"
    typer.echo(printable(f"{description.audio} ({lengths})\n  {description.caption}"))
    values = []
    fields = description.to_dict()["fields"] | {"emotion": _emotion(description)}
    for name, value in fields.items():
        if name != "transcript" and value is not None:
            values.append(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    typer.echo(printable(f"  {'  '.join(values)}\n"))
