"""The paper's Tables 1 to 3: published rows beside what was measured, with the paper's significance marks.

A measured cell is the mean of the folds for what is counted over classes (UA), and the value of all folds as one set for WER and captions; with
the folds' deviation behind it. Marks come from the paper's paired one-tailed t-test on stored predictions, on the folds that both systems have; one
in brackets does not survive Holm's correction over the table. Values with different signatures are never put into one column.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Mapping, Sequence

from serdesc import config as configs
from serdesc.captions import traits
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.scoring import metrics as all_metrics
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.metric import Metric
from serdesc.scoring.report import BASELINES
from serdesc.scoring.score import score
from serdesc.scoring.significance import Comparison, compare, holm

LAYOUT = Path(__file__).with_name("paper.yaml")
DESCRIPTORS = ("pitch", "energy", "speed", "age", "gender", "emphasis", *traits.by_name())
OF_CLASSES = ("ua", "wa", "macro_f1", "weighted_f1")  # their headline is the mean of the folds
CAPTIONS = ("bleu4", "meteor", "rouge_l", "cider", "spice")
NOT_RUN = "not_run.txt"  # in an experiment's folder: why there is nothing else in it
ZERO_SHOT = "-zero-shot"  # how recipes name them
ALPHA = 0.05


@dataclass(frozen=True)
class Corpus:
    """The experiments of one corpus: each system's, and those that are none of the paper's."""

    name: str
    systems: Mapping[str, Experiment]
    zero_shot: Mapping[
        str, Experiment
    ]  # the systems that were not adapted to the corpus, by system
    others: Mapping[str, Experiment]  # by the folder's name
    absent: Mapping[str, str]  # system -> why it was not run
    constant: Mapping[
        str, float | None
    ]  # what one and the same answer scores, where `serdesc baselines` was run

    @cached_property
    def every(self) -> list[Experiment]:
        return [*self.systems.values(), *self.zero_shot.values(), *self.others.values()]

    @cached_property
    def scored(self) -> set[str]:
        """Metrics that any of them has."""
        return {name for experiment in self.every for name in experiment.signatures}


@dataclass(frozen=True)
class Table:
    title: str
    rows: list[list[str]]  # the head first
    notes: list[str]


def table(
    number: int,
    named: Sequence[str],
    part: str,
    unit: str,
    config: Config,
    descriptors: bool = False,
) -> Table:
    """Table 1, 2 or 3 from folders of experiments (`NAME=FOLDER`, or a folder such as egs/mini/exp, whose corpus is then mini)."""
    layout = _layout(number)
    corpora = [_corpus(argument, part, config) for argument in named]
    if twice := [
        name for name, count in Counter(corpus.name for corpus in corpora).items() if count > 1
    ]:
        raise UserError(
            f"table {number}: two of the folders would both be called {twice[0]}: name them apart, for example a=FOLDER b=FOLDER"
        )
    published = [(corpus, name) for corpus, names in layout["columns"].items() for name in names]
    by_name = {metric.name: metric for metric in all_metrics.every()}
    shown = {name for _, name in published} | (set(DESCRIPTORS) if descriptors else set())
    if "ua" in shown:
        shown |= set(OF_CLASSES)  # they stand together, for each hides what another shows
    measured = [metric for name, metric in by_name.items() if name in shown]
    for corpus in corpora:
        _same_signatures(corpus, measured)
    columns = [
        (corpus, metric)
        for corpus in corpora
        for metric in measured
        if metric.name in corpus.scored
    ]
    marks, notes = _marks(layout, corpora, measured, unit)
    head = ["ID", "system"] + [
        f"{corpus} {by_name[name].unit}, published" for corpus, name in published
    ]
    rows = [head + [f"{corpus.name} {metric.unit}" for corpus, metric in columns]]
    for row in layout["rows"]:
        values = [
            value for corpus, _ in layout["columns"].items() for value in row["published"][corpus]
        ]
        cells = [_cell(corpus, row.get("system"), metric, marks) for corpus, metric in columns]
        rows.append(
            [
                row["id"],
                row["name"],
                *("–" if value == "null" else value for value in values),
                *cells,
            ]
        )
        if any(row.get("system") in corpus.zero_shot for corpus in corpora):
            cells = [
                (
                    _value(corpus, corpus.zero_shot[row["system"]], metric)
                    if row["system"] in corpus.zero_shot
                    else ""
                )
                for corpus, metric in columns
            ]
            rows.append(
                [
                    "",
                    "zero-shot (protocol not stated in the paper)",
                    *("" for _ in published),
                    *cells,
                ]
            )
    for corpus in corpora:
        for name, experiment in corpus.others.items():
            cells = [
                _value(corpus, experiment, metric) if corpus is owner else ""
                for owner, metric in columns
            ]
            rows.append(["+", f"{name} ({corpus.name})", *("" for _ in published), *cells])
        if constant := corpus.constant:
            cells = [
                (
                    f"{constant[m.name]:.1f}"
                    if corpus is owner and constant.get(m.name) is not None
                    else ""
                )
                for owner, m in columns
            ]
            rows.append(["+", f"constant answer ({corpus.name})", *("" for _ in published), *cells])
    return Table(
        f"Table {number}: {layout['title']}",
        rows,
        notes + [note for corpus in corpora for note in _differences(corpus)],
    )


def _layout(number: int) -> dict[str, Any]:
    tables = _layouts()
    if str(number) not in tables:
        raise UserError(f"table {number}: the paper has {', '.join(tables)}")
    return tables[str(number)]


def _layouts() -> dict[str, dict[str, Any]]:
    """Number -> layout, with every value as it is printed: 67.0 is not 67."""
    import yaml

    found: dict[str, dict[str, Any]] = yaml.load(
        LAYOUT.read_text(encoding="utf-8"), yaml.BaseLoader
    )
    return found


def _corpus(argument: str, part: str, config: Config) -> Corpus:
    name, equals, place = argument.rpartition("=")
    folder = Path(place)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder. Give one that holds experiments, for example egs/mini/exp or mini=egs/mini/exp"
        )
    single = any(folder.glob("fold*"))
    paths = [folder] if single else sorted(path for path in folder.iterdir() if path.is_dir())
    found = [
        Experiment.open(path, part, config)
        for path in paths
        if single or list(path.glob(f"fold*/decode_{part}/score.json"))
    ]
    absent = {
        path.name: (path / NOT_RUN).read_text(encoding="utf-8").strip()
        for path in paths
        if (path / NOT_RUN).exists()
    }
    papers = {
        row["system"] for layout in _layouts().values() for row in layout["rows"] if "system" in row
    }
    systems: dict[str, Experiment] = {}
    zero_shot: dict[str, Experiment] = {}
    for experiment in sorted(
        found, key=lambda e: e.path.name.removesuffix(ZERO_SHOT) != e.config.get("system")
    ):  # its namesake is the row
        if (system := str(experiment.config.get("system") or "")) in papers:
            same = zero_shot if experiment.path.name.endswith(ZERO_SHOT) else systems
            if system in same and same[system].path.name.removesuffix(ZERO_SHOT) != system:
                raise UserError(
                    f"{experiment.path} and {same[system].path} are both the system {system}: name the folder {system} that is to be its row"
                )
            same.setdefault(system, experiment)
    if not found and not absent:
        raise UserError(
            f"{folder}: no scored experiment in it (fold*/decode_{part}/score.json). Run stages 4 to 6 first"
        )
    others = {e.path.name: e for e in found if e not in (*systems.values(), *zero_shot.values())}
    named = folder.resolve().parent.name if folder.name == "exp" else folder.name
    known = next(
        (path / BASELINES for path in (folder, *paths) if (path / BASELINES).exists()), None
    )
    constant = read_json(known).get("constant", {}) if known else {}
    return Corpus(name if equals else named, systems, zero_shot, others, absent, constant)


def _same_signatures(corpus: Corpus, metrics: Sequence[Metric]) -> None:
    for metric in metrics:
        signed: dict[str, Experiment] = {}
        for experiment in corpus.every:
            if metric.name in experiment.signatures and not _left_out(experiment, metric):
                signed.setdefault(experiment.signatures[metric.name], experiment)
        if len(signed) > 1:
            (one, a), (other, b) = list(signed.items())[:2]
            raise UserError(
                f"{corpus.name}: {metric.name} is signed {one} in {a.path}, and {other} in {b.path}: these do not belong into one column. "
                "Score both with one configuration."
            )


# ---- cells ---------------------------------------------------------------------------------------------------------------


def _cell(
    corpus: Corpus, system: str | None, metric: Metric, marks: Mapping[tuple[str, str, str], str]
) -> str:
    if system is None:
        return "published only"
    if system not in corpus.systems:
        return corpus.absent.get(system, "not run")
    value = _value(corpus, corpus.systems[system], metric)
    return value + marks.get((corpus.name, system, metric.name), "")


def _value(corpus: Corpus, experiment: Experiment, metric: Metric) -> str:
    """The value with the folds' deviation, or why there is none."""
    if reason := _left_out(experiment, metric):
        return reason
    folds = experiment.by_fold(metric)
    if not folds:
        return (
            "not computed"
            if metric.name in experiment.notes
            else "not scored" if metric.name in corpus.scored else "not in this corpus"
        )
    whole = score(metric, experiment.rows(metric), experiment.scoring, {}).value
    headline = statistics.fmean(folds) if metric.name in OF_CLASSES or whole is None else whole
    spread = f" ± {statistics.stdev(folds):.1f}" if len(folds) > 1 else ""
    partly = (
        f" ({len(folds)} of {len(experiment.folds)} folds)"
        if len(folds) < len(experiment.folds)
        else " (1 fold)" if len(folds) == 1 else ""
    )
    return f"{headline:.1f}{spread}{partly}"


