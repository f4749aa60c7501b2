"""A scored experiment: the rows of its folds pooled, their signatures and configuration.

EXP/fold<k>, or EXP/seed<s>/fold<k> if it was trained with several seeds. The rows of several seeds
are pooled: an utterance then has a row of each seed, with the same speaker and fold.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Collection, Mapping, Sequence

from serdesc.config import Config, ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, read_jsonl
from serdesc.scoring.bootstrap import Rows, total
from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Metric
from serdesc.scoring.score import ROWS, check_not_stale, read_rows
from serdesc.scoring.signature import comparable

# rows that `score --faithful` and `score --depends` write
FAITHFULNESS, DEPENDENCE = f"faithfulness.{ROWS}", f"depends.{ROWS}"
Lines = list[dict[str, Any]]  # of one fold's rows.jsonl


def scored_folds(path: Path, part: str) -> tuple[Path, ...]:
    """The scored fold<k> of a directory, or the seed<s>/fold<k> if it has none; in order."""
    for pattern in ("fold*", "seed*/fold*"):
        folds: dict[tuple[int, ...], Path] = {}
        for fold in path.glob(f"{pattern}/decode_{part}/score.json"):
            names = fold.parent.parent.relative_to(path).parts
            numbers = [name[4:] for name in names]
            if all(number.isdecimal() for number in numbers):
                folds[tuple(map(int, numbers))] = fold.parent.parent
        if folds:
            return tuple(folds[numbers] for numbers in sorted(folds))
    return ()


@dataclass(frozen=True)
class Experiment:
    """The scored folds of an experiment directory; a fold's name is its path in it."""

    path: Path
    part: str  # the decoded set, for example test
    folds: tuple[Path, ...]
    scoring: ScoringConfig

    def name(self, fold: Path) -> str:
        return fold.relative_to(self.path).as_posix()

    @cached_property
    def seeds(self) -> dict[str, list[str]]:
        """Directory of each seed ("" if there is one seed) -> names of its folds."""
        seeds: dict[str, list[str]] = {}
        for fold in self.folds:
            name = self.name(fold)
            seeds.setdefault(name.rpartition("/")[0], []).append(name)
        return seeds

    @cached_property
    def fold_numbers(self) -> list[str]:
        """The numbers of the folds, each once."""
        return list(dict.fromkeys(fold.name[4:] for fold in self.folds))

    @classmethod
    def open(cls, path: Path, part: str, config: Config) -> Experiment:
        """Raises UserError if no fold is scored, or if hypotheses have changed since scoring."""
        folds = scored_folds(path, part)
        if not folds:
            raise UserError(
                f"{path}: no fold*/decode_{part}/score.json in it. Train, decode and score first"
            )
        for fold in folds:
            check_not_stale(fold / f"decode_{part}" / "score.json")
        return cls(path, part, tuple(folds), config.scoring)

    @cached_property
    def signatures(self) -> dict[str, str]:
        """Metric -> signature. Raises UserError if folds differ in one."""
        signatures: dict[str, str] = {}
        for fold in self.folds:
            for row in read_json(fold / f"decode_{self.part}" / "score.json")["scores"]:
                of_fold = comparable(row["signature"])
                signature = signatures.setdefault(row["metric"], of_fold)
                if signature != of_fold:
                    raise UserError(
                        f"{fold}: {row['metric']} was scored as {of_fold}, "
                        f"another fold as {signature}: these are not comparable. "
                        "Score all folds with one configuration."
                    )
        return signatures

    def check_signed(self, setting: str) -> None:
        """Raises UserError if the signatures have another value of a setting `key:value`."""
        key = setting.partition(":")[0]
        for signature in self.signatures.values():
            parts = [part for part in signature.split("|") if part.startswith(f"{key}:")]
            if parts and parts[0] != setting:
                raise UserError(
                    f"{self.path}: its folds were scored with {parts[0]}, requested is {setting}: "
                    f"--set scoring.{parts[0].replace(':', '=')}"
                )

    def folds_without(self, metric: Metric) -> list[str]:
        """Folds without a metric that other folds have."""
        without = [fold for fold in self.lines if not self.counts(metric, fold)]
        return without if len(without) < len(self.lines) else []

    @cached_property
    def notes(self) -> dict[str, str]:
        """Metric -> why it has no value."""
        scores = read_json(self.folds[0] / f"decode_{self.part}" / "score.json")["scores"]
        return {row["metric"]: row["note"] for row in scores if row.get("note")}

    @cached_property
    def lines(self) -> dict[str, Lines]:
        """Fold -> lines of rows.jsonl. Raises UserError if two folds share an utterance."""
        lines: dict[str, Lines] = {}
        fold_of: dict[tuple[str, str], str] = {}
        for fold in self.folds:
            name = self.name(fold)
            lines[name] = read_rows(fold / f"decode_{self.part}" / ROWS)
            for line in lines[name]:
                other = fold_of.setdefault((name.rpartition("/")[0], line["utt_id"]), name)
                if other != name:
                    raise UserError(
                        f"{self.path}: '{line['utt_id']}' is in the {self.part} parts of {other} "
                        f"and of {name}: remove one of the folds"
                    )
        return lines

    @cached_property
    def utt_ids(self) -> frozenset[str]:
        """The ids of the utterances of all folds."""
        return frozenset(line["utt_id"] for lines in self.lines.values() for line in lines)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The stored configuration of the first fold; empty if there is none."""
        import yaml

        path = self.folds[0] / "config.yaml"
        return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}

    def counts(self, metric: Metric, fold: str) -> Rows:
        """The counts of a metric in one fold, empty if it was not scored there."""
        return [
            (Utterance(line["utt_id"], "", line["spk"]), line[metric.name])
            for line in self.lines[fold]
            if metric.name in line
        ]

    def by_fold(self, metric: Metric) -> list[float]:
        """The value in each fold that has one; the mean over seeds."""
        values: dict[str, list[float]] = {}
        for fold in self.lines:
            value = self._value(metric, fold)
            if value is not None:
                values.setdefault(fold.rpartition("/")[2], []).append(value)
        return [round(statistics.fmean(of_seeds), 4) for of_seeds in values.values()]

    def by_seed(self, metric: Metric, mean_of_folds: bool) -> list[float]:
        """The value of each seed that has one: the mean of its folds, or pooled over them."""
        values: list[float] = []
        for folds in self.seeds.values():
            all_folds = [self._value(metric, fold) for fold in folds]
            of_folds = [value for value in all_folds if value is not None]
            if not of_folds:
                continue
            value = statistics.fmean(of_folds)
            if not mean_of_folds:
                value = metric.value(total([counts for _, counts in self.rows(metric, folds)]))
            if not math.isnan(value):
                values.append(round(value, 4))
        return values

    def _value(self, metric: Metric, fold: str) -> float | None:
        rows = self.counts(metric, fold)
        if not rows:
            return None
        value = metric.value(total([counts for _, counts in rows]))
        return None if math.isnan(value) else value

    def rows(self, metric: Metric, folds: Collection[str] | None = None) -> Rows:
        """Pooled rows of all or some folds; CIDEr is computed on the pooled set of each seed."""
        rows: Rows = []
        for of_seed in self.seeds.values():
            pooled = [fold for fold in of_seed if folds is None or fold in folds]
            rows += self._pooled_rows(metric, pooled)
        return rows

    def _pooled_rows(self, metric: Metric, pooled: Sequence[str]) -> Rows:
        rows: Rows = []
        for fold in pooled:
            rows += self.counts(metric, fold)
        if not (metric.of_set and metric.captions and len(pooled) > 1 and rows):
            return rows
        tokens: dict[str, dict[str, Any]] = {}
        for fold in pooled:
            for line in self.lines[fold]:
                if "tokens" in line:
                    tokens[line["utt_id"]] = line["tokens"]
        utterances = [utt for utt, _ in rows]
        hyps = [tokens[utt.utt_id]["hyp"] for utt in utterances]
        references = [_references(tokens[utt.utt_id]) for utt in utterances]
        captions = Captions.of_tokens(hyps, references, self.scoring)
        if metric.pool:
            return list(zip(utterances, metric.pool(captions, [counts for _, counts in rows])))
        return list(zip(utterances, metric.captions(captions)))

    def test_rows(self, name: str) -> Lines:
        """The rows of a test beside the scores (FAITHFULNESS, DEPENDENCE), of all folds."""
        rows: Lines = []
        for fold in self.folds:
            path = fold / f"decode_{self.part}" / name
            rows += read_jsonl(path) if path.exists() else []
        return rows

    def folds_without_test(self, name: str) -> list[str]:
        paths = [fold / f"decode_{self.part}" / name for fold in self.folds]
        return [self.name(path.parent.parent) for path in paths if not path.exists()]


def _references(tokens: Mapping[str, Any]) -> list[str]:
    """The tokenised references of a line of rows.jsonl: one, or several."""
    several: list[str] | None = tokens.get("refs")
    return several or [tokens["ref"]]
