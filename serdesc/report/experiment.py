"""The report of an experiment: what its folds decoded, scored and logged, read from disk.

score_<part>.json, baselines.json, rows.jsonl   scores (`serdesc report`, `serdesc score`)
hyp.jsonl, hyp.branches.safetensors             captions; KL and layer weights (`decode`)
data directories of the folds                   references, thresholds and measures (`annotate`)
utt2curves.jsonl                                F0, level, rate and peaks (`annotate`)
train.jsonl, env.json, config.yaml              training curves, versions, command (`train`)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Mapping, Sequence

from serdesc.captions.fields import Fields
from serdesc.config import Config
from serdesc.data import curves as sound
from serdesc.data import datadir, rejections, words
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, read_jsonl
from serdesc.report import latents, overview, rows, site
from serdesc.scoring.experiment import FAITHFULNESS, Experiment
from serdesc.scoring.hypotheses import Hypothesis, read_hypotheses

Row = dict[str, Any]


@dataclass(frozen=True)
class Fold:
    """A decoded and scored fold, with the data directory of its part."""

    path: Path  # EXP/fold<k>
    name: str
    data: Path
    decoded: Path  # EXP/fold<k>/decode_<part>

    @cached_property
    def utterances(self) -> list[Utterance]:
        return datadir.with_seconds(datadir.read(self.data))

    @cached_property
    def corpus(self) -> Path:
        """The directory that has the measures: that of the corpus, above the folds."""
        return self.data.parent.parent if self.data.parent.name.startswith("fold") else self.data


@dataclass
class Gathered:
    """The rows of all folds, and the curves of each row."""

    rows: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    layers: list[Row] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)


def write(
    exp: Path,
    part: str,
    config: Config,
    out: Path,
    data: Path | None = None,
    compare: Path | None = None,
    audio: str = "link",
    nj: int = 1,
) -> Path:
    """Write the report of an experiment to the folder `out`; returns its report.html.

    data: the data directory, by default the one that `decode` recorded. compare: another experiment
    on the same data, whose captions are shown beside. Raises UserError if a fold is not scored, the
    data are not found, or `out` is a folder of something else.
    """
    target = site.Site(out, audio)
    experiment = Experiment.open(exp, part, config)
    folds = _folds(experiment, data)
    other: dict[tuple[str, str], Row] = {}
    if compare is not None:
        other = _answers(Experiment.open(compare, part, config))
    gathered = _gather(experiment, folds, target, nj)
    if compare is not None:
        _add_other(gathered, folds, other, exp, compare)
    largest = latents.largest(gathered.curves)
    summary = overview.summary(experiment, [fold.name for fold in folds], config)
    summary |= {
        "layers": gathered.layers,
        "kl": latents.by_emotion(gathered.rows, gathered.curves),
        "scales": {**SCALES, "kl": largest},
        "rejected": _rejected(folds, gathered),
        "compare": compare.name if compare else "",
    }
    target.add_curves(gathered.curves, largest)
    return target.write(f"{exp.name}: {part}", summary, gathered.rows)


SCALES = {
    "rate": sound.RATE,
    "peakRate": sound.PEAK_RATE,
    "f0": [sound.LOWEST, sound.HIGHEST],
    "level": [sound.QUIETEST, 0],
    "syllables": sound.FASTEST,
}


def _folds(experiment: Experiment, data: Path | None) -> list[Fold]:
    folds = []
    for path in experiment.folds:
        decoded = path / f"decode_{experiment.part}"
        folder = _data_of(decoded, path.name, experiment.part, data)
        folds.append(Fold(path, experiment.name(path), folder, decoded))
    return folds


def _data_of(decoded: Path, fold: str, part: str, data: Path | None) -> Path:
    """The data directory that was decoded into a folder. Raises UserError if it is not found."""
    if data is not None:
        candidates = [data / fold / part, data]
    else:
        record = decoded / "hyp.made.json"
        recorded = read_json(record).get("directory") if record.exists() else None
        candidates = [decoded / recorded] if recorded else []
    for folder in candidates:
        if (folder / "wav.scp").exists():
            return folder.resolve()
    reason = f"{candidates[0]} is no data directory" if candidates else "it records none"
    raise UserError(
        f"{decoded}: the data that were decoded are not found ({reason}): name the directory with"
        " the folds, for example --data data/mini"
    )


def _gather(experiment: Experiment, folds: Sequence[Fold], target: site.Site, nj: int) -> Gathered:
    """Rows and curves of all folds, sorted by id within a fold; audio is written meanwhile."""
    gathered = Gathered()
    stored = _curves(folds, gathered, nj)
    times: dict[str, words.Times] = {}
    for corpus in dict.fromkeys(fold.corpus for fold in folds):
        times |= words.read(corpus)
    target.clear()
    for number, fold in enumerate(folds):
        answers = read_hypotheses(fold.decoded / "hyp.jsonl")
        kl, weights = latents.read(fold.decoded / "hyp.jsonl")
        gathered.layers += [{"fold": number, "branch": b, "weights": w} for b, w in weights.items()]
        context = _context(experiment, fold, number)
        for utt in fold.utterances:
            answer = answers.get(utt.utt_id, Hypothesis("", Fields()))
            row = rows.row(utt, answer, context)
            row["audio"] = target.audio_of(utt, len(gathered.rows))
            gathered.rows.append(row)
            gathered.curves.append(
                {
                    **stored.get(utt.utt_id, {}),
                    "kl": kl.get(utt.utt_id, {}),
                    "words": _stressed(row, times.get(utt.utt_id, [])),
                }
            )
    return gathered


def _stressed(row: Row, times: words.Times) -> words.Times:
    """The times of the words that reference or caption call stressed."""
    stated = [*row["ref"].get("emphasis", ()), *row["hyp"].get("emphasis", ())]
    stressed = {word.lower() for text in stated for word in text.split()}
    return [one for one in times if one[2].lower() in stressed]


def _curves(folds: Sequence[Fold], gathered: Gathered, nj: int) -> dict[str, sound.Curves]:
    """The curves of the utterances of all folds, computed where `annotate` wrote none."""
    by_corpus: dict[Path, dict[str, Utterance]] = {}
    for fold in folds:
        utterances = {utt.utt_id: utt for utt in fold.utterances}
        by_corpus.setdefault(fold.corpus, {}).update(utterances)
    stored: dict[str, sound.Curves] = {}
    for corpus, utterances in by_corpus.items():
        found, errors = sound.complete(corpus, list(utterances.values()), nj)
        stored |= found
        gathered.unusable += [f"{error.place}: {error}" for error in errors]
    return stored


def _context(experiment: Experiment, fold: Fold, number: int) -> rows.Context:
    thresholds = fold.data.parent / "thresholds.json"
    tested = fold.decoded / FAITHFULNESS
    measured: dict[str, list[Mapping[str, Any]]] = {}
    for line in read_jsonl(tested) if tested.exists() else []:
        measured.setdefault(line["utt_id"], []).append(line)
    return rows.Context(
        fold=number,
        thresholds=read_json(thresholds) if thresholds.exists() else {},
        measured=measured,
        counts={line["utt_id"]: line for line in experiment.lines[fold.name]},
        scoring=experiment.scoring,
        level=_measure_settings(fold.data).get("energy") == "level",
    )


def _measure_settings(data: Path) -> Mapping[str, Any]:
    record = data.parent.parent / datadir.LABELS_RECORD
    stored: Mapping[str, Any] = read_json(record) if record.exists() else {}
    measure: Mapping[str, Any] = stored.get("measure", {})
    return measure


def _answers(experiment: Experiment) -> dict[tuple[str, str], Row]:
    """(name of the fold, utterance) -> the answer of another experiment, and what is right."""
    found = {}
    for path in experiment.folds:
        name = experiment.name(path)
        counts = {line["utt_id"]: line for line in experiment.lines[name]}
        hyps = read_hypotheses(path / f"decode_{experiment.part}" / "hyp.jsonl")
        for utt_id, hyp in hyps.items():
            row = rows.answer(hyp.response, hyp.fields, hyp.posterior)
            row["right"] = rows.right(counts.get(utt_id, {}))
            row["wer"] = rows.errors_of(counts.get(utt_id, {}))
            found[name, utt_id] = row
    return found


def _add_other(
    gathered: Gathered,
    folds: Sequence[Fold],
    other: Mapping[tuple[str, str], Row],
    exp: Path,
    compare: Path,
) -> None:
    """Add the other experiment's answer to each row. Raises UserError if it has none of them."""
    shared = 0
    for row in gathered.rows:
        answer = other.get((folds[row["fold"]].name, row["id"]))
        if answer:
            row["other"] = answer
            shared += 1
    if not shared:
        raise UserError(
            f"--compare {compare}: none of its utterances is in the same fold of {exp}: name an"
            " experiment on the same data and folds"
        )


def _rejected(folds: Sequence[Fold], gathered: Gathered) -> list[list[str]]:
    """Id and reason of each recording that could not be used, of the corpora and of the report."""
    lines = []
    for corpus in dict.fromkeys(fold.corpus for fold in folds):
        lines += [[utt_id, reason] for utt_id, _, reason in rejections.read(corpus)]
    for text in gathered.unusable:
        place, _, reason = text.partition(": ")
        lines.append([place, reason])
    return lines
