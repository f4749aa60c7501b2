"""Scores of a file of hypotheses, by anybody's system, against a data directory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from serdesc import config as configs
from serdesc import files, manifest
from serdesc.config import Config, MeasureConfig
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.scoring import by_descriptors, hypotheses, metrics, references
from serdesc.scoring import score as scoring
from serdesc.scoring.by_descriptors import ByDescriptors
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.metric import Metric
from serdesc.scoring.references import References
from serdesc.scoring.score import Counted, Score, ScoreInputs
from serdesc.scoring.signature import Provenance, target_signature

if TYPE_CHECKING:
    import pandas as pd

MISSING = ("error", "wrong")
ANSWERS = ("caption", "transcript")
OF_TRANSCRIPTS = ("wer", "cer")
NO_TRANSCRIPT = (
    "no answer has a transcript in quotation marks. If the answers are those of an ASR system: --as"
    " transcript"
)
ABSENT = (
    "nothing of it in these labels, captions or answers (or the target has none: --set target...)"
)


@dataclass(frozen=True)
class Evaluation:
    """The hypotheses of a data directory with their scores."""

    utterances: list[Utterance]
    hypotheses: dict[str, Hypothesis]  # by utterance
    errors: dict[str, list[str]]  # kind of error -> utterances that count as wrong
    metrics: list[Metric]
    scores: list[Score]
    counted: Counted
    inputs: ScoreInputs
    by_descriptors: ByDescriptors

    def write(self, path: Path) -> None:
        """Write score.json and its rows file."""
        table, tokens = self.counted.table, self.counted.tokens
        by_descriptors = self.by_descriptors.to_dict()
        scoring.write(path, self.scores, table, tokens, self.errors, self.inputs, by_descriptors)

    def frame(self) -> pd.DataFrame:
        """One row per metric: value, chance, n, interval (low, high), unit, signature, note."""
        import pandas as pd

        rows = []
        for score in self.scores:
            row = asdict(score)
            row["low"], row["high"] = row.pop("interval") or (None, None)
            row["unit"] = next(m.unit for m in self.metrics if m.name == score.metric)
            del row["counts"]
            rows.append(row)
        return pd.DataFrame(rows).set_index("metric")


@dataclass(frozen=True)
class Request:
    """What is to be scored, and how."""

    data: Path
    hyp: Path
    config: Config
    metrics: list[Metric]
    selected: bool  # the user named the metrics: those without a score are reported
    refs: Path | None
    missing: str  # what an utterance without an answer is: error, or wrong
    answers_are: str  # one of ANSWERS

    @classmethod
    def of(
        cls,
        data: Path,
        hyp: Path,
        config: Config,
        metric: str = "",
        refs: Path | None = None,
        missing: str = "error",
        answers: str = "caption",
    ) -> Request:
        """metric: names separated by commas, all by default. Raises UserError."""
        for option, value, known in (("missing", missing, MISSING), ("as", answers, ANSWERS)):
            if value not in known:
                raise UserError(f"--{option} {value}: not one of {', '.join(known)}")
        if answers == "transcript":
            metric = metric or ",".join(OF_TRANSCRIPTS)
        chosen = metrics.chosen(metric)
        others = [m.name for m in chosen if m.name not in OF_TRANSCRIPTS]
        if answers == "transcript" and others:
            raise UserError(
                f"--as transcript: {', '.join(others)} cannot be computed from transcripts; omit"
                " --metric, or name wer or cer"
            )
        return cls(data, hyp, config, chosen, bool(metric), refs, missing, answers)

    @cached_property
    def answers(self) -> tuple[list[Utterance], dict[str, Hypothesis], dict[str, list[str]]]:
        """Utterances with their references, a hypothesis of each, and the errors by kind."""
        wrong = self.missing == "wrong"
        answers, errors = hypotheses.answered(
            self.hyp, self.utterances, wrong, self.answers_are == "transcript"
        )
        return self.utterances, answers, errors

    @cached_property
    def utterances(self) -> list[Utterance]:
        return datadir.read(self.data)

    @cached_property
    def references(self) -> References | None:
        """The captions of --refs; None: those of the data directory."""
        return references.read(self.refs, self.utterances) if self.refs else None

    @cached_property
    def inputs(self) -> ScoreInputs:
        """Identity of everything that the scores depend on."""
        settings: list[Any] = [
            asdict(self.config.scoring),
            asdict(self.config.target),
            asdict(Provenance.of(self.data, self.config)),
            self.signature_fields(),
            [metric.name for metric in self.metrics],
        ]
        return ScoreInputs.of(self.hyp, self.answers[0], settings)

    def signature_fields(self) -> dict[str, str]:
        """Entries of the signature that this request adds."""
        fields = {}
        if self.refs and self.references:
            digest = self.references.sha256
            fields["refs"] = f"{self.references.name} {digest[:8]}"
            fields |= _translation(self.refs, digest)
        if self.missing == "wrong":
            fields["missing"] = "wrong"
        if self.answers_are == "transcript":
            fields["answers"] = "transcripts"
        return fields

    @property
    def learnt(self) -> dict[str, str]:
        """Measures of the labels that the model was trained on, where these labels have others."""
        return Provenance.of(self.data, self.config).learnt(self.trained_measures)

    @property
    def trained_measures(self) -> MeasureConfig | None:
        """Measures of the labels that the model was trained on; None if that is not known."""
        return self.config.measure if own_config(self.hyp) else None


def _translation(refs: Path, digest: str) -> dict[str, str]:
    """The LLM, its weights and the prompt of references that `serdesc translate` wrote."""
    path = refs.with_suffix(".made.json")
    record = read_json(path) if path.exists() else {}
    if "translation" not in record:
        return {}
    prompt = files.digest(record["translation"])[:8]
    text = f"{record['llm']} {record['weights'][:8]} prompt {prompt}"
    return {"translated": text if record.get("sha256") == digest else f"{text} edited"}


def _sex_of(metric: Metric, utterances: Sequence[Utterance]) -> dict[str, str]:
    """Whose pitch that of speakers of unknown sex was compared with, if there are such labels."""
    compares_pitch = metric.captions or metric.settings.get("field") == "pitch"
    pooled = any(utt.gender is None and utt.labels and utt.labels.pitch for utt in utterances)
    return {"unknown_sex": "all speakers"} if compares_pitch and pooled else {}


def _no_transcripts(answers: Mapping[str, Hypothesis]) -> bool:
    """Whether answers of another system than serdesc lack transcripts altogether."""
    if any(a.decoded or a.fields.transcript is not None for a in answers.values()):
        return False
    return any(answer.response for answer in answers.values())


def own_config(hyp: Path) -> list[Path]:
    """The configuration of the experiment that wrote exp/X/fold1/decode_test/hyp.jsonl, if any."""
    decoded = hyp.absolute().parent
    config = decoded.parent / "config.yaml"
    return [config] if manifest.is_decoded(decoded) and config.exists() else []


def load_config(
    hyp: Path, files: Sequence[Path] | None = None, settings: list[str] | None = None
) -> Config:
    """The experiment's own configuration, overridden by files and settings."""
    return configs.load([*own_config(hyp), *(files or [])], settings)


