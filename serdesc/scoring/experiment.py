"""A scored experiment: its folds' rows as one set, what they are signed with, and what they were made by."""

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
from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Metric
from serdesc.scoring.score import ROWS, Rows, check_not_stale, read_rows, total

Lines = list[dict[str, Any]]  # of one fold's rows.jsonl


@dataclass(frozen=True)
class Experiment:
    path: Path
    part: str  # which decoded set
    folds: tuple[Path, ...]
    scoring: ScoringConfig

    @classmethod
    def open(cls, path: Path, part: str, config: Config) -> Experiment:
        folds = sorted(
            (
                p
                for p in path.glob("fold*")
                if p.name[4:].isdecimal() and (p / f"decode_{part}" / "score.json").exists()
            ),
            key=lambda p: int(p.name[4:]),
        )
        if not folds:
            raise UserError(
                f"{path}: no fold*/decode_{part}/score.json in it. Run stages 4 to 6 first"
            )
        for fold in folds:
            check_not_stale(fold / f"decode_{part}" / "score.json")
        return cls(path, part, tuple(folds), config.scoring)

    @cached_property
    def signatures(self) -> dict[str, str]:
        """The signature of each metric, which must be the same in all folds."""
        found: dict[str, str] = {}
        for fold in self.folds:
            for row in read_json(fold / f"decode_{self.part}" / "score.json")["scores"]:
                known = found.setdefault(row["metric"], row["signature"])
                if known != row["signature"]:
                    raise UserError(
                        f"{fold}: {row['metric']} was scored as {row['signature']}, another fold as {known}: these are not comparable. "
                        "Score all folds with one configuration."
                    )
        return found

    def must_be_signed(self, wanted: str) -> None:
        """Raises UserError where the folds were scored with another setting, of which the signature tells."""
        key = wanted.partition(":")[0]
        for signature in self.signatures.values():
            signed = next(
                (part for part in signature.split("|") if part.startswith(f"{key}:")), wanted
            )
            if signed != wanted:
                raise UserError(
                    f"{self.path}: its folds were scored with {signed}, asked for is {wanted}: --set scoring.{signed.replace(':', '=')}"
                )

    def lacking(self, metric: Metric) -> list[str]:
        """Folds in which a metric was not scored that others have."""
        without = [
            fold
            for fold, lines in self.lines.items()
            if not any(metric.name in line for line in lines)
        ]
        return without if len(without) < len(self.lines) else []

    @cached_property
    def notes(self) -> dict[str, str]:
        """Why a metric has no value."""
        scores = read_json(self.folds[0] / f"decode_{self.part}" / "score.json")["scores"]
        return {row["metric"]: row["note"] for row in scores if row.get("note")}

    @cached_property
    def lines(self) -> dict[str, Lines]:
        """Fold -> rows.jsonl, of which no two have an utterance in common."""
        found: dict[str, Lines] = {}
        fold_of: dict[str, str] = {}
        for fold in self.folds:
            found[fold.name] = read_rows(fold / f"decode_{self.part}" / ROWS)
            for line in found[fold.name]:
                if (other := fold_of.setdefault(line["utt_id"], fold.name)) != fold.name:
                    raise UserError(
                        f"{self.path}: '{line['utt_id']}' stands in the {self.part} parts of {other} and of {fold.name}: take one away"
                    )
        return found

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration of the first fold, as it was written."""
        import yaml

        path = self.folds[0] / "config.yaml"
        return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}

    def counts(self, metric: Metric, fold: str) -> Rows:
        return [
            (Utterance(line["utt_id"], "", line["spk"]), line[metric.name])
            for line in self.lines[fold]
            if metric.name in line
        ]

    def by_fold(self, metric: Metric) -> list[float]:
        values = [
            metric.value(total([counts for _, counts in rows]))
            for fold in self.lines
            if (rows := self.counts(metric, fold))
        ]
        return [round(value, 4) for value in values if not math.isnan(value)]

    def rows(self, metric: Metric, folds: Collection[str] | None = None) -> Rows:
        """All folds' rows, or some folds'; where a caption's score depends on its set, scored anew as one set."""
        taken = [fold for fold in self.lines if folds is None or fold in folds]
        rows = [row for fold in taken for row in self.counts(metric, fold)]
        if not (metric.of_set and metric.captions and len(taken) > 1 and rows):
            return rows
        tokens = {
            line["utt_id"]: line["tokens"]
            for fold in taken
            for line in self.lines[fold]
            if "tokens" in line
        }
        hyps, refs = ([tokens[utt.utt_id][side] for utt, _ in rows] for side in ("hyp", "ref"))
        return list(
            zip(
                [utt for utt, _ in rows],
                metric.captions(Captions.of_tokens(hyps, refs, self.scoring)),
            )
        )

    @cached_property
    def heard(self) -> Lines:
        """What the sound itself says of the claims, where `score --faithful` measured it."""
        return [
            row
            for fold in self.folds
            if (path := self._heard_of(fold)).exists()
            for row in read_jsonl(path)
        ]

    @property
    def unheard(self) -> list[str]:
        return [fold.name for fold in self.folds if not self._heard_of(fold).exists()]

    def _heard_of(self, fold: Path) -> Path:
        return fold / f"decode_{self.part}" / "faithfulness.rows.jsonl"
