"""The card of a shared model, in the form of the Hugging Face hub: YAML, then Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serdesc.config import Config
from serdesc.files import read_json
from serdesc.training.phases import phases_of

NOT_THE_PAPER = "No figure on this card is a number of the paper whose method it follows."


def text(exp: Path, config: Config, name: str, licence: str, version: str) -> str:
    """The card of the model of a fold."""
    base = [config.encoder.model]
    if config.model != "ssl_baseline":
        base.append(config.llm.model)
    head = ["---", "library_name: serdesc", "pipeline_tag: audio-text-to-text"]
    head += ["tags: [speech-emotion-recognition, audio-captioning, lora, peft]"]
    if licence:
        head.append(f"license: {licence}")
    head += ["base_model:", *(f"- {model}" for model in base), "---"]
    environment = _read(exp / "env.json")
    phases = phases_of(config.training)
    lines = [
        f"# {name}",
        "",
        "Captions of speech: transcript, pitch, energy, speed, age, gender, emphasis and emotion."
        f" Branches and LoRA over {' and '.join(base)}, trained by"
        f" [serdesc](https://pypi.org/project/serdesc) {version}.",
        "",
        "## Use",
        "",
        f"    pip install serdesc=={version}",
        "    serdesc describe --model PATH_OF_THIS_FOLDER recording.wav",
        "",
        "    import serdesc",
        '    model = serdesc.load("PATH_OF_THIS_FOLDER")',
        '    print(model.describe_file("recording.wav").caption)',
        "",
        "The folder has no code and no weights of the base models: they are loaded by their names.",
        "",
        "## Training",
        "",
        f"- {config.training.strategy}: "
        + ", ".join(f"{phase} {of.epochs} epochs, lr {of.lr:g}" for phase, of in phases.items()),
        f"- beta {config.training.beta:g} (KL: {config.training.kl}), latent dimensions"
        f" {config.branch.latent}, k {config.adapter.k}, LoRA r {config.llm.lora.r}",
        f"- labels: pitch {config.measure.pitch}, energy {config.measure.energy}, speed"
        f" {config.measure.speed}; folds by {config.folds.rule}; seed {config.seed}",
        f"- commit {environment.get('commit')}, {environment.get('processor')}"
        + (f", {environment['gpu']}" if environment.get("gpu") else ""),
        f"- licence: {licence or 'not stated'}",
        "",
        *_scores(exp),
    ]
    return "\n".join([*head, "", *lines]) + "\n"


def _scores(exp: Path) -> list[str]:
    """Tables of the fold's scores, and of all folds if they are reported."""
    lines = ["## Scores", ""]
    for path in sorted(exp.glob("decode_*/score.json")):
        part = path.parent.name.removeprefix("decode_")
        lines += [f"This model, {part} part of its fold ({exp.name}):", "", *_table(_read(path))]
    for path in sorted(exp.parent.glob("score_*.json")):
        part, pooled = path.stem.removeprefix("score_"), _read(path)
        folds = ", ".join(pooled.get("folds", []))
        lines += [f"All folds of the experiment ({folds}), {part} parts:", "", *_table(pooled)]
    if len(lines) == 2:
        return [*lines, "This model has not been scored."]
    lines += [f"{NOT_THE_PAPER} An answer without an emotion counts as wrong."]
    return lines


def _table(scores: dict[str, Any]) -> list[str]:
    """Markdown of the scores that have a value, with the share of answers without an emotion."""
    rows = ["| metric | value | chance | 95 % | n | signature |", "|---|---|---|---|---|---|"]
    unread = ""
    for score in scores["scores"]:
        if score["value"] is None:
            continue
        low, high = score["interval"] or (None, None)
        interval = "" if low is None else f"{low:.1f} to {high:.1f}"
        chance = "" if score["chance"] is None else f"{score['chance']:.1f}"
        signature = score["signature"].replace("|", " ")
        rows.append(
            f"| {score['metric']} | {score['value']:.2f} | {chance} | {interval} | {score['n']} |"
            f" {signature} |"
        )
        counts = score["counts"]
        if score["metric"] == "ua" and counts.get("n"):
            unread = (
                f"No emotion could be read from {100 * counts.get('unread', 0) / counts['n']:.1f} %"
            )
    return [*rows, "", *([f"{unread} of the answers.", ""] if unread else [])]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found
