"""The paper's Tables 1 to 3: published values beside measured ones, with significance marks.

A measured row is named by what was run on each corpus; the published name stands beside it. A cell
of a metric over classes (UA) is the mean of the folds; WER and caption metrics are computed on the
pooled folds; with several seeds, the mean over seeds. The standard deviations over folds and over
seeds follow. The marks are the paper's
paired one-tailed t-tests on stored predictions, on the folds that both systems have; a mark in
brackets is not significant after Holm's correction over the table; square brackets contain the
marks of the same test over speakers. A column has one signature.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from serdesc import config as configs
from serdesc import configfile
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.scoring import metrics as all_metrics
from serdesc.scoring import paper
from serdesc.scoring.answers import answers
from serdesc.scoring.corpus_runs import DESCRIPTORS, CorpusRuns, excluded
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.marks import Marks, marks
from serdesc.scoring.metric import Metric
from serdesc.scoring.protocol import described

if TYPE_CHECKING:
    import pandas as pd

OF_CLASSES = ("ua", "wa", "macro_f1", "weighted_f1")  # the headline is the mean of the folds
LABELS = 2  # columns: ID, system
UNPUBLISHED = "–"
PUBLISHED_ONLY = "published only"
Columns = Sequence[tuple[CorpusRuns, Metric]]  # the measured ones


@dataclass(frozen=True)
class Table:
    """A complete table of text cells, and its form for the terminal."""

    title: str
    rows: pd.DataFrame
    notes: list[str]
    # without published columns of corpora that have no runs, and without rows that are then empty
    terminal: pd.DataFrame


def table(
    number: int,
    named: Sequence[str],
    part: str,
    unit: str,
    config: Config,
    descriptors: bool = False,
) -> Table:
    """Table 1, 2 or 3 from directories of experiments (CorpusRuns.open).

    `unit`: unit of the t-tests. Raises UserError if two corpora have the same name, or if the
    experiments of a corpus have different signatures.
    """
    layout = paper.layout(number)
    corpora = [CorpusRuns.open(argument, part, config) for argument in named]
    _check_names(number, corpora)
    metrics = _measured(layout, descriptors)
    for corpus in corpora:
        corpus.check_signatures(metrics)
    columns: list[tuple[CorpusRuns, Metric]] = []
    for corpus in corpora:
        columns += [(corpus, metric) for metric in metrics if metric.name in corpus.scored]
    cells, notes = marks(layout, corpora, metrics, unit)
    for corpus in corpora:
        notes += answers(corpus) if "IEMOCAP" in layout["columns"] else []
        notes += _differences(corpus)
    complete = _frame(layout, corpora, columns, cells)
    title = f"Table {number}: {layout['title']}"
    return Table(title, complete, notes, _terminal(complete, layout, corpora))


def _frame(
    layout: Mapping[str, Any], corpora: Sequence[CorpusRuns], columns: Columns, cells: Marks
) -> pd.DataFrame:
    """All rows and columns."""
    import pandas as pd

    rows: list[list[str]] = []
    for row in layout["rows"]:
        rows += _rows_of_system(row, layout, corpora, columns, cells)
    published = len(_published(layout))
    for corpus in corpora:
        rows += _rows_of_corpus(corpus, published, corpora, columns)
    return pd.DataFrame(rows, columns=_head(layout, corpora, columns), dtype=object)


def _check_names(number: int, corpora: Sequence[CorpusRuns]) -> None:
    for name, count in Counter(corpus.name for corpus in corpora).items():
        if count > 1:
            raise UserError(
                f"table {number}: two of the directories would both be called {name}: "
                "name them apart, for example a=DIRECTORY b=DIRECTORY"
            )


def _measured(layout: Mapping[str, Any], descriptors: bool) -> list[Metric]:
    """The metrics of the table; UA never without WA and F1, which complement it."""
    names: set[str] = set().union(*layout["columns"].values())
    if descriptors:
        names |= set(DESCRIPTORS)
    if "ua" in names:
        names |= set(OF_CLASSES)
    return [metric for metric in all_metrics.every() if metric.name in names]


def _published(layout: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(corpus, metric) of each published column."""
    columns: list[tuple[str, str]] = []
    for corpus, names in layout["columns"].items():
        columns += [(corpus, name) for name in names]
    return columns


