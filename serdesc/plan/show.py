"""Prints a plan: tables with units, the options to paste, and the assumptions."""

from __future__ import annotations

from typing import Any

from serdesc.scoring import terminal

Rows = list[list[str]]
Tree = dict[str, Any]  # the plan (planner.plan)
TOKEN_COUNTS = ("prompt", "speech", "target", "with padding")


def gb(size: float) -> str:
    """Bytes as GB; two significant digits below 0.01 GB."""
    return f"{size / 1e9:,.2f}" if size >= 1e7 else f"{size / 1e9:.2g}"


def hours(value: float) -> str:
    """A duration in hours, minutes or seconds."""
    if value >= 1:
        return f"{value:,.1f} h"
    if value >= 1 / 60:
        return f"{60 * value:.1f} min"
    return f"{3600 * value:.0f} s"


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
            indent = "    " if line.startswith("  - ") else ""
            terminal.print_lines([line], indent)


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
        count = sum(p["parameters"] for p in group)
        rows.append([label, f"{count:,}", "", gb(sum(p["bytes"] for p in group)), ""])
    return "parameters", [["part", "parameters", "trained", "GB", "shape from"], *rows]


def features(tree: Tree) -> tuple[str, Rows]:
    section = tree["features"]
    rows: Rows = []
    for dtype, size in section["bytes"].items():
        mark = "store.dtype" if dtype == section["dtype"] else ""
        rows.append([dtype, gb(size), mark])
    title = (
        f"features on disk: {section['utterances']:,} utterances, "
        f"{section['hours of speech']:.2f} h of speech; {section['free GB']:,.0f} GB are free here"
    )
    return title, [["precision", "GB", ""], *rows]


def tokens(tree: Tree) -> tuple[str, Rows]:
    section = tree["tokens"]
    rows: Rows = []
    for phase, row in section["epoch"].items():
        counts = [f"{row[name]:,.0f}" for name in TOKEN_COUNTS]
        work = [_tflop(row["forward"]), _tflop(row["backward"])]
        name = phase if phase == "pretraining" else f"{phase} phase"
        rows.append([f"{name}, an epoch", *counts, *work])
    rows.append(["encoder, all data once", "", "", "", "", _tflop(section["encoder"]), ""])
    decoding = section["decoding"]
    rows.append(
        [
            f"decoding {decoding['utterances']:,} utterances",
            "",
            "",
            f"{decoding['steps']:,.0f} steps",
            "",
            _tflop(decoding["reading"]),
            "",
        ]
    )
    head = ["", *TOKEN_COUNTS, "TFLOP forward", "backward"]
    return "tokens and work of one fold", [head, *rows]


def _tflop(flops: float) -> str:
    return f"{flops / 1e12:,.4g}"


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
    condition = "" if live else ", if they were"
    machine = tree["machine"]
    if tree["gpus"] > 1:
        machine = f"{tree['gpus']} {machine}: training on all, the rest on one"
    rows = [
        ["extraction, once", "live" if live else hours(section["extraction"])],
        ["training of a fold, all phases and epochs", hours(section["training"])],
        ["decoding of a fold's test part", hours(section["decoding"])],
        [f"all, {section['folds']} fold(s)", hours(section["all"])],
        [
            f"features computed live: in each fold's training{condition}",
            hours(section["live adds"]),
        ],
    ]
    return f"time on {machine}", [["", "time"], *rows]


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
