"""Configuration files: YAML with `include`, `--set section.key=value`, and typed values.

config.py defines the keys; this module reads, merges and checks what users write. Every error is
collected, so that one message names them all.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Iterator, Literal, TypeVar

from serdesc import plugins
from serdesc.errors import Notice, UserError
from serdesc.files import read_text

T = TypeVar("T")
Tree = dict[str, Any]  # nested keys and values as YAML gives them

SYSTEMS = Path(__file__).parent / "systems"

# Keys of version 0.1 and their present names.
RENAMED = {
    "prepare.leave_out": "exclude_speakers",
    "prepare.only": "include_speakers",
    "llm.checkpointing": "gradient_checkpointing",
    "llm.quantise": "quantization",
    "training.content.rate": "lr",
    "training.content.warmup": "warmup_ratio",
    "training.descriptor.rate": "lr",
    "training.descriptor.warmup": "warmup_ratio",
    "training.accumulate": "gradient_accumulation_steps",
    "training.clip": "max_grad_norm",
    "training.reword": "paraphrase_targets",
}

# Keys that the records of earlier versions (EXP/config.yaml) lack, and what those versions did.
FORMER = {
    "training": {"kl": "sum"},
    "measure": {"pitch": "piptrack", "speech_time": "whole"},
}

# Other words for a value: key -> word -> the value that is recorded and signed.
SYNONYMS = {"measure.pitch": {"speechcraft": "piptrack"}}


@dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`; `description` completes the error "'x' is not ..."."""

    low: float
    high: float
    description: str

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high and math.isfinite(value)


Count = Annotated[int, Range(1, math.inf, "1 or more")]
Whole = Annotated[int, Range(0, math.inf, "0 or more")]
Positive = Annotated[float, Range(math.ulp(0.0), math.inf, "more than 0")]
NotNegative = Annotated[float, Range(0, math.inf, "0 or more")]
Share = Annotated[float, Range(0, 1, "between 0 and 1")]


# ---- files ---------------------------------------------------------------------------------------


def system_files() -> dict[str, Path]:
    """Name -> file of every system, of the package and of SERDESC_PLUGINS/systems."""
    folders = [SYSTEMS, *map(Path, plugins.folders("systems"))]
    return {path.stem: path for folder in folders for path in folder.glob("*.yaml")}


def find(path: Path) -> Path:
    """`path`, or the file of the system of that name."""
    if path.exists() and not path.is_dir():
        return path
    return system_files().get(str(path), path)


def read(path: Path, including: tuple[Path, ...] = ()) -> Tree:
    """Keys of a file, merged over those of the files that it includes.

    Paths of `include` are relative to the file. Raises UserError.
    """
    if path.resolve() in including:
        chain = " -> ".join(file.name for file in including)
        raise UserError(f"{path}: includes itself, through {chain}: remove one include")
    if path.is_dir() or not path.exists():
        problem = "no such configuration file"
        if path.is_dir():
            problem = "a folder, not a configuration file"
        names = ", ".join(sorted(system_files()))
        raise UserError(
            f"{path}: {problem}, nor a system ({names}). Recipes have theirs in egs/*/conf/"
        )
    tree = parse_yaml(read_text(path), str(path)) or {}
    if not isinstance(tree, dict):
        raise UserError(f"{path}: has {type(tree).__name__} where `key: value` lines are expected")
    translate(tree, str(path))
    if _is_record(tree):
        complete: Tree = {section: dict(keys) for section, keys in FORMER.items()}
        merge(complete, tree)
        tree = complete
    includes = tree.pop("include", [])
    if isinstance(includes, str):
        includes = [includes]
    merged: Tree = {}
    for name in includes:
        merge(merged, read(path.parent / name, (*including, path.resolve())))
    merge(merged, tree)
    return merged


def _is_record(tree: Tree) -> bool:
    """Whether a resolved configuration was written: it has every section."""
    sections = ("encoder", "branch", "adapter", "llm", "training", "decoding", "scoring")
    return all(section in tree for section in sections)


def read_setting(setting: str) -> Tree:
    """The keys of one `--set section.key=value`. Raises UserError."""
    key, _, text = setting.partition("=")
    value = parse_yaml(text, f"--set {setting}")
    for name in reversed(key.strip().split(".")):
        value = {name: value}
    tree: Tree = value
    return translate(tree, f"--set {setting}")


def parse_yaml(text: str, location: str) -> Any:
    """The value of a YAML text. Raises UserError for a key that stands twice in one section."""
    import yaml

    try:
        _check_unique(yaml.compose(text, Loader=yaml.SafeLoader), location)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{location}: not YAML: {' '.join(str(error).split())}") from error


