"""The package: imports in one direction without cycles, shell syntax, length of files."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Along the data flow. A module may import from levels before its own, and from its own level.
LEVELS = (
    ("errors", "printable"),
    ("files", "builtin", "plugins", "f0"),
    ("manifest",),
    ("configfile",),
    ("config",),
    ("progress", "captions"),
    ("runtime", "data"),
    ("features", "scoring"),
    ("models", "report"),
    ("training", "inference"),
    ("plan", "export"),
    ("api", ""),
    ("cli",),
)


def room(module: str) -> str:
    """The part of the package that a module belongs to; the package itself is the empty name."""
    return (module.split(".") + [""])[1]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "serdesc":
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "serdesc"
                else [str(node.module)]
            )
            found |= {room(name) for name in names if room(name) != "__version__"}
        elif isinstance(node, ast.Import):
            found |= {
                room(alias.name) for alias in node.names if alias.name.split(".")[0] == "serdesc"
            }
    return found


@pytest.mark.parametrize(
    "path", sorted((ROOT / "serdesc").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_run_along_the_data(path: Path) -> None:
    level = {name: number for number, names in enumerate(LEVELS) for name in names}
    own = path.relative_to(ROOT / "serdesc").parts[0].removesuffix(".py").replace("__init__", "")
    assert own in level, f"{own} is in no level: add it to LEVELS"
    for name in imports(path):
        assert level[name] <= level[own], f"{own} imports {name}, which comes after it"
    pair = {"training", "inference"}
    assert not (
        own in pair and imports(path) & (pair - {own})
    ), "training and inference do not import each other"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_files(path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules of the package that are imported when `path` is; imports inside functions do not
    count.
    """
    found = set()
    tree = ast.parse(path.read_text())
    inside = {
        id(n)
        for f in ast.walk(tree)
        if isinstance(f, (ast.FunctionDef, ast.If))
        for n in ast.walk(f)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in inside and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in names} & modules.keys()
    return found - {module_name(path)}


def test_no_import_cycle_between_files() -> None:
    modules = {module_name(path): path for path in (ROOT / "serdesc").rglob("*.py")}
    left = {name: imported_files(path, modules) for name, path in modules.items()}
    while free := [name for name, needs in left.items() if not needs]:
        for name in free:
            del left[name]
        for needs in left.values():
            needs -= set(free)
    assert not left, f"import cycle among {sorted(left)}"


def test_scoring_data_and_report_import_no_torch() -> None:
    for path in [
        *(ROOT / "serdesc" / "scoring").rglob("*.py"),
        *(ROOT / "serdesc" / "report").rglob("*.py"),
        *(ROOT / "serdesc" / "data").rglob("*.py"),
    ]:
        assert "torch" not in {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not imports(path) & {"runtime", "features", "models", "training", "inference"}, path


def test_files_stay_readable() -> None:
    sources = [*(ROOT / "serdesc").rglob("*.py"), *(ROOT / "egs").rglob("*.py")]
    for path in [*sources, *(ROOT / "serdesc/report/assets").iterdir()]:
        if "downloads" not in path.parts:
            assert len(path.read_text().splitlines()) <= 400, f"{path} is too long: split it"


def test_shell_scripts_parse_and_run() -> None:
    scripts = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "*.sh", ".ci/run"], capture_output=True, text=True
    ).stdout.split()
    for name in scripts:
        subprocess.run(["bash", "-n", str(ROOT / name)], check=True)
        assert (ROOT / name).stat().st_mode & 0o100 or Path(name).name in (
            "path.sh",
            "cmd.sh",
            "parse_options.sh",
            "stage.sh",
            "systems.sh",
            "training.sh",
            "jobs.sh",
        ), f"{name} has no run bit"
