"""Reports: the scores of one fold on the terminal; the pooled folds as a table and RESULTS.md."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Sequence

from serdesc.config import Config
from serdesc.data.datadir import Utterance
from serdesc.files import read_json, write_json, write_text
from serdesc.scoring import (
    branches,
    by_descriptors,
    dependence,
    faithfulness,
    intervals,
    terminal,
    typeset,
)
from serdesc.scoring import metrics as all_metrics
from serdesc.scoring.baselines import LOGMEL, read_rows, values_over
from serdesc.scoring.bootstrap import Rows
from serdesc.scoring.classes import confusion
from serdesc.scoring.experiment import DEPENDENCE, FAITHFULNESS, Experiment
from serdesc.scoring.intervals import difference
from serdesc.scoring.metric import Counts, Metric
from serdesc.scoring.protocol import described
from serdesc.scoring.score import BY_DESCRIPTORS, Score, score

if TYPE_CHECKING:
    import pandas as pd

BASELINES = "baselines.json"
TARGETS = "targets.json"  # of an experiment's fold: training/examples.py
ZERO_SHOT = "-zero-shot"  # suffix of the directories that the recipes create


def show(
    scores: Sequence[Score], metrics: Sequence[Metric], title: str, table: Mapping[str, Rows]
) -> None:
    """Print the scores of a set: a table, word errors by kind, and the emotions' confusion."""
    by_name = {metric.name: metric for metric in metrics}
    terminal.print_table(_score_table(scores, by_name), title)
    for s in scores:
        if "substitutions" in s.counts and s.value is not None:
            terminal.print_lines([_errors(by_name[s.metric].unit, s.counts)], "  ")
    terminal.print_lines(_intervals(scores), "  ")
    emotions = confusion(counts for _, counts in table.get("ua", []))
    if emotions:
        terminal.print_table(
            _confusion_table(emotions), "emotions: reference in rows, prediction in columns"
        )
    terminal.print_lines(_not_computed(scores, by_name), "  ")


def _intervals(scores: Sequence[Score], unit: str = "") -> list[str]:
    """The method of the intervals, if a score has a value."""
    present = [s for s in scores if s.value is not None and s.n]
    if not present:
        return []
    signed = "|unit:utterance|" in present[0].signature
    unit = unit or ("utterance" if signed else "speaker")
    return [f"95 %: {intervals.described([s.interval_units for s in present], unit)}"]


def _not_computed(scores: Sequence[Score], by_name: Mapping[str, Metric]) -> list[str]:
    """Why scores have no value, or no interval though there are several units."""
    units_of: dict[str, list[str]] = {}
    for s in scores:
        note = s.note
        if s.value is not None and s.interval is None and s.interval_units > 1:
            note = "no 95 % interval, because there is no value without one of the speakers"
        units_of.setdefault(note, []).append(by_name[s.metric].unit)
    return [f"not computed: {', '.join(units)}: {note}" for note, units in units_of.items() if note]


def _score_table(scores: Sequence[Score], by_name: Mapping[str, Metric]) -> pd.DataFrame:
    """Text cells, one row per score."""
    import pandas as pd

    names = [field.name for field in fields(Score)]
    frame = pd.DataFrame(list(map(asdict, scores)), columns=names)
    unread = pd.Series([s.counts.get("unread") for s in scores], dtype="Int64")
    cells = {
        "metric": [by_name[name].unit for name in frame["metric"]],
        "score": frame["value"].map(typeset.number),
        "95 %": frame["interval"].map(typeset.span),
        "chance": frame["chance"].map(typeset.number),
        "utterances": frame["n"].map(str),
        "unread": unread.astype("string").fillna(""),
    }
    return pd.DataFrame(cells, dtype=object)


def _errors(unit: str, counts: Mapping[str, float]) -> str:
    tokens = "words" if "words" in counts else "characters"
    kinds = [f"{counts[kind]:.0f} {kind}" for kind in ("substitutions", "deletions", "insertions")]
    return (
        f"{unit.removesuffix(' %')}: {', '.join(kinds)} over {counts[tokens]:.0f} {tokens}; "
        f"{counts['unread']:.0f} of {counts['n']:.0f} transcripts unread"
    )


