"""score.json from a data directory and hypotheses, with rows beside it and a signature on every figure."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from serdesc import __version__, files
from serdesc.captions import writer
from serdesc.captions.fields import Fields
from serdesc.config import (
    Config,
    FoldsConfig,
    MeasureConfig,
    PrepareConfig,
    ScoringConfig,
    TargetConfig,
    rename_keys,
)
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.files import read_json, read_jsonl, read_text, write_json, write_jsonl
from serdesc.scoring.captions import Captions, chosen, refuse_other_languages
from serdesc.scoring.captions import signed as caption_signature
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.java import NotComputed
from serdesc.scoring.metric import Counts, Metric

ROWS = "rows.jsonl"
MEASURED = ("pitch", "energy", "speed")  # fields whose labels are cut from measures


@dataclass(frozen=True)
class Score:
    metric: str
    value: float | None  # percent
    chance: float | None
    n: int
    counts: dict[str, float]
    interval: tuple[float, float] | None  # 95 %
    signature: str
    note: str = ""  # why there is no value


Rows = list[tuple[Utterance, Counts]]


def read_references(path: Path, utterances: Sequence[Utterance]) -> list[Utterance]:
    """The utterances with the captions of a Kaldi text file (`<utt_id> <caption>`), which must have all of them."""
    lines = (line.split(None, 1) for line in read_text(path).split("\n") if line.strip())
    given = {parts[0]: parts[1].strip() for parts in lines if len(parts) == 2}
    missing = [utt.utt_id for utt in utterances if utt.utt_id not in given]
    if missing:
        raise UserError(
            f"{path}: no caption of {len(missing)} utterances, the first is '{missing[0]}': a line is `<utt_id> <caption>`"
        )
    return [replace(utt, caption=given[utt.utt_id]) for utt in utterances]


@dataclass(frozen=True)
class Counted:
    """For each metric the counts of every utterance that it applies to, and why a metric has none."""

    table: dict[str, Rows]
    notes: dict[str, str]
    failed: list[str]  # metrics whose program failed; the note says how
    tokens: dict[str, tuple[str, str]]  # of captions (hyp, ref)


def rows(
    utterances: Sequence[Utterance],
    hyps: Mapping[str, Hypothesis],
    outputs: TargetConfig,
    metrics: Sequence[Metric],
    config: ScoringConfig,
) -> Counted:
    """`hyps` has an answer to every utterance. A program that fails costs its metric and no other."""
    table: dict[str, Rows] = {metric.name: [] for metric in metrics}
    any_posterior = any(hyp.posterior for hyp in hyps.values())
    for utt in utterances:
        if utt.labels is None:
            raise UserError(
                f"'{utt.utt_id}' has no labels: score a fold's folder (data/X/fold1/test), which `serdesc annotate` makes"
            )
        ref = writer.select(utt.labels, outputs)
        for metric in metrics:
            if metric.posterior and ref.emotion and any_posterior:
                table[metric.name].append(
                    (utt, metric.posterior(ref.emotion, hyps[utt.utt_id].posterior))
                )
            if metric.count and (counts := metric.count(ref, hyps[utt.utt_id].fields)) is not None:
                table[metric.name].append((utt, counts))
    counted = Counted(table, {}, [], {})
    captioned = [utt for utt in utterances if utt.caption]
    if captioned and any(metric.captions for metric in metrics):
        said = [chosen(hyps[utt.utt_id].response, config) for utt in captioned]
        captions = Captions(
            said, [chosen(_reference(utt, outputs, config), config) for utt in captioned], config
        )
        for counts_of in dict.fromkeys(metric.captions for metric in metrics if metric.captions):
            named = [metric.name for metric in metrics if metric.captions is counts_of]
            try:
                refuse_other_languages(captions.hyps, captions.refs, config)
                table |= dict.fromkeys(
                    named, list(zip(captioned, counts_of(captions), strict=True))
                )
            except NotComputed as reason:
                counted.notes.update(dict.fromkeys(named, str(reason)))
            except (FailedError, OSError) as error:
                counted.notes.update(dict.fromkeys(named, str(error)))
                counted.failed.extend(named)
        if captions.tokenised:
            counted.tokens.update(
                {utt.utt_id: pair for utt, pair in zip(captioned, zip(*captions.tokens))}
            )
    return counted


def _reference(utt: Utterance, outputs: TargetConfig, config: ScoringConfig) -> str:
    """The reference caption, saying what the target carries. Where transcripts are not compared, a target without one changes nothing."""
    fields = utt.labels or Fields()
    compared = replace(outputs, transcript=True) if config.caption_text == "style" else outputs
    said = writer.select(fields, compared)
    return utt.caption or "" if said == fields else writer.render(said, utt.utt_id)


def total(counts: Sequence[Counts]) -> dict[str, float]:
    summed: dict[str, float] = {}
    for key in sorted({key for row in counts for key in row}):
        values = [row[key] for row in counts if key in row]
        summed[key] = (
            math.fsum(values) if any(isinstance(value, float) for value in values) else sum(values)
        )
    return summed


def score(
    metric: Metric, counted: Rows, config: ScoringConfig, signed: Mapping[str, Any], note: str = ""
) -> Score:
    summed = total([counts for _, counts in counted])
    value = metric.value(summed) if counted else math.nan
    return Score(
        metric=metric.name,
        value=None if math.isnan(value) else round(value, 4),
        chance=round(metric.chance(summed), 4) if metric.chance and counted else None,
        n=len(counted),
        counts=summed,
        interval=interval(metric, counted, config),
        signature=signature(metric, config, signed),
        note=note,
    )


def interval(metric: Metric, counted: Rows, config: ScoringConfig) -> tuple[float, float] | None:
    """95 % percentile bootstrap over speakers (or utterances); None where there are fewer than two of them."""
    return percentiles(_resampled(metric, counted, config))


def difference(
    metric: Metric, counted: Rows, reference: Rows, config: ScoringConfig
) -> tuple[float, tuple[float, float] | None]:
    """How much the metric lies above `reference` on the same utterances, and its 95 % interval: both resampled together."""
    counted, reference = (
        sorted(rows, key=lambda row: row[0].utt_id) for rows in (counted, reference)
    )
    check_same_utterances(metric, counted, reference)
    value, other = (
        metric.value(total([counts for _, counts in rows])) for rows in (counted, reference)
    )
    return value - other, percentiles(
        _resampled(metric, counted, config) - _resampled(metric, reference, config)
    )


def check_same_utterances(metric: Metric, a: Rows, b: Rows) -> None:
    """Raises UserError where two systems answered about different utterances, or in another order."""
    if [utt.utt_id for utt, _ in a] != [utt.utt_id for utt, _ in b]:
        raise UserError(
            f"{metric.name}: the two systems were not scored on the same utterances. Score both on the same data directory."
        )


@dataclass(frozen=True)
class UnitSums:
    """Summed counts of each unit (a speaker, an utterance, a fold) in order of their names, (units, keys)."""

    keys: list[str]
    sums: np.ndarray

    @classmethod
    def of(cls, counted: Rows, unit: Callable[[Utterance], str]) -> UnitSums:
        units = {name: i for i, name in enumerate(sorted({unit(utt) for utt, _ in counted}))}
        keys = sorted({key for _, counts in counted for key in counts})
        sums = np.zeros((len(units), len(keys)))
        for utt, counts in counted:
            sums[units[unit(utt)]] += [counts.get(key, 0) for key in keys]
        return cls(keys, sums)

    def rows(self) -> list[dict[str, float]]:
        return [dict(zip(self.keys, row)) for row in self.sums.tolist()]

    def value(self, metric: Metric) -> float:
        return metric.value(dict(zip(self.keys, self.sums.sum(axis=0))))

    def resampled(self, metric: Metric, picks: np.ndarray) -> np.ndarray:
        """The metric on each bootstrap resample, picks (resamples, units)."""
        return np.array(
            [metric.value(dict(zip(self.keys, self.sums[pick].sum(axis=0)))) for pick in picks]
        )


def _resampled(metric: Metric, counted: Rows, config: ScoringConfig) -> np.ndarray:
    """The metric on each resample, none of fewer than two units; equal units are drawn in the same way for any system."""
    units = UnitSums.of(counted, lambda utt: utt.spk if config.unit == "speaker" else utt.utt_id)
    n = len(units.sums)
    return (
        units.resampled(metric, np.random.default_rng(0).integers(n, size=(config.resamples, n)))
        if n > 1
        else np.zeros(0)
    )


def percentiles(values: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 %."""
    if np.isnan(values).all():  # also where there are none
        return None
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return round(float(low), 2), round(float(high), 2)