def _left_out(experiment: Experiment, metric: Metric) -> str:
    """Why a metric of an experiment is not comparable with the other systems'."""
    target = experiment.config.get("target", {})
    if metric.name in ("wer", "cer") and not target.get("transcript", True):
        return "no transcript in the target"
    if metric.name in (*CAPTIONS, *DESCRIPTORS) and not target.get("descriptors", True):
        return "no descriptors in the target"
    return ""


# ---- marks ---------------------------------------------------------------------------------------------------------------


def _marks(
    layout: Mapping[str, Any], corpora: Sequence[Corpus], metrics: Sequence[Metric], unit: str
) -> tuple[dict[tuple[str, str, str], str], list[str]]:
    """(corpus, system, metric) -> the marks on that cell; and what they mean."""
    marks: dict[tuple[str, str, str], str] = {}
    notes: list[str] = []
    asked = [(corpus, *pair) for corpus in corpora for pair in _asked(layout, corpus, metrics)]
    found = [
        _compared(corpus.systems[a], corpus.systems[b], metric, unit)
        for corpus, _, _, a, b, metric in asked
    ]
    known = [
        (each, comparison, p)
        for each, comparison in zip(asked, found)
        if comparison and (p := comparison.p["t"]) is not None
    ]
    for ((corpus, mark, on, a, b, metric), comparison, p), corrected in zip(
        known, holm([p for *_, p in known])
    ):
        if p < ALPHA:
            key = (corpus.name, on, metric.name)
            marks[key] = marks.get(key, "") + (mark if corrected < ALPHA else f"({mark})")
        low, high = comparison.interval or (float("nan"), float("nan"))
        notes.append(
            f"{corpus.name}, {metric.unit}: {a} over {b} {comparison.a - comparison.b:+.1f} (95 % {low:+.1f} to {high:+.1f}), p {p:.4f}, "
            f"Holm {corrected:.4f}; {comparison.units} {unit}s"
        )
    legend = {m["mark"]: m["over"] for m in layout["marks"]}
    said = "; ".join(
        f"{mark} {'full is better than this row' if over == 'each' else f'better than {over}'}"
        for mark, over in legend.items()
    )
    return marks, [
        f"{said}: paired one-tailed t-test over {unit}s, p < {ALPHA}; in brackets: not after Holm's correction.",
        *notes,
    ]