def _head(layout: Mapping[str, Any], corpora: Sequence[CorpusRuns], columns: Columns) -> list[str]:
    units = {metric.name: metric.unit for metric in all_metrics.every()}
    head = ["ID", "system, published"]
    head += [f"{corpus} {units[name]}, published" for corpus, name in _published(layout)]
    head += [f"run on {corpus.name}" for corpus in corpora]
    return head + [f"{corpus.name} {metric.unit}" for corpus, metric in columns]


def _rows_of_system(
    row: Mapping[str, Any],
    layout: Mapping[str, Any],
    corpora: Sequence[CorpusRuns],
    columns: Columns,
    cells: Marks,
) -> list[list[str]]:
    """The row of the paper, and the zero-shot row of its system if there is one."""
    published: list[str] = []
    for corpus in layout["columns"]:
        published += map(_printed, row["published"][corpus])
    system = row.get("system")
    measured = [_cell(runs, system, metric, cells) for runs, metric in columns]
    ran = _ran(corpora, {runs.name: runs.systems.get(system or "") for runs in corpora})
    rows = [[row["id"], row["name"], *published, *ran, *measured]]
    if any(system in runs.zero_shot for runs in corpora):
        zero_shot = {runs.name: runs.zero_shot.get(system or "") for runs in corpora}
        label = "zero-shot (protocol not stated in the paper)"
        ran = _ran(corpora, zero_shot)
        rows.append(["", label, *[""] * len(published), *ran, *_filled(columns, zero_shot.get)])
    return rows


def _ran(corpora: Sequence[CorpusRuns], experiments: Mapping[str, Experiment | None]) -> list[str]:
    """What was run on each corpus."""
    texts: list[str] = []
    for corpus in corpora:
        experiment = experiments.get(corpus.name)
        texts.append(_run_name(experiment) if experiment else "")
    return texts


def _run_name(experiment: Experiment) -> str:
    seeds = len(experiment.seeds)
    return described(experiment.config) + (f", {seeds} seeds" if seeds > 1 else "")


def _printed(value: str) -> str:
    return UNPUBLISHED if value == "null" else value


def _rows_of_corpus(
    corpus: CorpusRuns, published: int, corpora: Sequence[CorpusRuns], columns: Columns
) -> list[list[str]]:
    """The experiments that are not in the paper, and the constant baseline."""
    rows: list[list[str]] = []
    for name, experiment in corpus.others.items():
        measured = _filled(columns, {corpus.name: experiment}.get)
        ran = _ran(corpora, {corpus.name: experiment})
        rows.append(["+", f"{name} ({corpus.name})", *[""] * published, *ran, *measured])
    if corpus.constant:
        measured = []
        for owner, metric in columns:
            value = corpus.constant.get(metric.name) if owner is corpus else None
            measured.append("" if value is None else f"{value:.1f}")
        ran = [""] * len(corpora)
        ran[list(corpora).index(corpus)] = "constant answer"
        label = f"constant answer ({corpus.name})"
        rows.append(["+", label, *[""] * published, *ran, *measured])
    return rows


def _filled(columns: Columns, experiment_of: Callable[[str], Experiment | None]) -> list[str]:
    cells: list[str] = []
    for corpus, metric in columns:
        experiment = experiment_of(corpus.name)
        cells.append(_value(corpus, experiment, metric) if experiment else "")
    return cells


def _terminal(
    complete: pd.DataFrame, layout: Mapping[str, Any], corpora: Sequence[CorpusRuns]
) -> pd.DataFrame:
    retained = list(range(complete.shape[1]))
    for i, (published, _) in enumerate(_published(layout), start=LABELS):
        if not any(paper.is_corpus(published, corpus.name) for corpus in corpora):
            retained.remove(i)
    narrow = complete.iloc[:, retained]
    empty = narrow.iloc[:, LABELS:].isin(["", UNPUBLISHED, PUBLISHED_ONLY]).all(axis=1)
    return narrow[~empty]