def signature(metric: Metric, config: ScoringConfig, signed: Mapping[str, Any]) -> str:
    """What a figure depends on, as one line: metric and version, its settings, the unit of the interval, the protocol."""
    of_captions = caption_signature(config) if metric.captions else {}
    parts = {
        "metric": metric.name,
        **of_captions,
        **metric.settings,
        **metric.signs(config),
        **signed,
        "unit": config.unit,
        "serdesc": __version__,
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())


@dataclass(frozen=True)
class Provenance:
    """What utterances and labels were made by, as `serdesc annotate` noted it beside their folds; where it did not, what is configured."""

    prepare: dict[str, Any]
    folds: FoldsConfig
    measure: dict[str, Any]

    @classmethod
    def of(cls, data: Path, config: Config) -> Provenance:
        noted = data.parent.parent / datadir.LABELS_RECORD
        made = read_json(noted) if noted.exists() else {}
        rename_keys(made.get("settings", {}), str(noted), "prepare")
        folds = FoldsConfig(**made["folds"]) if "folds" in made else config.folds
        return cls(
            {**asdict(config.prepare), **made.get("settings", {})},
            folds,
            made.get("measure", asdict(config.measure)),
        )

    def signature_fields(self, metric: Metric) -> dict[str, str]:
        """The folds; and what is not by default, of measures where the metric sees labels that were measured."""
        told = {
            "fold_rule": self.folds.rule,
            "protocol": self.folds.protocol,
            "labels": "+".join(self.folds.labels) or "all",
        }
        told |= _non_default(
            {key: self.prepare[key] for key in datadir.PREPARE_KEYS}, PrepareConfig(), ""
        )
        sees = metric.captions or metric.settings.get("field") in (
            *MEASURED,
            *self.measure.get("traits", ()),
        )
        return told | (_non_default(self.measure, MeasureConfig(), "measure_") if sees else {})