def report(exp: Path, part: str, config: Config) -> None:
    """Pool the decoded folds: write score_<part>.json and RESULTS.md, and print the table."""
    experiment = Experiment.open(exp, part, config)
    experiment.check_signed(f"unit:{config.scoring.unit}")
    metrics = [metric for metric in all_metrics.every() if metric.name in experiment.signatures]
    log_mel = read_rows(_baselines(exp)).get(LOGMEL, {})
    pooled = [_pool(experiment, metric, log_mel.get(metric.name, []), config) for metric in metrics]
    emotions = confusion(_emotion_counts(experiment))
    folds = [experiment.name(fold) for fold in experiment.folds]
    right = by_descriptors.compute(_answers(experiment), config.scoring)
    tree = {
        "folds": folds,
        "confusion": emotions,
        "scores": [row.to_dict(experiment) for row in pooled],
        BY_DESCRIPTORS: right.to_dict(),
    }
    write_json(exp / f"score_{part}.json", tree)
    table = _table(experiment, pooled)
    partial = _partially_scored(experiment, metrics)
    method = _intervals([row.score for row in pooled], config.scoring.unit)
    by_name = {metric.name: metric for metric in metrics}
    method += _not_computed([row.score for row in pooled], by_name)
    blocks = [_block(experiment, table, [*method, *_word_errors(pooled), *partial])]
    if emotions:
        blocks.append(typeset.markdown(_confusion_table(emotions)) + "\n")
    tests = list(tables(experiment, config))
    for title, cells, _ in tests:
        blocks.append(f"{title}:\n\n{typeset.markdown(cells)}\n")
    write_text(exp / _results(part), "\n".join(blocks))
    terminal.print_table(table, f"{exp}: {part}, {_extent(experiment)} pooled")
    terminal.print_lines(method, "  ")
    for line in partial:
        terminal.print_lines([f"{line}: {PARTIAL}"], "  ")
    for title, cells, labels in tests:
        terminal.print_table(cells, title, labels)


def tables(experiment: Experiment, config: Config) -> Iterator[tuple[str, pd.DataFrame, int]]:
    """Title, cells and label columns of the tables below the scores.

    The emotion by descriptors, the tests that `score` ran, and the use of the branches.
    """
    right = by_descriptors.compute(_answers(experiment), config.scoring)
    for title, cells in by_descriptors.cells(right):
        yield title, cells, 1
    if rows := experiment.test_rows(FAITHFULNESS):
        agreements = faithfulness.table(rows, config.scoring)
        yield faithfulness.TITLE, faithfulness.cells(agreements), 2
    if rows := experiment.test_rows(DEPENDENCE):
        moved = dependence.table(rows, config.scoring)
        yield dependence.TITLE, dependence.cells(moved), 2
    use = branches.table(experiment)
    if len(use):
        yield branches.TITLE, use, 1


def _results(part: str) -> str:
    return "RESULTS.md" if part == "test" else f"RESULTS_{part}.md"


def _extent(experiment: Experiment) -> str:
    text = f"{len(experiment.fold_numbers)} fold(s)"
    seeds = len(experiment.seeds)
    return f"{text} of {seeds} seeds" if seeds > 1 else text


PARTIAL = "pooled over fewer folds than the other rows; score those folds again without --metric"


def _baselines(exp: Path) -> Path:
    """The baselines of an experiment; a zero-shot run has those of the trained experiment."""
    own = exp / BASELINES
    return own if own.exists() else exp.with_name(exp.name.removesuffix(ZERO_SHOT)) / BASELINES


def baselines_of(experiment: Experiment) -> dict[str, dict[str, float | None]]:
    """Baseline -> metric -> value over the experiment's utterances; empty if none were computed."""
    path = _baselines(experiment.path)
    if table := read_rows(path):
        return values_over(table, experiment.utt_ids)
    return read_json(path) if path.exists() else {}


def _emotion_counts(experiment: Experiment) -> Iterator[Counts]:
    """The counts of UA of every utterance that has them."""
    for lines in experiment.lines.values():
        for line in lines:
            if "ua" in line:
                yield line["ua"]


