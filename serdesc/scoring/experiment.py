"""A scored experiment: the rows of its folds pooled, their signatures and configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Collection

from serdesc.config import Config, ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, read_jsonl
from serdesc.scoring.bootstrap import Rows, total
from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Metric
from serdesc.scoring.score import ROWS, check_not_stale, read_rows

# rows that `score --faithful` and `score --depends` write
FAITHFULNESS, DEPENDENCE = f"faithfulness.{ROWS}", f"depends.{ROWS}"
Lines = list[dict[str, Any]]  # of one fold's rows.jsonl


@dataclass(frozen=True)
class Experiment:
    """The scored folds of an experiment directory."""

    path: Path
    part: str  # the decoded set, for example test
    folds: tuple[Path, ...]
    scoring: ScoringConfig

    @classmethod
    def open(cls, path: Path, part: str, config: Config) -> Experiment:
        """Raises UserError if no fold is scored, or if hypotheses have changed since scoring."""
        scored = [
            p
            for p in path.glob("fold*")
            if p.name[4:].isdecimal() and (p / f"decode_{part}" / "score.json").exists()
        ]
        folds = sorted(scored, key=lambda p: int(p.name[4:]))
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
                signature = signatures.setdefault(row["metric"], row["signature"])
                if signature != row["signature"]:
                    raise UserError(
                        f"{fold}: {row['metric']} was scored as {row['signature']}, "
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
        fold_of: dict[str, str] = {}
        for fold in self.folds:
            lines[fold.name] = read_rows(fold / f"decode_{self.part}" / ROWS)
            for line in lines[fold.name]:
                other = fold_of.setdefault(line["utt_id"], fold.name)
                if other != fold.name:
                    raise UserError(
                        f"{self.path}: '{line['utt_id']}' is in the {self.part} parts of {other} "
                        f"and of {fold.name}: remove one of the folds"
                    )
        return lines

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
        """The value in each fold that has one."""
        values: list[float] = []
        for fold in self.lines:
            rows = self.counts(metric, fold)
            if not rows:
                continue
            value = metric.value(total([counts for _, counts in rows]))
            if not math.isnan(value):
                values.append(round(value, 4))
        return values

    def rows(self, metric: Metric, folds: Collection[str] | None = None) -> Rows:
        """Pooled rows of all or some folds; CIDEr is computed on the pooled set."""
        pooled = [fold for fold in self.lines if folds is None or fold in folds]
        rows: Rows = []
        for fold in pooled:
            rows += self.counts(metric, fold)
        if not (metric.of_set and metric.captions and len(pooled) > 1 and rows):
            return rows
        tokens: dict[str, dict[str, str]] = {}
        for fold in pooled:
            for line in self.lines[fold]:
                if "tokens" in line:
                    tokens[line["utt_id"]] = line["tokens"]
        utterances = [utt for utt, _ in rows]
        hyps = [tokens[utt.utt_id]["hyp"] for utt in utterances]
        refs = [tokens[utt.utt_id]["ref"] for utt in utterances]
        captions = Captions.of_tokens(hyps, refs, self.scoring)
        return list(zip(utterances, metric.captions(captions)))

    def test_rows(self, name: str) -> Lines:
        """The rows of a test beside the scores (FAITHFULNESS, DEPENDENCE), of all folds."""
        rows: Lines = []
        for fold in self.folds:
            path = fold / f"decode_{self.part}" / name
            rows += read_jsonl(path) if path.exists() else []
        return rows

    def folds_without_test(self, name: str) -> list[str]:
        folds = self.folds
        return [f.name for f in folds if not (f / f"decode_{self.part}" / name).exists()]
