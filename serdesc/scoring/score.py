"""Scores of hypotheses against a data directory: score.json, its rows file, and signatures."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Container, Mapping, Sequence

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
from serdesc.configfile import FORMER
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.files import read_json, read_jsonl, read_text, write_json, write_jsonl
from serdesc.scoring.bootstrap import Rows, interval, total
from serdesc.scoring.captions import Captions, chosen, refuse_other_languages
from serdesc.scoring.captions import signature_fields as caption_signature
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.java import NotComputed
from serdesc.scoring.metric import Metric

ROWS = "rows.jsonl"
BY_DESCRIPTORS = "emotion by descriptors"  # key of score.json
MEASURED = ("pitch", "energy", "speed")  # fields whose labels are binned measures
FORMER_MEASURES = asdict(MeasureConfig()) | FORMER["measure"]  # before version 0.4.0
SIGNED_MEASURES = ("source", "pitch", "speed", "speech_time", "energy", "traits")  # in all cases


@dataclass(frozen=True)
class Score:
    """The value of a metric with what it is computed from; one entry of score.json."""

    metric: str
    value: float | None  # percent
    chance: float | None
    n: int
    counts: dict[str, float]
    interval: tuple[float, float] | None  # 95 %
    signature: str
    note: str = ""  # why the value is missing


def read_references(path: Path, utterances: Sequence[Utterance]) -> list[Utterance]:
    """The utterances with captions replaced by those of a Kaldi text file (`<utt_id> <caption>`).

    Raises UserError if an utterance has no caption in the file.
    """
    lines = (line.split(None, 1) for line in read_text(path).split("\n") if line.strip())
    captions = {parts[0]: parts[1].strip() for parts in lines if len(parts) == 2}
    missing = [utt.utt_id for utt in utterances if utt.utt_id not in captions]
    if missing:
        raise UserError(
            f"{path}: no caption of {len(missing)} utterances, the first is '{missing[0]}': "
            "a line is `<utt_id> <caption>`"
        )
    return [replace(utt, caption=captions[utt.utt_id]) for utt in utterances]


@dataclass(frozen=True)
class Counted:
    """Per metric: the counts of every utterance that it applies to, or why it has none."""

    table: dict[str, Rows]
    notes: dict[str, str]
    failed: list[str]  # metrics whose program failed; the note has its error message
    tokens: dict[str, tuple[str, str]]  # utterance -> tokenised captions (hyp, ref)


def rows(
    utterances: Sequence[Utterance],
    hyps: Mapping[str, Hypothesis],
    outputs: TargetConfig,
    metrics: Sequence[Metric],
    config: ScoringConfig,
) -> Counted:
    """Counts of every metric; `hyps` must have a hypothesis for every utterance.

    If the program of a metric fails, the other metrics are still computed. Raises UserError if an
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
            if metric.count and (counts := metric.count(ref, hyps[utt.utt_id].fields)) is not None:
                table[metric.name].append((utt, counts))
    counted = Counted(table, {}, [], {})
    captioned = [utt for utt in utterances if utt.caption]
    if captioned and any(metric.captions for metric in metrics):
        compared = [chosen(hyps[utt.utt_id].response, config) for utt in captioned]
        refs = [chosen(_reference(utt, outputs, config), config) for utt in captioned]
        _count_captions(counted, captioned, Captions(compared, refs, config), metrics)
    return counted


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
            refuse_other_languages(captions.hyps, captions.refs, captions.config)
            of_captions = list(zip(utterances, count(captions), strict=True))
            counted.table.update(dict.fromkeys(names, of_captions))
        except NotComputed as reason:
            counted.notes.update(dict.fromkeys(names, str(reason)))
        except (FailedError, OSError) as error:
            counted.notes.update(dict.fromkeys(names, str(error)))
            counted.failed.extend(names)
    if captions.tokenised:
        for utt, pair in zip(utterances, zip(*captions.tokens)):
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
    """Value, chance level, 95 % interval and signature; `signed` enters the signature."""
    summed = total([counts for _, counts in counted])
    value = metric.value(summed) if counted else math.nan
    chance = round(metric.chance(summed), 4) if metric.chance and counted else None
    return Score(
        metric=metric.name,
        value=None if math.isnan(value) else round(value, 4),
        chance=chance,
        n=len(counted),
        counts=summed,
        interval=interval(metric, counted, config),
        signature=signature(metric, config, signed),
        note=note,
    )