def _answers(experiment: Experiment) -> Iterator[by_descriptors.Answer]:
    """The counts of every answer, by metric."""
    for lines in experiment.lines.values():
        for line in lines:
            yield Utterance(line["utt_id"], "", line["spk"]), line


def _word_errors(pooled: Sequence[Pooled]) -> list[str]:
    """The errors by kind, of the metrics that count them."""
    errors: list[str] = []
    for row in pooled:
        if "substitutions" in row.score.counts:
            errors.append(_errors(row.metric.unit, row.score.counts))
    return errors


@dataclass(frozen=True)
class Pooled:
    """The pooled score of a metric, its value in each fold, and the difference to log-mel."""

    metric: Metric
    score: Score
    by_fold: list[float]
    by_seed: list[float]
    above_log_mel: tuple[float, tuple[float, float] | None] | None

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.by_fold) if self.by_fold else None

    @property
    def deviation(self) -> float | None:
        return statistics.stdev(self.by_fold) if len(self.by_fold) > 1 else None

    @property
    def deviation_of_seeds(self) -> float | None:
        return statistics.stdev(self.by_seed) if len(self.by_seed) > 1 else None

    def to_dict(self, experiment: Experiment) -> dict[str, Any]:
        signature = experiment.signatures[self.metric.name]
        ci = intervals.method(self.score.interval_units) if self.score.interval else "none"
        return {
            **asdict(self.score),
            "signature": f"{signature}|ci:{ci}|pooled:{self._pooled(experiment)}",
            "by_fold": self.by_fold,
            "mean": _rounded(self.mean),
            "above_log_mel": self.above_log_mel,
            "deviation": _rounded(self.deviation),
            **self._of_seeds(),
        }

    def _pooled(self, experiment: Experiment) -> str:
        text = f"{len(experiment.fold_numbers)} folds"
        return f"{text} x {len(experiment.seeds)} seeds" if len(experiment.seeds) > 1 else text

    def _of_seeds(self) -> dict[str, Any]:
        if len(self.by_seed) < 2:
            return {}
        return {
            "by_seed": self.by_seed,
            "deviation_of_seeds": _rounded(self.deviation_of_seeds),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _pool(experiment: Experiment, metric: Metric, log_mel: Rows, config: Config) -> Pooled:
    counted = experiment.rows(metric)
    note = experiment.notes.get(metric.name, "")
    pooled = score(metric, counted, config.scoring, {}, note)
    above = _above(metric, counted, log_mel, config)
    by_seed = experiment.by_seed(metric, mean_of_folds=False)
    return Pooled(metric, pooled, experiment.by_fold(metric), by_seed, above)


def _above(
    metric: Metric, counted: Rows, baseline: Rows, config: Config
) -> tuple[float, tuple[float, float] | None] | None:
    """Difference to a baseline with its interval; None if the baseline lacks an utterance."""
    of_utterance = {utt.utt_id: counts for utt, counts in baseline}
    if not counted or any(utt.utt_id not in of_utterance for utt, _ in counted):
        return None
    same = [(utt, of_utterance[utt.utt_id]) for utt, _ in counted]
    return difference(metric, counted, same, config.scoring)


def _partially_scored(experiment: Experiment, metrics: Sequence[Metric]) -> list[str]:
    """The metrics that some folds do not have."""
    lines: list[str] = []
    for metric in metrics:
        folds = experiment.folds_without(metric)
        if folds:
            lines.append(f"{metric.unit}: not in {' '.join(folds)}")
    for name, title in ((FAITHFULNESS, faithfulness.TITLE), (DEPENDENCE, dependence.TITLE)):
        folds = experiment.folds_without_test(name)
        if folds and len(folds) < len(experiment.folds):
            lines.append(f"{title}: not in {' '.join(folds)}")
    return lines


def _utterances(n: int, seeds: int) -> str:
    return str(n) if seeds < 2 else f"{n // seeds} x {seeds}"


def _table(experiment: Experiment, pooled: Sequence[Pooled]) -> pd.DataFrame:
    """Text cells, one row per metric; columns without a value are omitted."""
    import pandas as pd

    frame = _pooled_frame(pooled)
    columns: dict[str, Any] = {"metric": frame["metric"]}
    columns["chance"] = frame["chance"].map(typeset.number)
    for name, values in baselines_of(experiment).items():
        columns[name] = [typeset.number(values.get(row.metric.name)) for row in pooled]
    columns[f"**{experiment.path.name}**, pooled"] = frame["value"].map(typeset.number)
    columns["95 % interval"] = frame["interval"].map(typeset.span)
    means, deviations = frame["mean"].map(typeset.number), frame["deviation"].map(_deviation)
    columns["mean of folds ± deviation"] = means + deviations
    columns["± over seeds"] = frame["deviation_of_seeds"].map(typeset.number)
    columns["above log-mel, 95 %"] = [_signed(row.above_log_mel) for row in pooled]
    columns["utterances"] = [_utterances(n, len(experiment.seeds)) for n in frame["n"]]
    table = pd.DataFrame(columns, dtype=object)
    return table.loc[:, (table != "").any()]


def _pooled_frame(pooled: Sequence[Pooled]) -> pd.DataFrame:
    """The figures of the pooled folds, one row per metric."""
    import pandas as pd

    rows = []
    for row in pooled:
        figures = {
            "mean": row.mean,
            "deviation": row.deviation,
            "deviation_of_seeds": row.deviation_of_seeds,
        }
        rows.append({**asdict(row.score), **figures, "metric": row.metric.unit})
    return pd.DataFrame(rows)


def _deviation(value: float | None) -> str:
    text = typeset.number(value)
    return f" ± {text}" if text else ""


def _confusion_table(emotions: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    """Text cells: the predictions of each emotion, and its recall."""
    import pandas as pd

    counts = pd.DataFrame.from_dict(emotions, orient="index", dtype="Int64").fillna(0)
    predicted = sorted(counts.columns, key=lambda name: (name == "unread", name))
    table = counts[predicted].map(str)
    table.insert(0, "emotion, predicted as", table.index)
    recalls = []
    for label, row in emotions.items():
        recalls.append(f"{100 * row.get(label, 0) / sum(row.values()):.1f}")
    return table.assign(**{"recall %": recalls}).reset_index(drop=True)


def _block(experiment: Experiment, table: pd.DataFrame, notes: Sequence[str]) -> str:
    """Markdown: the table, and how it was created."""
    fold = experiment.folds[0]
    path = fold / "env.json"
    environment: dict[str, Any] = read_json(path) if path.exists() else {}
    config = experiment.config
    versions = environment.get("versions", {}).items()
    lines = [f"- {note}" for note in [*notes, *_target_tokens(fold)]]
    seed = "" if len(experiment.seeds) > 1 else f", seed {config.get('seed')}"
    lines += [
        f"- {described(config)}{seed}",
        f"- commit {environment.get('commit')}, Python {environment.get('python')}, "
        + ", ".join(f"{k} {v}" for k, v in versions if k != "serdesc"),
        f"- {environment.get('processor')}, {environment.get('cores')} cores, "
        f"{environment.get('threads')} thread(s) a process",
        f"- command of fold {fold.name[4:]}: `{_short(environment.get('command', ''))}`",
    ]
    title = f"### {experiment.path.name}: folds {' '.join(experiment.fold_numbers)}"
    if len(experiment.seeds) > 1:
        title += f", {' '.join(experiment.seeds)}"
    return f"{title}\n\n{typeset.markdown(table)}\n\n" + "\n".join(lines) + "\n"


def _target_tokens(fold: Path) -> list[str]:
    """The mean length of the training targets, if `serdesc train` counted it."""
    path = fold / TARGETS
    if not path.exists():
        return []
    counted = read_json(path)
    share = f"{counted['tokens']} tokens on average, transcript {counted['transcript %']} %"
    return [f"training targets of fold {fold.name[4:]}: {share}"]


def _short(command: str) -> str:
    """The command without the directory of the program."""
    program, _, rest = command.partition(" ")
    return f"{Path(program).name} {rest}".strip()


def _signed(above: tuple[float, tuple[float, float] | None] | None) -> str:
    if above is None:
        return ""
    value, interval = above
    return f"{value:+.1f}" + (f" ({typeset.signed_span(interval)})" if interval else "")
