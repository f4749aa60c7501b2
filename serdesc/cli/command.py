"""What all commands share: the Typer app, common arguments, and errors without a traceback."""

from __future__ import annotations

import errno
import functools
import inspect
from pathlib import Path
from typing import Annotated, Any, Callable, Optional

import typer

from serdesc import __version__
from serdesc.errors import Checkpointed, FailedError, UserError
from serdesc.printable import printable

app = typer.Typer(
    help=(
        "Explainable speech emotion recognition: speech to one caption with transcript, "
        "descriptors and emotion. One command per stage of a recipe, in the order of the data flow."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Kaldi-style data directory.", show_default=False)
]
StoreArg = Annotated[
    str,
    typer.Argument(
        metavar="STORE", help="Feature store, or `live`: no store is used.", show_default=False
    ),
]
Exp = Annotated[
    Path, typer.Argument(metavar="EXP", help="Experiment folder of one fold.", show_default=False)
]
ConfigFile = Annotated[
    Optional[list[Path]],
    typer.Option(
        "--config", metavar="FILE", help="YAML file, or a system's name. Repeatable; the last wins."
    ),
]
Set = Annotated[
    Optional[list[str]],
    typer.Option("--set", metavar="KEY=VALUE", help="For example training.beta=1e-3. Repeatable."),
]
Jobs = Annotated[
    int, typer.Option("--nj", min=1, help="Parallel processes; the result does not depend on it.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

OUT_OF_MEMORY = (
    "Finished work is kept. `serdesc plan CONFIG DATA` finds settings that fit: "
    "training.gradient_accumulation_steps or llm.gradient_checkpointing in training, which goes on "
    "with them; llm.quantization, for a training of its own (another --tag); decoding.batch_size "
    "in decoding, encoder.batch_seconds in extraction"
)
# Packages that tools/requirements-score.txt leaves out.
MODEL_PACKAGES = ("torch", "transformers", "peft", "safetensors")
WORKER_ENDED = (
    "a worker process was ended from outside, as the system does when memory runs out. Finished"
    " work is kept: run the same command again, with a lower --nj or more memory"
)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PATH_ERRORS = {
    errno.ENOENT: "no such file",
    errno.EISDIR: "a folder, where a file is expected",
    errno.ENOTDIR: "its path contains a file where a folder is expected",
    errno.EACCES: "permission denied",
}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Registers a command. Exit code 2 for user errors, 1 for failures, 130 for an interruption,
    75 for training that stopped with a checkpoint.
    """
    name = function.__name__

    @functools.wraps(function)
    def run(*args: Any, debug: bool = False, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except KeyboardInterrupt:
            stopped = "stopped. Finished work is kept; the same command resumes from there."
            typer.echo(f"\nserdesc {name}: {stopped}", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            message, code = describe_error(error, name)
            if debug or not message:
                raise
            typer.echo(printable(f"serdesc {name}: {message}"), err=True)
            raise typer.Exit(code) from None

    signature = inspect.signature(function, eval_str=True)
    option = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug
    )
    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return app.command(name=name)(run)


def describe_error(error: Exception, name: str) -> tuple[str, int]:
    """Message and exit code; an empty message for an error that is a bug of ours."""
    if isinstance(error, UserError):
        return str(error), 2
    if isinstance(error, Checkpointed):
        return str(error), Checkpointed.CODE
    if isinstance(error, ModuleNotFoundError):
        if error.name not in MODEL_PACKAGES:
            return "", 1
        install = "pip install torch transformers peft safetensors"
        return f"the package {error.name} is not installed, which models need: {install}", 2
    if isinstance(error, FailedError):
        return _describe_failure(error), 1
    if isinstance(error, RecursionError):
        return f"an input is nested too deeply to be read ({error})", 2
    if type(error).__name__ == "BrokenProcessPool":
        return WORKER_ENDED, 1
    if isinstance(error, OSError):
        if error.errno in FULL:
            where = error.filename or f"a file that {name} writes"
            return f"{where}: {error.strerror}. Finished work is kept: make room, run it again", 1
        if error.errno in PATH_ERRORS and error.filename is not None:
            reason = PATH_ERRORS[error.errno]
            step = f"`serdesc {name} --help` lists what is expected"
            return f"{error.filename}: {reason}. Name another file; {step}", 2
        return str(error), 1
    if isinstance(error, RuntimeError) and _is_out_of_memory(error):
        return f"out of memory ({str(error).splitlines()[0]}). {OUT_OF_MEMORY}", 1
    return "", 1


def _describe_failure(error: FailedError) -> str:
    if not error.place:
        return str(error)
    return (  # damaged audio
        f"{error.place}: {error}. Restore the file, or run `serdesc prepare` again: it leaves out "
        "audio that cannot be used"
    )


def _is_out_of_memory(error: RuntimeError) -> bool:
    """On a GPU, or in main memory, for which torch has no class."""
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return any(text in str(error) for text in ("not enough memory", "can't allocate memory"))


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"serdesc {__version__}")
        raise typer.Exit()