def signature(metric: Metric, config: ScoringConfig, signed: Mapping[str, Any]) -> str:
    """What a value depends on, in one line: metric, settings, protocol, unit, version."""
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
    """The settings that utterances, folds and labels were created with.

    Read from the file that `serdesc annotate` writes beside the folds; the configuration if it is
    absent.
    """

    prepare: dict[str, Any]
    folds: FoldsConfig
    measure: dict[str, Any]

    @classmethod
    def of(cls, data: Path, config: Config) -> Provenance:
        path = data.parent.parent / datadir.LABELS_RECORD
        stored = read_json(path) if path.exists() else {}
        rename_keys(stored.get("settings", {}), str(path), "prepare")
        folds = FoldsConfig(**stored["folds"]) if "folds" in stored else config.folds
        measure = asdict(config.measure)
        if "measure" in stored:  # by an earlier version, perhaps, with fewer keys
            measure = FORMER_MEASURES | stored["measure"]
        return cls({**asdict(config.prepare), **stored.get("settings", {})}, folds, measure)

    def signature_fields(self, metric: Metric, trained: MeasureConfig | None) -> dict[str, str]:
        """The folds, and the settings that the metric depends on.

        The measures behind the labels are included if the metric uses them; with `trained`, those
        of the labels that the model learnt, where they differ.
        """
        fields = {
            "fold_rule": self.folds.rule,
            "protocol": self.folds.protocol,
            "labels": "+".join(self.folds.labels) or "all",
        }
        choices = {key: self.prepare[key] for key in datadir.PREPARE_KEYS}
        fields |= _settings(choices, PrepareConfig(), "")
        measured = (*MEASURED, *self.measure["traits"])
        if metric.captions or metric.settings.get("field") in measured:
            # Of a corpus's own labels the configuration says no more than what it sets.
            always = SIGNED_MEASURES if self.measure["source"] == "measured" else ("source",)
            fields |= _settings(self.measure, MeasureConfig(), "measure_", always)
            fields |= self.learnt(trained)
        return fields

    def learnt(self, trained: MeasureConfig | None) -> dict[str, str]:
        """Measures of the labels that a model was trained on, where they are not those of these."""
        fields = {}
        for key, value in asdict(trained or MeasureConfig()).items():
            if trained and key in SIGNED_MEASURES and value != self.measure[key]:
                fields[f"trained_{key}"] = _text(value)
        return fields


def _settings(
    values: Mapping[str, Any], defaults: Any, prefix: str, always: Container[str] = ()
) -> dict[str, str]:
    """Settings for a signature: those of `always`, and others that are not the default."""
    fields = {}
    for key, value in values.items():
        if key in always or value != asdict(defaults)[key]:
            fields[prefix + key] = _text(value)
    return fields


def _text(value: Any) -> str:
    return "+".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def completed(signature: str) -> str:
    """A signature with the measures that versions before 0.4.0 left out: SpeechCraft's."""
    parts = dict(part.partition(":")[::2] for part in signature.split("|"))
    uses_measures = "target" in parts or parts.get("field") in MEASURED
    if not uses_measures or "measure_source" in parts:
        return signature
    measures = {f"measure_{key}": _text(FORMER_MEASURES[key]) for key in SIGNED_MEASURES}
    signed: dict[str, str] = {}
    for key, value in parts.items():
        if key in ("target", "unit") and not measures.keys() <= signed.keys():
            signed |= {name: parts.get(name, text) for name, text in measures.items()}
        signed.setdefault(key, value)
    return "|".join(f"{key}:{value}" for key, value in signed.items())


def target_signature(
    metric: Metric, outputs: TargetConfig, config: ScoringConfig
) -> dict[str, str]:
    """The parts of a caption metric's references; the transcript only if it is compared."""
    if not metric.captions:
        return {}
    names = [name for name in ("transcript", "descriptors", "emotion") if getattr(outputs, name)]
    if config.caption_text != "full":
        names = [name for name in names if name != "transcript"]
    return {"target": "+".join(names)}


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
        complete = not any(row["note"] for row in stored["scores"])
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
    tokens: Mapping[str, tuple[str, str]] = {},
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
    for utt_id, (hyp, ref) in tokens.items():
        by_utterance[utt_id]["tokens"] = {"hyp": hyp, "ref": ref}
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
