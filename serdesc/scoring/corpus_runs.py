"""The experiments of one corpus, for the paper's tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Mapping, Sequence

from serdesc.captions import traits
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.scoring import paper
from serdesc.scoring.experiment import Experiment, scored_folds
from serdesc.scoring.metric import Metric
from serdesc.scoring.report import BASELINES, ZERO_SHOT

NOT_RUN = "not_run.txt"  # in the directory of an experiment that was not run: the reason
CAPTIONS = ("bleu4", "meteor", "rouge_l", "cider", "spice", "spider", "sentence_similarity")
DESCRIPTORS = ("pitch", "energy", "speed", "age", "gender", "emphasis", *traits.by_name())


@dataclass(frozen=True)
class CorpusRuns:
    """The experiments of one corpus: the paper's systems, and all others."""

    name: str
    systems: Mapping[str, Experiment]
    zero_shot: Mapping[str, Experiment]  # system -> its run without training on the corpus
    others: Mapping[str, Experiment]  # by directory name
    absent: Mapping[str, str]  # system -> why it was not run
    # metric -> score of the constant baseline; empty without `serdesc baselines`
    constant: Mapping[str, float | None]

    @cached_property
    def every(self) -> list[Experiment]:
        return [*self.systems.values(), *self.zero_shot.values(), *self.others.values()]

    @cached_property
    def scored(self) -> set[str]:
        """The metrics that at least one experiment has."""
        return set().union(*(experiment.signatures for experiment in self.every))

    @classmethod
    def open(cls, argument: str, part: str, config: Config) -> CorpusRuns:
        """From `NAME=DIRECTORY` or a directory such as egs/mini/exp, whose corpus is then mini.

        Raises UserError if there is no experiment, or if two are the same system.
        """
        name, equals, directory = argument.rpartition("=")
        folder = Path(directory)
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such directory. Give one that contains experiments, for example "
                "egs/mini/exp or mini=egs/mini/exp"
            )
        if any(folder.glob("fold*")) or any(folder.glob("seed*")):
            paths = scored = [folder]
        else:
            paths = sorted(path for path in folder.iterdir() if path.is_dir())
            scored = [path for path in paths if scored_folds(path, part)]
        experiments = [Experiment.open(path, part, config) for path in scored]
        absent: dict[str, str] = {}
        for path in paths:
            if (path / NOT_RUN).exists():
                absent[path.name] = (path / NOT_RUN).read_text(encoding="utf-8").strip()
        if not experiments and not absent:
            raise UserError(
                f"{folder}: no scored experiment in it (fold*/decode_{part}/score.json). "
                "Train, decode and score first"
            )
        systems, zero_shot = _by_system(experiments)
        rows = [*systems.values(), *zero_shot.values()]
        others = {e.path.name: e for e in experiments if e not in rows}
        if not equals:
            name = folder.resolve().parent.name if folder.name == "exp" else folder.name
            name += _translated(experiments)
        return cls(name, systems, zero_shot, others, absent, _constant([folder, *paths]))

    def check_signatures(self, metrics: Sequence[Metric]) -> None:
        """Raises UserError if experiments have different signatures of a metric."""
        for metric in metrics:
            by_signature: dict[str, Experiment] = {}
            for experiment in self.every:
                if metric.name in experiment.signatures and not excluded(experiment, metric):
                    by_signature.setdefault(experiment.signatures[metric.name], experiment)
            if len(by_signature) > 1:
                (one, a), (other, b) = list(by_signature.items())[:2]
                raise UserError(
                    f"{self.name}: the signature of {metric.name} is {one} in {a.path}, and "
                    f"{other} in {b.path}: these do not belong into one column. "
                    "Score both with one configuration."
                )


def _translated(experiments: Sequence[Experiment]) -> str:
    """Suffix of the name of a corpus whose references a machine translated."""
    for experiment in experiments:
        if any("|translated:" in signature for signature in experiment.signatures.values()):
            return " (machine-translated)"
    return ""


def _by_system(
    experiments: Sequence[Experiment],
) -> tuple[dict[str, Experiment], dict[str, Experiment]]:
    """The paper's systems, and their zero-shot runs.

    Of several experiments of one system, the one whose directory has the system's name is used.
    """

    def differs_from_system(experiment: Experiment) -> bool:
        name = experiment.path.name.removesuffix(ZERO_SHOT)
        return bool(name != experiment.config.get("system"))

    systems: dict[str, Experiment] = {}
    zero_shot: dict[str, Experiment] = {}
    names = paper.systems()
    for experiment in sorted(experiments, key=differs_from_system):
        system = str(experiment.config.get("system") or "")
        if system not in names:
            continue
        group = zero_shot if experiment.path.name.endswith(ZERO_SHOT) else systems
        first = group.setdefault(system, experiment)
        if first is not experiment and differs_from_system(first):
            raise UserError(
                f"{experiment.path} and {first.path} are both the system {system}: "
                f"name the directory {system} that is to be its row"
            )
    return systems, zero_shot


def _constant(folders: Sequence[Path]) -> dict[str, float | None]:
    for folder in folders:
        if (folder / BASELINES).exists():
            constant: dict[str, float | None] = read_json(folder / BASELINES).get("constant", {})
            return constant
    return {}


def excluded(experiment: Experiment, metric: Metric) -> str:
    """Why a metric of an experiment is not comparable with other systems; empty if it is."""
    target = experiment.config.get("target", {})
    if metric.name in ("wer", "cer") and not target.get("transcript", True):
        return "no transcript in the target"
    if metric.name in (*CAPTIONS, *DESCRIPTORS) and not target.get("descriptors", True):
        return "no descriptors in the target"
    return ""