def _check_unique(node: Any, location: str) -> None:
    """Raises UserError for a key that stands twice in a mapping; YAML would keep the last."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_unique(item, location)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, list[int]] = {}
        for key, value in node.value:
            lines.setdefault(str(key.value), []).append(key.start_mark.line + 1)
            _check_unique(value, location)
        for name, numbers in lines.items():
            if len(numbers) > 1:
                found = " and ".join(map(str, numbers))
                raise UserError(f"{location}: the key '{name}' stands in lines {found}: remove one")


def merge(base: Tree, over: Tree) -> None:
    """Set the values of `over` in `base`; sections are merged key by key."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


# ---- keys of earlier versions --------------------------------------------------------------------


def translate(tree: Tree, location: str) -> Tree:
    """`tree` with the present names of its keys; one Notice per file or option names them."""
    if renamed := rename_keys(tree, location):
        warnings.warn(f"{location}: {', '.join(renamed)}", Notice, stacklevel=2)
    return tree


def rename_keys(tree: Tree, location: str, section: str = "") -> list[str]:
    """Rename the keys of earlier versions in `tree`, in place; returns a sentence for each.

    section: the part of the configuration that `tree` holds; the whole by default. Raises
    UserError if `tree` has a key under both names.
    """
    sentences = []
    for old, new in RENAMED.items():
        *sections, key = old.removeprefix(f"{section}.").split(".")
        part: Any = tree
        for name in sections:
            part = part.get(name) if isinstance(part, dict) else None
        if not isinstance(part, dict) or key not in part:
            continue
        present = ".".join([*old.split(".")[:-1], new])
        if new in part:
            raise UserError(
                f"{location}: has both {old} and {present}, its present name: remove {old}"
            )
        part[new] = part.pop(key)
        sentences.append(f"{old} is now {present}")
    return sentences


# ---- types ---------------------------------------------------------------------------------------


def build(defaults: T, tree: Any, location: str, errors: list[str]) -> T | None:
    """`defaults`, a dataclass, with the values of `tree`; sections keep their other defaults.

    Appends every error to `errors`, with the dotted key as its location.
    """
    if not isinstance(tree, dict):
        errors.append(f"{location}: '{tree}' where a section of keys is expected")
        return None
    hints = typing.get_type_hints(type(defaults), include_extras=True)
    values: Tree = {}
    for key, value in tree.items():
        name = f"{location}.{key}" if location else str(key)
        if key not in hints:
            errors.append(f"{name}: no such key; {_suggestion(str(key), hints)}")
        elif dataclasses.is_dataclass(hints[key]):
            values[key] = build(getattr(defaults, key), value, name, errors)
        else:
            values[key] = convert(hints[key], value, name, errors)
    return None if errors else dataclasses.replace(defaults, **values)  # type: ignore[type-var]


def _suggestion(key: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"


def convert(kind: Any, value: Any, location: str, errors: list[str]) -> Any:
    """`value` as the type of its field. PyYAML reads 2e-4 as a string; here it is a number."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        kind, allowed = arguments
        return _number_in_range(kind, allowed, value, location, errors)
    if origin is Literal:
        value = SYNONYMS.get(location, {}).get(value, value)
        if value not in arguments:
            errors.append(f"{location}: '{value}' is not one of {', '.join(map(str, arguments))}")
        return value
    if origin is list:
        if isinstance(value, list):
            items = enumerate(value)
            return [convert(arguments[0], item, f"{location}[{i}]", errors) for i, item in items]
        errors.append(f"{location}: '{value}' where a list is expected")
        return []
    if origin in (typing.Union, types.UnionType):
        kind = next(argument for argument in arguments if argument is not type(None))
    return _scalar(kind, value, location, errors)


def _number_in_range(
    kind: Any, allowed: Range, value: Any, location: str, errors: list[str]
) -> Any:
    number = convert(kind, value, location, errors)
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    if is_number and not allowed.holds(number):
        errors.append(f"{location}: '{value}' is not {allowed.description}")
    return number


def _scalar(kind: Any, value: Any, location: str, errors: list[str]) -> Any:
    is_bool = isinstance(value, bool)
    if kind is float and not is_bool:
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    elif kind is str and value is None:  # `key:` without a value
        return ""
    elif kind is str and isinstance(value, (int, float)) and not is_bool:
        return str(value)
    elif isinstance(value, kind) and not (kind is int and is_bool):
        return value
    expected = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}[kind]
    errors.append(f"{location}: '{value}' where {expected} is expected")
    return value


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every key."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
