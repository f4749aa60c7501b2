"""How the trained branches use their latents and the encoder's layers, from train.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serdesc.files import read_jsonl
from serdesc.scoring.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd

Rows = list[dict[Any, Any]]
TITLE = "branches at the end of training, means over folds and seeds"


def table(experiment: Experiment) -> pd.DataFrame:
    """Text cells, one row per branch: KL per frame and dimension, active dimensions, layer weights.

    KL and active dimensions are means over the last epoch that trains the branch; empty for
    experiments whose log has neither.
    """
    import pandas as pd

    rows: Rows = []
    for fold in experiment.folds:
        path = fold / "train.jsonl"
        rows += _last_epochs(read_jsonl(path, growing=True)) if path.exists() else []
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows).groupby("branch", sort=False).mean()
    latent = experiment.config.get("branch", {}).get("latent")
    cells: dict[str, Any] = {"branch": frame.index}
    if "kl" in frame:
        cells["KL per frame and dimension, nats"] = frame["kl"].map("{:.4f}".format)
        cells["active dimensions"] = frame["active"].map(f"{{:.1f}} of {latent}".format)
    layers = [column for column in frame if isinstance(column, int)]
    weights = frame[layers].map("{:.3f}".format).agg(" ".join, axis=1)
    cells[f"weights of layers {layers[0]} to {layers[-1]}"] = weights
    return pd.DataFrame(cells, dtype=object).reset_index(drop=True)


def _last_epochs(log: Rows) -> Rows:
    """One row per branch: of the last epoch of the phase that trains it."""
    rows: dict[str, dict[Any, Any]] = {}
    epochs: dict[tuple[str, int], Rows] = {}
    for step in log:
        epochs.setdefault((step["phase"], step["epoch"]), []).append(step)
    for steps in epochs.values():  # in order: later epochs replace earlier ones
        for branch, weights in steps[-1].get("layer_weights", {}).items():
            row: dict[Any, Any] = {"branch": branch, **_use(branch, steps)}
            rows[branch] = row | dict(enumerate(weights, start=1))
    return list(rows.values())


def _use(branch: str, steps: Rows) -> dict[str, float]:
    used = [step["latents"][branch] for step in steps if branch in step.get("latents", {})]
    if not used:
        return {}
    kl = sum(use["kl_per_dimension"] for use in used) / len(used)
    active = sum(use["active_dimensions"] for use in used) / len(used)
    return {"kl": kl, "active": active}