def evaluate(request: Request) -> Evaluation:
    """Score a file of hypotheses; nothing is written or printed.

    A metric without a score is omitted, unless it was selected or its program failed: then its note
    states why. Raises UserError for missing answers (see Request.missing) and unreadable files.
    """
    config, (utterances, answers, errors) = request.config, request.answers
    several = request.references.captions if request.references else None
    counted = scoring.rows(
        utterances, answers, config.target, request.metrics, config.scoring, several
    )
    provenance, fields = Provenance.of(request.data, config), request.signature_fields()
    scores = []
    for metric in request.metrics:
        rows = counted.table[metric.name]
        note = ""
        if rows and metric.transcript and _no_transcripts(answers):
            counted.table[metric.name] = rows = []
            note = NO_TRANSCRIPT
        if not rows and not note:
            reason = metric.missing(config.scoring) or ABSENT
            note = counted.notes.get(metric.name, reason if request.selected else "")
        if not rows and not note:
            continue
        signed = {
            **provenance.signature_fields(metric, request.trained_measures),
            **_sex_of(metric, utterances),
            **fields,
            **target_signature(metric, config.target, config.scoring),
        }
        if metric.captions:
            signed["nrefs"] = request.references.count if request.references else "1"
        scores.append(scoring.score(metric, rows, config.scoring, signed, note))
    return Evaluation(
        utterances,
        answers,
        errors,
        request.metrics,
        scores,
        counted,
        request.inputs,
        by_descriptors.compute(by_descriptors.answers_of(counted.table), config.scoring),
    )
