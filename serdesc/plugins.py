"""What is found beside the package: a user's folder of plug-ins, and optional packages.

SERDESC_PLUGINS/{corpora,metrics,traits}/<name>.py and SERDESC_PLUGINS/systems/<name>.yaml are found
as if they were part of the package, so a corpus, a metric, a descriptor or a system is one file
wherever it is.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from serdesc.errors import UserError

# Modules that plug-ins written for version 0.1 import, and their present names.
MOVED = {
    "serdesc.fields": "serdesc.captions.fields",
    "serdesc.reader": "serdesc.captions.reader",
    "serdesc.tasks": "serdesc.captions.writer",
    "serdesc.traits": "serdesc.captions.traits",
}


def folders(kind: str) -> list[str]:
    """The folder of one kind of plug-ins, if it exists, to be appended to a package's __path__."""
    base = os.environ.get("SERDESC_PLUGINS", "")
    return [str(Path(base, kind))] if base and Path(base, kind).is_dir() else []


def installed(module: str, extra: str, package: str) -> Any:
    """An optional module. Raises UserError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{package} is needed here and not installed ({error}): pip install "
            f'"serdesc[{extra}]"'
        ) from error


class _MovedModules(Loader, MetaPathFinder):
    """Imports a module of MOVED by its former name."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return spec_from_loader(name, self) if name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        present = vars(importlib.import_module(MOVED[module.__name__]))
        vars(module).update({name: value for name, value in present.items() if name[:2] != "__"})


sys.meta_path.append(_MovedModules())
