"""serdesc config"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from serdesc.cli.command import ConfigFile, Set, command
from serdesc.errors import UserError


@command
def config(
    key: Annotated[
        str,
        typer.Argument(metavar="KEY", help="For example encoder.model; all keys by default."),
    ] = "",
    config_files: ConfigFile = None,
    settings: Set = None,
) -> None:
    """Print the resolved configuration of files, systems and settings, or the value of one key.

    Example:

        serdesc config training --config conf/mini.yaml --config two_stage
    """
    import yaml

    from serdesc import config as configs

    value = _value(key, asdict(configs.load(config_files, settings)))
    if isinstance(value, (dict, list)):
        value = yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")
    typer.echo(value)


def _value(key: str, tree: Any) -> Any:
    section = "the configuration"
    for name in key.split(".") if key else ():
        if not isinstance(tree, dict):
            raise UserError(f"{key}: {section} has no '{name}'; it is a value")
        if name not in tree:
            raise UserError(f"{key}: {section} has no '{name}'; it has {', '.join(tree)}")
        tree, section = tree[name], name
    return tree
