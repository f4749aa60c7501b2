"""How dense the code is: nested statements, comprehensions, long lines, functions and files.

    tools/venv/bin/python tools/bench/density.py serdesc            # one package, or several
    tools/venv/bin/python tools/bench/density.py --list serdesc     # also every nested statement

A nested statement contains two or more comprehensions, generator expressions, lambdas or
conditional expressions; the body of a compound statement counts as statements of its own.
"""

from __future__ import annotations

import argparse
import ast
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

WIDTH = 100  # columns
LONG_FILE = 400  # lines
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
NESTING = (*COMPREHENSIONS, ast.Lambda, ast.IfExp)


@dataclass
class Density:
    """Figures of a package."""

    lines: int = 0
    statements: int = 0
    comprehensions: int = 0
    long_lines: int = 0
    nested: list[str] = field(default_factory=list)  # file:line
    functions: list[tuple[int, str]] = field(default_factory=list)  # lines, file:name
    files: list[tuple[int, str]] = field(default_factory=list)  # lines, file


def expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """Nodes of a statement without the statements in its body, and without nested functions."""
    waiting = list(ast.iter_child_nodes(statement))
    while waiting:
        node = waiting.pop()
        if not isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            yield node
            waiting += ast.iter_child_nodes(node)


def measure(folder: Path) -> Density:
    """Figures of all Python files of a folder."""
    density = Density()
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        density.lines += len(lines)
        density.long_lines += sum(len(line) > WIDTH for line in lines)
        density.files.append((len(lines), str(path)))
        for node in ast.walk(ast.parse(text)):
            density.comprehensions += isinstance(node, COMPREHENSIONS)
            if isinstance(node, ast.stmt):
                density.statements += 1
                count = sum(isinstance(part, NESTING) for part in expressions(node))
                if count > 1:
                    density.nested.append(f"{path}:{node.lineno}")
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                density.functions.append((length, f"{path}:{node.lineno} {node.name}"))
    return density


def report(name: str, density: Density) -> None:
    """Print the figures of a package."""
    lengths = sorted(length for length, _ in density.functions)
    tenth = statistics.quantiles(lengths, n=10)[-1]
    thousands, hundreds = density.lines / 1000, density.lines / 100
    print(f"{name}: {density.lines} lines, {density.statements} statements")
    print(f"  nested statements per 1,000 lines   {len(density.nested) / thousands:8.2f}")
    print(f"  comprehensions per 100 lines        {density.comprehensions / hundreds:8.2f}")
    print(f"  lines over {WIDTH} columns              {density.long_lines:5d}")
    print(f"  lines of a function: median         {statistics.median(lengths):8.1f}")
    print(f"  lines of a function: 90th percentile{tenth:8.1f}")
    long_files = sum(count > LONG_FILE for count, _ in density.files)
    print(f"  files over {LONG_FILE} lines                {long_files:5d}")
    print("  longest functions:")
    for length, place in sorted(density.functions, reverse=True)[:10]:
        print(f"    {length:4d}  {place}")
    print("  longest files:")
    for length, place in sorted(density.files, reverse=True)[:3]:
        print(f"    {length:4d}  {place}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--list", action="store_true", help="print every nested statement")
    arguments = parser.parse_args()
    for folder in arguments.folders:
        density = measure(folder)
        report(str(folder), density)
        if arguments.list:
            print("  nested statements:")
            print("\n".join(f"    {place}" for place in density.nested))


if __name__ == "__main__":
    main()
