"""Scores of hypotheses against a data directory: score.json and its rows file."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Container, Mapping, Sequence

from serdesc import __version__, files
from serdesc.captions import writer
from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig, TargetConfig
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.files import read_json, read_jsonl, write_json, write_jsonl
from serdesc.scoring.bootstrap import Rows, total
from serdesc.scoring.captions import Captions, chosen, refuse_other_languages
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.intervals import Interval, interval, method, units
from serdesc.scoring.java import NotComputed
from serdesc.scoring.metric import Metric
from serdesc.scoring.signature import signature

ROWS = "rows.jsonl"
BY_DESCRIPTORS = "emotion by descriptors"  # key of score.json


@dataclass(frozen=True)
class Score:
    """The value of a metric with what it is computed from; one entry of score.json."""

    metric: str
    value: float | None  # percent
    chance: float | None
    n: int
    counts: dict[str, float]
    interval: Interval | None  # 95 %
    signature: str
    note: str = ""  # why the value is missing
    interval_units: int = 0  # speakers (or utterances) that the interval is computed over


@dataclass(frozen=True)
class Counted:
    """Per metric: the counts of every utterance that it applies to, or why it has none."""

    table: dict[str, Rows]
    notes: dict[str, str]
    failed: list[str]  # metrics whose program failed; the note has its error message
    tokens: dict[str, tuple[str, list[str]]]  # utterance -> tokenised hypothesis and references


def rows(
    utterances: Sequence[Utterance],
    hyps: Mapping[str, Hypothesis],
    outputs: TargetConfig,
    metrics: Sequence[Metric],
    config: ScoringConfig,
    references: Mapping[str, list[str]] | None = None,
) -> Counted:
    """Counts of every metric; `hyps` must have a hypothesis for every utterance.

    references: captions of each utterance to compare with, as they are; by default the utterance's
    own, limited to the fields of the target. Fields are compared with the labels in all cases. If
    the program of a metric fails, the other metrics are still computed. Raises UserError if an
    utterance has no labels.
    """
    table: dict[str, Rows] = {metric.name: [] for metric in metrics}
    any_posterior = any(hyp.posterior for hyp in hyps.values())
    emotions = {utt.labels.emotion for utt in utterances if utt.labels}
    for utt in utterances:
        if utt.labels is None:
            raise UserError(
                f"'{utt.utt_id}' has no labels: score the directory of a fold (data/X/fold1/test), "
                "which `serdesc annotate` writes"
            )
        ref = writer.select(utt.labels, outputs)
        for metric in metrics:
            if metric.posterior and ref.emotion and any_posterior:
                posterior = hyps[utt.utt_id].posterior
                if metric.closed_set:
                    posterior = _restricted(posterior, emotions)
                table[metric.name].append((utt, metric.posterior(ref.emotion, posterior)))
            if metric.transcript and ref.transcript is not None:
                said = hyps[utt.utt_id].fields.transcript
                counts = metric.transcript(ref.transcript, said, config)
                table[metric.name].append((utt, counts))
            if not metric.count or not metric.can_run(config):
                continue
            answer = _nearest(hyps[utt.utt_id].fields, metric.nearest, emotions)
            read = metric.count(ref, answer)
            if read is not None:
                table[metric.name].append((utt, read))
    counted = Counted(table, {}, [], {})
    captioned = [utt for utt in utterances if references or utt.caption]
    of_captions = [metric for metric in metrics if metric.captions and metric.can_run(config)]
    if captioned and of_captions:
        compared = [chosen(hyps[utt.utt_id].response, config) for utt in captioned]
        refs: list[list[str]] = []
        for utt in captioned:
            own = references[utt.utt_id] if references else [_reference(utt, outputs, config)]
            refs.append([chosen(caption, config) for caption in own])
        _count_captions(counted, captioned, Captions(compared, refs, config), of_captions)
    return counted


def _nearest(fields: Fields, nearest: Mapping[str, str], emotions: Container[str | None]) -> Fields:
    """The fields with an emotion that the labels lack as the nearest of theirs."""
    own = nearest.get(fields.emotion or "")
    if own not in emotions or fields.emotion in emotions:
        return fields
    return replace(fields, emotion=own)


def _restricted(
    posterior: Mapping[str, float] | None, emotions: Container[str | None]
) -> dict[str, float] | None:
    """The posterior of these emotions; None without one of them."""
    return {name: p for name, p in (posterior or {}).items() if name in emotions} or None


def _count_captions(
    counted: Counted, utterances: Sequence[Utterance], captions: Captions, metrics: Sequence[Metric]
) -> None:
    """Add the counts of the caption metrics; metrics that share a function are counted once."""
    for count in dict.fromkeys(metric.captions for metric in metrics if metric.captions):
        names = [metric.name for metric in metrics if metric.captions is count]
        try:
            refuse_other_languages(captions)
            of_captions = list(zip(utterances, count(captions), strict=True))
            counted.table.update(dict.fromkeys(names, of_captions))
        except NotComputed as reason:
            counted.notes.update(dict.fromkeys(names, str(reason)))
        except (FailedError, OSError) as error:
            counted.notes.update(dict.fromkeys(names, str(error)))
            counted.failed.extend(names)
    if captions.tokenised:
        for utt, pair in zip(utterances, zip(*captions.token_lists)):
            counted.tokens[utt.utt_id] = pair


def _reference(utt: Utterance, outputs: TargetConfig, config: ScoringConfig) -> str:
    """The reference caption, limited to the fields of the target.

    With `caption_text: style` the transcript is not compared, so it never limits the caption.
    """
    fields = utt.labels or Fields()
    compared = replace(outputs, transcript=True) if config.caption_text == "style" else outputs
    selected = writer.select(fields, compared)
    if selected == fields:
        return utt.caption or ""
    return writer.render(selected, utt.utt_id)


def score(
    metric: Metric, counted: Rows, config: ScoringConfig, signed: Mapping[str, Any], note: str = ""
) -> Score:
    """Value, chance level, 95 % interval and signature; `signed` enters the signature.

    note: why there are no counts; where there are, but no value, the note is the metric's reason.
    """
    summed = total([counts for _, counts in counted])
    value = metric.value(summed) if counted else math.nan
    if counted:
        note = metric.undefined if math.isnan(value) else ""
    span = interval(metric, counted, config)
    chance = round(metric.chance(summed), 4) if metric.chance and counted else None
    of_units = units(counted, config)
    return Score(
        metric=metric.name,
        value=None if math.isnan(value) else round(value, 4),
        chance=chance,
        n=len(counted),
        counts=summed,
        interval=span,
        signature=signature(metric, config, signed, method(of_units) if span else "none"),
        note=note,
        interval_units=of_units,
    )


def scores_of(hyp: Path) -> Path:
    """The score file of a hypothesis file: score.json for hyp.jsonl, X.score.json for any X.tsv."""
    stem = hyp.stem if hyp.suffix[1:].isalpha() else hyp.name  # .5 of model-1.5 is no suffix
    return hyp.with_name("score.json" if hyp.name == "hyp.jsonl" else f"{stem}.score.json")


def beside(out: Path, name: str) -> Path:
    """A file beside a score file: NAME for score.json, X.NAME for X.score.json or X.json."""
    return out.with_name((f".{out.stem}".removesuffix(".score") + f".{name}")[1:])


@dataclass(frozen=True)
class ScoreInputs:
    """The hypothesis file that was scored, its hash, and a key of all inputs of the scores."""

    answers: str  # name of the hypothesis file
    sha256: str
    key: str

    @classmethod
    def of(cls, hyp: Path, utterances: Sequence[Utterance], settings: Any) -> ScoreInputs:
        sha256 = files.file_digest(hyp)
        key = files.digest(sha256, datadir.identity(utterances), settings, __version__)
        return cls(hyp.name, sha256, key)

    def are_scored(self, out: Path) -> bool:
        """True if `out` has the scores of these inputs, and every value could be computed."""
        if not out.exists() or not beside(out, ROWS).exists():
            return False
        stored = read_json(out)
        complete = not any(row["note"] and not row["n"] for row in stored["scores"])
        return stored.get("of") == asdict(self) and complete


def check_not_stale(out: Path) -> None:
    """Raises UserError if the hypotheses have changed since they were scored."""
    of = read_json(out).get("of") or {}
    hyp = out.parent / of.get("answers", "")
    if hyp.is_file() and files.file_digest(hyp) != of["sha256"]:
        raise UserError(f"{out}: {hyp.name} has been decoded again since: rerun the score stage")


def write(
    out: Path,
    scores: Sequence[Score],
    table: Mapping[str, Rows],
    tokens: Mapping[str, tuple[str, list[str]]] = {},
    errors: Mapping[str, Sequence[str]] = {},
    source: ScoreInputs | None = None,
    by_descriptors: Mapping[str, Any] = {},
) -> None:
    """Write score.json, and the rows file: one line per utterance with its counts and tokens.

    `errors` are the utterances that count as wrong, by kind (hypotheses.answered); by_descriptors:
    the emotion's accuracy by right descriptors.
    """
    by_utterance: dict[str, dict[str, Any]] = {}
    for name, counted in table.items():
        for utt, counts in counted:
            row = by_utterance.setdefault(utt.utt_id, {"utt_id": utt.utt_id, "spk": utt.spk})
            row[name] = counts
    for utt_id, (hyp, refs) in tokens.items():
        several = {"ref": refs[0]} if len(refs) == 1 else {"refs": refs}
        by_utterance[utt_id]["tokens"] = {"hyp": hyp, **several}
    write_jsonl(beside(out, ROWS), [by_utterance[utt_id] for utt_id in sorted(by_utterance)])
    tree: dict[str, Any] = {"scores": [asdict(s) for s in scores], "rows": beside(out, ROWS).name}
    if errors:
        tree["counted as wrong"] = errors
    if by_descriptors:
        tree[BY_DESCRIPTORS] = by_descriptors
    if source:
        tree["of"] = asdict(source)
    write_json(out, tree)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a rows file. Raises UserError if it is missing."""
    if not path.exists():
        raise UserError(
            f"{path}: no score rows. Run: serdesc score DATA --hyp {path.parent / 'hyp.jsonl'}"
        )
    return read_jsonl(path)
