"""A plan on the terminal: tables with units, the line to paste, and what was assumed."""

from __future__ import annotations

from typing import Any, Callable

from serdesc.scoring import terminal

Rows = list[list[str]]
Tree = dict[str, Any]  # the plan, as JSON


def gb(size: float) -> str:
    """Bytes as GB, three digits of small ones."""
    return f"{size / 1e9:,.2f}" if size >= 1e7 else f"{size / 1e9:.2g}"


def hours(value: float) -> str:
    """Hours, and minutes or seconds where they say more."""
    if value >= 1:
        return f"{value:,.1f} h"
    return f"{60 * value:.1f} min" if value >= 1 / 60 else f"{3600 * value:.0f} s"


def show(tree: Tree) -> None:
    for title, rows in (
        parameters(tree),
        features(tree),
        tokens(tree),
        memory(tree),
        *([times(tree)] if tree["hours"] else []),
    ):
        terminal.print_table(rows, title)
    print("\n".join(closing(tree)))


def parameters(tree: Tree) -> tuple[str, Rows]:
    models, parts = tree["models"], tree["parameters"]
    named = {
        "encoder": (f"encoder {models['encoder']}", models["encoder shape from"]),
        "LLM": (f"LLM {models['llm']}", models["llm shape from"]),
    }
    rows = []
    for p in parts:
        name, source = named.get(p["name"], (p["name"], ""))
        rows.append(
            [
                name,
                f"{p['parameters']:,}",
                "yes" if p["trained"] else "frozen",
                gb(p["bytes"]),
                source,
            ]
        )
    for said, wanted in (("all trained", True), ("all frozen", False)):
        chosen = [p for p in parts if p["trained"] is wanted]
        rows.append(
            [
                said,
                f"{sum(p['parameters'] for p in chosen):,}",
                "",
                gb(sum(p["bytes"] for p in chosen)),
                "",
            ]
        )
    return "parameters", [["part", "parameters", "trained", "GB", "shape from"], *rows]


def features(tree: Tree) -> tuple[str, Rows]:
    told = tree["features"]
    rows = [
        [dtype, gb(size), "store.dtype" if dtype == told["dtype"] else ""]
        for dtype, size in told["bytes"].items()
    ]
    title = f"features on disk: {told['utterances']:,} utterances, {told['hours of speech']:.2f} h of speech; {told['free GB']:,.0f} GB are free here"
    return title, [["precision", "GB", ""], *rows]


def tokens(tree: Tree) -> tuple[str, Rows]:
    found = tree["tokens"]
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
        for phase, row in found["epoch"].items()
    ]
    rows.append(["encoder, all data once", "", "", "", "", f"{found['encoder'] / 1e12:,.4g}", ""])
    decoding = found["decoding"]
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
    found = tree["memory"]
    rows = [[f"training: {name}", gb(size)] for name, size in found["rows"].items() if size]
    rows += [[f"**training, {found['part']} utterance(s) at a time**", gb(found["training"])]]
    names = (
        "without checkpointing",
        "with checkpointing",
        "as configured",
        "extraction",
        "decoding",
        "features waiting in main memory",
    )
    rows += [[f"training {name}" if name in names[:3] else name, gb(found[name])] for name in names]
    room = f"peak memory, of {found['room GB']:.4g} GB"
    return f"{room} less {found['spare GB']:g} GB that are not the model's", [["", "GB"], *rows]


def times(tree: Tree) -> tuple[str, Rows]:
    found, live = tree["hours"], tree["features"]["live"]
    rows = [
        ["extraction, once", "live" if live else hours(found["extraction"])],
        ["training of a fold, all phases and epochs", hours(found["training"])],
        ["decoding of a fold's test part", hours(found["decoding"])],
        [f"all, {found['folds']} fold(s)", hours(found["all"])],
        [
            "features computed live: in each fold's training" + ("" if live else ", if they were"),
            hours(found["live adds"]),
        ],
    ]
    return f"time on {tree['machine']}", [["", "time"], *rows]


def closing(tree: Tree) -> list[str]:
    lines = []
    if not tree["fits"]:
        lines.append(
            f"Nothing fits: training takes {gb(tree['memory']['training'])} GB and decoding {gb(tree['memory']['decoding'])} GB at least, with"
        )
        lines.append(
            f"{_settings(tree)}. Take a smaller llm.model, or a lower training.max_seconds: the longest utterances decide."
        )
    elif tree["settings"]:
        lines.append(f"To fit, add: {_settings(tree)}")
    else:
        lines.append("It fits as configured.")
    if tree["features"]["live"]:
        smaller = tree["features"]["bytes"]["int8"] / 1e9
        way = (
            f", or --set store.dtype=int8 ({smaller:,.1f} GB)"
            if smaller <= tree["features"]["free GB"]
            else ""
        )
        lines.append(f"Features do not fit on this disk: take STORE `live`{way}.")
    if not tree["hours"]:
        lines.append(
            "For hours: --gpu NAME (a line of serdesc/plan/cards.yaml), or --calibrate to measure this machine."
        )
    return [*lines, "Assumed:", *(f"  - {line}" for line in tree["assumed"])]


def _settings(tree: Tree) -> str:
    return " ".join(f"--set {setting}" for setting in tree["settings"])