def _asked(layout: Mapping[str, Any], corpus: Corpus, metrics: Sequence[Metric]) -> Any:
    """(mark, the system that it stands on, A, B, metric) of each comparison that can be made."""
    own = [row["system"] for row in layout["rows"] if "system" in row]
    for rule in layout["marks"]:
        pairs = [
            (a, b, b if rule["over"] == "each" else a)
            for a in rule["holds_for"]
            for b in (own if rule["over"] == "each" else [rule["over"]])
            if a != b
        ]
        for a, b, on in pairs:
            for metric in metrics:
                if metric.name in rule["metrics"] and all(
                    s in corpus.systems and _compares(corpus.systems[s], metric) for s in (a, b)
                ):
                    yield rule["mark"], on, a, b, metric


def _compares(experiment: Experiment, metric: Metric) -> bool:
    return bool(experiment.by_fold(metric)) and not _left_out(experiment, metric)


def _compared(a: Experiment, b: Experiment, metric: Metric, unit: str) -> Comparison | None:
    """On the folds in which both have the metric."""
    both = [
        fold
        for fold in a.lines
        if fold in b.lines and a.counts(metric, fold) and b.counts(metric, fold)
    ]
    sides = [sorted(e.rows(metric, both), key=lambda row: row[0].utt_id) for e in (a, b)]
    if not all(sides):
        return None
    fold_of = {utt.utt_id: fold for fold in both for utt, _ in a.counts(metric, fold)}
    try:
        return compare(metric, sides[0], sides[1], unit, fold_of)
    except UserError as error:
        raise UserError(f"{a.path} and {b.path}: {error}") from error


# ---- notes ---------------------------------------------------------------------------------------------------------------

COMPARED = ("encoder", "branch", "adapter", "llm", "prompt", "training")


def _differences(corpus: Corpus) -> list[str]:
    """What differs from the paper's protocol, key by key; systems that differ alike are told together."""
    alike: dict[str, list[str]] = {}
    for experiment in corpus.every:
        system, name = str(experiment.config.get("system") or ""), experiment.path.name
        papers = asdict(configs.load([Path(system)] if system in configs.systems() else None))
        differ = [
            f"{key} {value} (paper: {_look(papers, key)})"
            for section in COMPARED
            for key, value in _leaves(experiment.config.get(section, {}), section)
            if value != _look(papers, key)
        ]
        folds = ", ".join(fold.name[4:] for fold in experiment.folds)
        told = f"folds {folds}; differs from the paper: {'; '.join(differ) or 'in nothing that is configured'}"
        if not experiment.config:
            told = f"folds {folds}; there is no config.yaml that says how it was made"
        alike.setdefault(told, []).append(name)
    return [f"{corpus.name}, {', '.join(names)}: {told}" for told, names in alike.items()]


def _leaves(tree: Any, place: str) -> list[tuple[str, Any]]:
    if isinstance(tree, dict):
        return [leaf for key, value in tree.items() for leaf in _leaves(value, f"{place}.{key}")]
    return [(place, tree)]


def _look(tree: Any, place: str) -> Any:
    for key in place.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
