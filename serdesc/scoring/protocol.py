"""What was run, in words: the name of a row of measured figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

Tree = Mapping[str, Any]  # EXP/fold<k>/config.yaml


def described(config: Tree) -> str:
    """Training strategy, outputs, beta with its reduction, epochs and models of an experiment.

    For example: alternating, β 0.01 (mean over K 64), 8 + 8 epochs, hubert-mini, llama-mini.
    """
    if not config:
        return "no config.yaml"
    parts = [_strategy(config), _outputs(config), _bottleneck(config), _epochs(config)]
    parts.append(_name(config, "encoder"))
    if config.get("model") != "ssl_baseline":
        parts.append(_name(config, "llm"))
    return ", ".join(part for part in parts if part)


def _strategy(config: Tree) -> str:
    if config.get("model") == "ssl_baseline":
        return "pooled classifier and CTC"
    return str(config.get("training", {}).get("strategy", ""))


def _outputs(config: Tree) -> str:
    target = config.get("target", {})
    absent = [name for name in ("transcript", "descriptors", "emotion") if not target.get(name, 1)]
    if config.get("model") == "ssl_baseline" or not absent:
        return ""
    return "no " + " and no ".join(absent)


def _bottleneck(config: Tree) -> str:
    model = config.get("model", "describer")
    if model == "ssl_baseline":
        return ""
    if model == "undivided":
        return "no branches"
    training, branch = config.get("training", {}), config.get("branch", {})
    beta = float(training.get("beta", 0))
    if not branch.get("noise", True):
        return "z = mu" + (f", β {beta:g}" if beta else ", no KL")
    # records of versions without the key were trained with the sum
    return f"β {beta:g} ({training.get('kl', 'sum')} over K {branch.get('latent')})"


def _epochs(config: Tree) -> str:
    training = config.get("training", {})
    phases = ["content", "descriptor"]
    if training.get("strategy") == "one-stage":
        phases = ["descriptor"]
    counts = [str(training.get(phase, {}).get("epochs", "?")) for phase in phases]
    return f"{' + '.join(counts)} epochs"


def _name(config: Tree, section: str) -> str:
    return Path(str(config.get(section, {}).get("model", ""))).name