# ---- cells ---------------------------------------------------------------------------------------


def _cell(corpus: CorpusRuns, system: str | None, metric: Metric, cells: Marks) -> str:
    if system is None:
        return PUBLISHED_ONLY
    if system not in corpus.systems:
        return corpus.absent.get(system, "not run")
    value = _value(corpus, corpus.systems[system], metric)
    return value + cells.get((corpus.name, system, metric.name), "")


def _value(corpus: CorpusRuns, experiment: Experiment, metric: Metric) -> str:
    """The value with the standard deviation over folds, or why there is none."""
    reason = excluded(experiment, metric)
    if reason:
        return reason
    folds = experiment.by_fold(metric)
    if not folds:
        if metric.name in experiment.notes:
            return "not computed"
        return "not scored" if metric.name in corpus.scored else "not in this corpus"
    seeds = experiment.by_seed(metric, metric.name in OF_CLASSES)
    if not seeds:
        seeds = experiment.by_seed(metric, mean_of_folds=True)
    text = f"{statistics.fmean(seeds):.1f}"
    if len(folds) > 1:
        text += f" ± {statistics.stdev(folds):.1f}"
    if len(seeds) > 1:
        text += f" (seeds ± {statistics.stdev(seeds):.1f})"
    if len(folds) < len(experiment.fold_numbers):
        text += f" ({len(folds)} of {len(experiment.fold_numbers)} folds)"
    elif len(folds) == 1:
        text += " (1 fold)"
    return text


# ---- notes ---------------------------------------------------------------------------------------

COMPARED = ("encoder", "branch", "adapter", "llm", "prompt", "training")


def _differences(corpus: CorpusRuns) -> list[str]:
    """How the experiments differ from the paper's protocol: all of them, and each beyond that.

    Experiments with equal differences are in one line.
    """
    differences = {experiment.path.name: _difference(experiment) for experiment in corpus.every}
    common = _common(list(differences.values()))
    lines = [f"{corpus.name}, all: differ from the paper: {'; '.join(common)}"] if common else []
    names: dict[str, list[str]] = {}
    for experiment in corpus.every:
        text = _own(experiment, differences[experiment.path.name], common)
        names.setdefault(text, []).append(experiment.path.name)
    return lines + [f"{corpus.name}, {', '.join(group)}: {text}" for text, group in names.items()]


def _common(differences: Sequence[Sequence[str] | None]) -> list[str]:
    """The differences that all of several experiments have."""
    if len(differences) < 2:
        return []
    shared = set.intersection(*(set(of_one or ()) for of_one in differences))
    return [text for text in differences[0] or () if text in shared]


def _own(experiment: Experiment, differences: Sequence[str] | None, common: Sequence[str]) -> str:
    folds = ", ".join(experiment.fold_numbers)
    if differences is None:
        return f"folds {folds}; there is no config.yaml with its settings"
    own = "; ".join(text for text in differences if text not in common)
    if common:
        return f"folds {folds}; beyond that: {own or 'nothing'}"
    return f"folds {folds}; differs from the paper: {own or 'in nothing that is configured'}"


def _difference(experiment: Experiment) -> list[str] | None:
    """`key value (paper: value)` of each setting that differs; None without a configuration."""
    if not experiment.config:
        return None
    system = str(experiment.config.get("system") or "")
    shipped = [Path(system)] if system in configs.systems() else None
    reference = dict(configfile.leaves(asdict(configs.load(shipped))))
    differences: list[str] = []
    for section in COMPARED:
        for key, value in configfile.leaves(experiment.config.get(section, {}), f"{section}."):
            if value != reference.get(key):
                differences.append(f"{key} {value} (paper: {reference.get(key)})")
    return differences
