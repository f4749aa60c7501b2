"""What all verbs share: the app, its arguments, and errors that are one message."""

from __future__ import annotations

import errno
import functools
from pathlib import Path
from typing import Annotated, Any, Callable, Optional

import typer

from serdesc import __version__
from serdesc.errors import FailedError, UserError

app = typer.Typer(
    help="Hear speech, and say what was said, how, and what it means for the emotion.",
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False,
)  # fmt: skip

Data = Annotated[Path, typer.Argument(help="Kaldi-style data directory.", show_default=False)]
StoreArg = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="Feature store, or `live` to compute features on the way.",
        show_default=False,
    ),
]
Exp = Annotated[Path, typer.Argument(help="Experiment folder of one fold.", show_default=False)]
ConfigFile = Annotated[
    Optional[list[Path]],
    typer.Option(
        "--config",
        help="YAML file, or a system of the paper by name. Repeatable; later over earlier.",
    ),
]
Set = Annotated[
    Optional[list[str]],
    typer.Option(
        "--set", help="key=value over the file, for example training.beta=1e-3. Repeatable."
    ),
]
Jobs = Annotated[
    int, typer.Option("--nj", min=1, help="Processes at a time; the result does not depend on it.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


LESS_MEMORY = (
    "What was finished is kept. `serdesc plan CONFIG DATA` says what fits: training.gradient_accumulation_steps, llm.gradient_checkpointing or llm.quantization in training, "
    "decoding.batch_size in decoding, encoder.batch_seconds in extraction"
)
EXTRA = ("torch", "transformers", "peft", "safetensors")  # packages of serdesc[model]
PATHS = {
    errno.ENOENT: "no such file", errno.EISDIR: "a folder, where a file is expected", errno.ENOTDIR: "in its path a file stands for a folder",
    errno.EACCES: "you may not read or write it",
}  # fmt: skip


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """A command whose errors are one message: exit code 2 for the user's mistakes, 1 for failures."""

    @functools.wraps(function)
    def run(*args: Any, debug: bool = False, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except (UserError, FailedError, OSError, ModuleNotFoundError) as error:
            if debug or isinstance(error, ModuleNotFoundError) and error.name not in EXTRA:
                raise
            message, code = _told(error, function.__name__)
            typer.echo(f"serdesc {function.__name__}: {message}", err=True)
            raise typer.Exit(code) from None
        except RuntimeError as error:
            if debug or not _out_of_memory(error):
                raise
            typer.echo(
                f"serdesc {function.__name__}: out of memory ({str(error).splitlines()[0]}). {LESS_MEMORY}",
                err=True,
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo(
                f"\nserdesc {function.__name__}: stopped. What was finished is kept; the same command goes on from there.",
                err=True,
            )
            raise typer.Exit(130) from None

    import inspect

    signature = inspect.signature(function, eval_str=True)
    option = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug
    )
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*signature.parameters.values(), option)}
    return app.command(name=function.__name__)(run)


def _out_of_memory(error: RuntimeError) -> bool:
    """Of a GPU, or of the main memory, which torch has no class for."""
    return (
        type(error).__name__ == "OutOfMemoryError"
        or "not enough memory" in str(error)
        or "can't allocate memory" in str(error)
    )


def _told(error: Exception, verb: str) -> tuple[str, int]:
    """Message and exit code."""
    if isinstance(error, ModuleNotFoundError):
        return (
            f"the package {error.name} is not installed, which models need: pip install 'serdesc[model]'",
            2,
        )
    if isinstance(error, OSError) and error.errno in PATHS and error.filename is not None:
        return (
            f"{error.filename}: {PATHS[error.errno]}. Name another, or put it there; `serdesc {verb} --help` says what is expected",
            2,
        )
    if isinstance(error, FailedError) and error.place:  # damaged audio
        return (
            f"{error.place}: {error}. Restore the file, or run `serdesc prepare` again: it leaves out what cannot be used",
            1,
        )
    return str(error), 2 if isinstance(error, UserError) else 1


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"serdesc {__version__}")
        raise typer.Exit()
