"""Signatures: everything that a score depends on, in one line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Container, Mapping

from serdesc import __version__
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
from serdesc.files import read_json
from serdesc.scoring.captions import signature_fields as caption_signature
from serdesc.scoring.metric import Metric

MEASURED = ("pitch", "energy", "speed")  # fields whose labels are binned measures
FORMER_MEASURES = asdict(MeasureConfig()) | FORMER["measure"]  # before version 0.4.0
SIGNED_MEASURES = ("source", "pitch", "speed", "speech_time", "energy", "traits")  # in all cases


def signature(
    metric: Metric, config: ScoringConfig, signed: Mapping[str, Any], ci: str = ""
) -> str:
    """What a value depends on, in one line: metric, settings, protocol, unit, version.

    ci: the method of the interval (intervals.method).
    """
    of_captions = caption_signature(config) if metric.captions else {}
    parts = {
        "metric": metric.name,
        **of_captions,
        **metric.settings,
        **metric.signs(config),
        **signed,
        "unit": config.unit,
        **({"ci": ci} if ci else {}),
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


def comparable(signature: str) -> str:
    """What values must have in common to be pooled or to share a column.

    The signature without the method of the interval, which depends on the number of units, and with
    the measures that versions before 0.4.0 left out: SpeechCraft's.
    """
    parts = dict(part.partition(":")[::2] for part in signature.split("|"))
    parts.pop("ci", None)
    uses_measures = "target" in parts or parts.get("field") in MEASURED
    if not uses_measures or "measure_source" in parts:
        return "|".join(f"{key}:{value}" for key, value in parts.items())
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