def _non_default(values: Mapping[str, Any], usual: Any, prefix: str) -> dict[str, str]:
    told = {
        key: "+".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in values.items()
    }
    return {prefix + key: text for key, text in told.items() if values[key] != asdict(usual)[key]}


def target_signature(
    metric: Metric, outputs: TargetConfig, config: ScoringConfig
) -> dict[str, str]:
    """What the references of a caption metric say; the transcript only where it is compared."""
    if not metric.captions:
        return {}
    names = [name for name in ("transcript", "descriptors", "emotion") if getattr(outputs, name)]
    return {
        "target": "+".join(
            name for name in names if name != "transcript" or config.caption_text == "full"
        )
    }


def scores_of(hyp: Path) -> Path:
    """Where the scores of a file of answers lie: score.json beside hyp.jsonl, X.score.json beside any other X.tsv."""
    stem = (
        hyp.stem if hyp.suffix[1:].isalpha() else hyp.name
    )  # the end of model-1.5 is none of a form
    return hyp.with_name("score.json" if hyp.name == "hyp.jsonl" else f"{stem}.score.json")


def beside(out: Path, name: str) -> Path:
    """What goes with a score file: `name` beside score.json, X.`name` beside X.score.json or any other X.json."""
    return out.with_name((f".{out.stem}".removesuffix(".score") + f".{name}")[1:])


@dataclass(frozen=True)
class ScoreInputs:
    """What scores were made of: a file of answers with its hash, and a key of all that they depend on."""

    answers: str
    sha256: str
    key: str

    @classmethod
    def of(cls, hyp: Path, utterances: Sequence[Utterance], settings: Any) -> ScoreInputs:
        digest = hashlib.sha256(hyp.read_bytes()).hexdigest()
        return cls(
            hyp.name,
            digest,
            files.digest(digest, datadir.identity(utterances), settings, __version__),
        )

    def made(self, out: Path) -> bool:
        """Whether scores of these lie there. Where a value could not be computed, the answer is no: it may be by now."""
        if not out.exists() or not beside(out, ROWS).exists():
            return False
        there = read_json(out)
        return there.get("of") == asdict(self) and not any(row["note"] for row in there["scores"])


def check_not_stale(out: Path) -> None:
    """Raises UserError where the answers beside a score file are not those that were scored."""
    of = read_json(out).get("of") or {}
    hyp = out.parent / of.get("answers", "")
    if hyp.is_file() and hashlib.sha256(hyp.read_bytes()).hexdigest() != of["sha256"]:
        raise UserError(f"{out}: {hyp.name} has been decoded anew since: score it again (stage 6)")


def write(
    out: Path,
    scores: Sequence[Score],
    table: Mapping[str, Rows],
    tokens: Mapping[str, tuple[str, str]] = {},
    faults: Mapping[str, Sequence[str]] = {},
    source: ScoreInputs | None = None,
) -> None:
    """score.json, and beside it one line an utterance with its counts for every metric and its captions' tokens."""
    by_utterance: dict[str, dict[str, Any]] = {}
    for name, counted in table.items():
        for utt, counts in counted:
            by_utterance.setdefault(utt.utt_id, {"utt_id": utt.utt_id, "spk": utt.spk})[
                name
            ] = counts
    for utt_id, (hyp, ref) in tokens.items():
        by_utterance[utt_id]["tokens"] = {"hyp": hyp, "ref": ref}
    write_jsonl(beside(out, ROWS), [by_utterance[utt_id] for utt_id in sorted(by_utterance)])
    more = {
        **({"counted as wrong": faults} if faults else {}),
        **({"of": asdict(source)} if source else {}),
    }
    write_json(out, {"scores": [asdict(s) for s in scores], "rows": beside(out, ROWS).name, **more})


def read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        raise UserError(
            f"{path}: no score rows. Run: serdesc score DATA --hyp {path.parent / 'hyp.jsonl'}"
        )
    return read_jsonl(path)
