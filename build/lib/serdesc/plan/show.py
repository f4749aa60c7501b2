"""Prints a plan: tables with units, the options to paste, and the assumptions."""

from __future__ import annotations

from typing import Any, Callable

from serdesc.scoring import terminal

Rows = list[list[str]]
Tree = dict[str, Any]  # the plan (planner.plan)


def gb(size: float) -> str:
    """Bytes as GB; two significant digits below 0.01 GB."""
    return f"{size / 1e9:,.2f}" if size >= 1e7 else f"{size / 1e9:.2g}"


def hours(value: float) -> str:
    """A duration in hours, minutes or seconds."""
    if value >= 1:
        return f"{value:,.1f} h"
    return f"{60 * value:.1f} min" if value >= 1 / 60 else f"{3600 * value:.0f} s"


def show(tree: Tree) -> None:
    """Print all sections of a plan."""
    sections = [parameters(tree), features(tree), tokens(tree), memory(tree)]
    if tree["hours"]:
        sections.append(times(tree))
    for title, rows in sections:
        terminal.print_table(rows, title)
    for line in conclusion(tree):
        if line.startswith("--set "):
            terminal.print_command(_options(tree))
        else:
            terminal.print_lines([line], "    " if line.startswith("  - ") else "")


def parameters(tree: Tree) -> tuple[str, Rows]:
    models, parts = tree["models"], tree["parameters"]
    named = {
        "encoder": (f"encoder {models['encoder']}", models["encoder shape from"]),
        "LLM": (f"LLM {models['llm']}", models["llm shape from"]),
    }
    rows = []
    for p in parts:
        name, source = named.get(p["name"], (p["name"], ""))
        trained = "yes" if p["trained"] else "frozen"
        rows.append([name, f"{p['parameters']:,}", trained, gb(p["bytes"]), source])
    for label, is_trained in (("all trained", True), ("all frozen", False)):
        group = [p for p in parts if p["trained"] is is_trained]
        count, size = sum(p["parameters"] for p in group), sum(p["bytes"] for p in group)
        rows.append([label, f"{count:,}", "", gb(size), ""])
    return "parameters", [["part", "parameters", "trained", "GB", "shape from"], *rows]


def features(tree: Tree) -> tuple[str, Rows]:
    section = tree["features"]
    rows = [
        [dtype, gb(size), "store.dtype" if dtype == section["dtype"] else ""]
        for dtype, size in section["bytes"].items()
    ]
    title = (
        f"features on disk: {section['utterances']:,} utterances, "
        f"{section['hours of speech']:.2f} h of speech; {section['free GB']:,.0f} GB are free here"
    )
    return title, [["precision", "GB", ""], *rows]


def tokens(tree: Tree) -> tuple[str, Rows]:
    section = tree["tokens"]
    columns: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("prompt", lambda row: f"{row['prompt']:,.0f}"),
        ("speech", lambda row: f"{row['speech']:,.0f}"),
        ("target", lambda row: f"{row['target']:,.0f}"),
        ("with padding", lambda row: f"{row['with padding']:,.0f}"),
        ("TFLOP forward", lambda row: f"{row['forward'] / 1e12:,.4g}"),
        ("backward", lambda row: f"{row['backward'] / 1e12:,.4g}"),
    ]
    rows = [
        [f"{phase} phase, an epoch", *(cell(row) for _, cell in columns)]
        for phase, row in section["epoch"].items()
    ]
    rows.append(["encoder, all data once", "", "", "", "", f"{section['encoder'] / 1e12:,.4g}", ""])
    decoding = section["decoding"]
    rows.append(
        [
            f"decoding {decoding['utterances']:,} utterances",
            "",
            "",
            f"{decoding['steps']:,.0f} steps",
            "",
            f"{decoding['reading'] / 1e12:,.4g}",
            "",
        ]
    )
    return "tokens and work of one fold", [["", *(name for name, _ in columns)], *rows]


def memory(tree: Tree) -> tuple[str, Rows]:
    section = tree["memory"]
    rows = [[f"training: {name}", gb(size)] for name, size in section["rows"].items() if size]
    rows += [[f"**training, {section['part']} utterance(s) at a time**", gb(section["training"])]]
    names = (
        "without checkpointing",
        "with checkpointing",
        "as configured",
        "extraction",
        "decoding",
        "features waiting in main memory",
    )
    for name in names:
        label = f"training {name}" if name in names[:3] else name
        rows.append([label, gb(section[name])])
    room = f"peak memory, of {section['room GB']:.4g} GB"
    return f"{room} less {section['spare GB']:g} GB that are not the model's", [["", "GB"], *rows]


def times(tree: Tree) -> tuple[str, Rows]:
    section, live = tree["hours"], tree["features"]["live"]
    rows = [
        ["extraction, once", "live" if live else hours(section["extraction"])],
        ["training of a fold, all phases and epochs", hours(section["training"])],
        ["decoding of a fold's test part", hours(section["decoding"])],
        [f"all, {section['folds']} fold(s)", hours(section["all"])],
        [
            "features computed live: in each fold's training" + ("" if live else ", if they were"),
            hours(section["live adds"]),
        ],
    ]
    return f"time on {tree['machine']}", [["", "time"], *rows]


def conclusion(tree: Tree) -> list[str]:
    """Whether it fits, the options to paste, further steps, and the assumptions; one per line."""
    options = " ".join(_options(tree))
    lines: list[str] = []
    if not tree["fits"]:
        lines += [
            f"Nothing fits: training takes {gb(tree['memory']['training'])} GB and decoding "
            f"{gb(tree['memory']['decoding'])} GB at least, with",
            options or "the settings as configured.",
            "Use a smaller llm.model, or a lower training.max_seconds: the longest utterances "
            "determine the peak.",
        ]
    elif tree["settings"]:
        lines += ["To fit, add:", options]
    else:
        lines.append("It fits as configured.")
    if tree["features"]["live"]:
        int8 = tree["features"]["bytes"]["int8"] / 1e9
        alternative = ""
        if int8 <= tree["features"]["free GB"]:
            alternative = f", or --set store.dtype=int8 ({int8:,.1f} GB)"
        lines.append(f"Features do not fit on this disk: use STORE `live`{alternative}.")
    if not tree["hours"]:
        lines.append(
            "For hours: --gpu NAME (a line of serdesc/plan/cards.yaml), or --calibrate to measure "
            "this machine."
        )
    return [*lines, "Assumed:", *(f"  - {line}" for line in tree["assumed"])]


def _options(tree: Tree) -> list[str]:
    return [f"--set {setting}" for setting in tree["settings"]]
