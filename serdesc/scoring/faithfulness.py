"""Faithfulness: agreement of a caption's descriptors with measures of the recording.

Measures are binned at the percentiles of the training part. A model that only learnt the biases of
the labels would agree with the measures that the labels were computed from, so other measures come
first: pitch as the median F0 by a tracker that made no label (scoring.f0), speed as syllables per
second of speech, energy as the share of pauses and as the range of the level. The default energy
is independent of gain: few pauses and an even level mean high energy. Agreement with the labels'
own measures is reported too, named as such.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from serdesc import f0
from serdesc.captions.fields import ENERGY, PITCH, SPEED, VALUES, Fields
from serdesc.config import Config, ScoringConfig
from serdesc.data import audio, datadir, descriptors
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.f0 import Tracker
from serdesc.files import digest, write_json, write_jsonl
from serdesc.progress import progress
from serdesc.scoring import typeset
from serdesc.scoring.bootstrap import Rows, total
from serdesc.scoring.cache import ResultCache
from serdesc.scoring.classes import accuracy, kappa
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.intervals import interval
from serdesc.scoring.metric import Metric
from serdesc.scoring.score import ROWS, beside
from serdesc.scoring.signature import Provenance

if TYPE_CHECKING:
    import pandas as pd

CACHE = "utt2sound.jsonl"
VERSION = 2  # of `measure_wave`, part of the cache key
BLOCK = 64  # utterances whose measures are written to the cache at once
INDEPENDENT, SAME_AS_LABELS, METADATA = "independent", "same as the labels", "metadata"
# measure -> field, its values in ascending order of the measure, heading in tables
INDEPENDENT_MEASURES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "f0": ("pitch", PITCH, "median F0 ({tracker}), by sex"),
    "rate": ("speed", SPEED, "syllables a second of speech"),
    "pauses": ("energy", ENERGY[::-1], "share of pauses"),
    "range": ("energy", ENERGY[::-1], "range of the level"),
}


@dataclass(frozen=True)
class Agreement:
    """Agreement of one field with one measure, in percent; `shuffled`: with permuted claims."""

    field: str
    measure: str  # the heading in tables
    kind: str
    n: int  # claims with a measured value
    agreement: float
    interval: tuple[float, float] | None  # 95 %, over speakers
    chance: float  # expected for claims that are independent of the recording
    kappa: float | None
    shuffled: float


def measure_wave(
    wave: np.ndarray, text: str | None, tracker: Tracker, language: str = "en-us"
) -> dict[str, float]:
    """Measures of a 16 kHz wave (samples,); one that cannot be computed is absent.

    f0 (Hz), rate (syllables per second of speech), pauses (share of frames) and range (dB between
    the 10th and 95th percentile of the level in speech).
    """
    out: dict[str, float] = {}
    if (hertz := f0.median(f0.track(wave, tracker))) is not None:
        out["f0"] = round(hertz, 3)
    level, is_speech = descriptors.levels(wave), descriptors.speech_frames(wave)
    if is_speech.any():
        low, high = np.percentile(level[is_speech], [10, 95])
        out["pauses"] = round(float(1 - is_speech.mean()), 6)
        out["range"] = round(float(20 * np.log10(high / low)), 4)
        syllables = descriptors.syllables(text, language) if text else 0
        if syllables:
            seconds = is_speech.sum() * descriptors.FRAME / audio.SAMPLE_RATE
            out["rate"] = round(syllables / seconds, 4)
    return out


def check_tracker(tracker: Tracker, measure: Mapping[str, Any]) -> None:
    """Raises UserError if the tracker made the labels (`measure`: the settings of the labels)."""
    if tracker == "pyin" and measure.get("pitch") == "f0":
        raise UserError(
            "--faithful with scoring.f0=pyin: the pitch labels are by pyin too (measure.pitch f0),"
            " which would compare a tracker with itself. Use --set scoring.f0=praat"
        )


def measure_utterances(
    data: Path, utterances: Sequence[Utterance], tracker: Tracker, language: str, nj: int
) -> dict[str, dict[str, float]]:
    """Utterance -> measures, computed with `nj` processes and cached in the parent of the folds.

    Utterances with unusable audio are reported and omitted.
    """
    parent = data.parent.parent if data.parent.name.startswith("fold") else data
    cache = ResultCache(parent / CACHE)
    keys = {utt.utt_id: _identity(utt, tracker, language) for utt in utterances}
    unique = {utt.utt_id: utt for utt in utterances}
    todo = [utt for utt in unique.values() if keys[utt.utt_id] not in cache.results]
    unusable: list[audio.AudioError] = []
    if todo:
        f0.track(np.zeros(audio.SAMPLE_RATE), tracker)  # an absent tracker is reported at once
        descriptors.compile_librosa()
        with (
            progress("measure", len(todo), "utterances") as advance,
            ProcessPoolExecutor(max(1, nj)) as pool,
        ):
            results = zip(
                todo,
                pool.map(partial(_measure, tracker=tracker, language=language), todo, chunksize=8),
            )
            while block := list(islice(results, BLOCK)):
                measured = {keys[utt.utt_id]: row for utt, row in block if isinstance(row, dict)}
                cache.add(measured)
                unusable += [error for _, error in block if not isinstance(error, dict)]
                advance(len(block))
    audio.print_rejected(unusable, "are not measured")
    return {utt_id: cache.results[key] for utt_id, key in keys.items() if key in cache.results}


def _identity(utt: Utterance, tracker: Tracker, language: str) -> str:
    """Cache key of an utterance's measures; size and time of its file stand for the contents."""
    path = Path(utt.wav)
    stat = path.stat() if path.exists() else None
    return digest(
        VERSION,
        utt.wav,
        stat and [stat.st_size, stat.st_mtime_ns],
        utt.span,
        utt.channel,
        utt.text,
        language,
        tracker,
    )


def _measure(
    utt: Utterance, tracker: Tracker, language: str
) -> dict[str, float] | audio.AudioError:
    try:
        wave = utt.load_audio()
        return measure_wave(wave, utt.text, tracker, language)
    except audio.AudioError as error:
        return error


def rows(
    data: Path, train: Path, hyps: Mapping[str, Hypothesis], config: Config, nj: int
) -> list[dict[str, Any]]:
    """One row per utterance and measure: the field, the claimed and the true value.

    No row if either is missing or the audio cannot be used. Percentiles come from the utterances of
    `train`; raises UserError if it is no directory, or if scoring.f0 made the labels.
    """
    tracker, labelled = config.scoring.f0, Provenance.of(data, config).measure
    check_tracker(tracker, labelled)
    tested = datadir.read(data)
    if not train.is_dir():
        raise UserError(
            f"{train}: no training part to compute percentiles from. Score the directory of a fold "
            "(data/X/fold1/test), or give --train DIR"
        )
    trained = datadir.originals(datadir.read(train))
    language = labelled["language"]
    measured = measure_utterances(data, [*trained, *tested], tracker, language, nj)
    bounds = _bounds(trained, measured)
    out: list[dict[str, Any]] = []
    for utt in tested:
        if utt.utt_id not in measured:
            continue
        for name, field, kind, true in _true_values(utt, measured[utt.utt_id], bounds):
            claimed = getattr(hyps[utt.utt_id].fields, field)
            if true is not None and claimed is not None:
                row = {"utt_id": utt.utt_id, "spk": utt.spk, "measure": name, "field": field}
                if name == "f0":
                    row["tracker"] = tracker
                out.append({**row, "kind": kind, "claimed": claimed, "true": true})
    return out


def _true_values(
    utt: Utterance, measures: Mapping[str, float], bounds: Mapping[str, tuple[float, float]]
) -> list[tuple[str, str, str, str | None]]:
    """(measure, field, kind, value), value None if unknown."""
    labels = utt.labels or Fields()
    truths: list[tuple[str, str, str, str | None]] = []
    for name, (field, _, _) in INDEPENDENT_MEASURES.items():
        truths.append((name, field, INDEPENDENT, _binned(utt, measures, name, bounds)))
    for name in ("pitch", "speed", "energy"):
        truths.append((name, name, SAME_AS_LABELS, getattr(labels, name)))
    for name in ("gender", "age"):
        truths.append((name, name, METADATA, getattr(labels, name)))
    return truths


def _bounds(
    trained: Sequence[Utterance], measured: Mapping[str, Mapping[str, float]]
) -> dict[str, tuple[float, float]]:
    """Per measure (F0: per measure and sex) the percentiles that bound the middle bin."""
    out = {}
    for name in INDEPENDENT_MEASURES:
        by_sex = {"": descriptors.THIRDS}
        if name == "f0":
            by_sex = descriptors.PITCH_PERCENTILES
        for sex, percentiles in by_sex.items():
            values = [
                measured[utt.utt_id][name]
                for utt in trained
                if name in measured.get(utt.utt_id, ())
                and (sex in ("", descriptors.UNKNOWN) or sex == utt.gender)
            ]
            if values:
                low, high = np.percentile(values, percentiles)
                out[f"{name} {sex}".strip()] = (float(low), float(high))
    return out


def _binned(
    utt: Utterance,
    measures: Mapping[str, float],
    name: str,
    bounds: Mapping[str, tuple[float, float]],
) -> str | None:
    key = f"{name} {utt.gender or descriptors.UNKNOWN}" if name == "f0" else name
    if name not in measures or key not in bounds:
        return None
    return descriptors.bin3(measures[name], bounds[key], INDEPENDENT_MEASURES[name][1])


def table(rows: Sequence[Mapping[str, Any]], config: ScoringConfig) -> list[Agreement]:
    """Agreement of each measure over all rows, which may be of several folds."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row["measure"]), []).append(row)
    kinds = [INDEPENDENT, SAME_AS_LABELS, METADATA]
    ordered = sorted(groups, key=lambda group: kinds.index(group[0]))
    return [_agreement(kind, name, groups[kind, name], config) for kind, name in ordered]


def _agreement(
    kind: str, name: str, rows: Sequence[Mapping[str, Any]], config: ScoringConfig
) -> Agreement:
    """Of all rows of one measure."""
    field, n = rows[0]["field"], len(rows)
    share, weighted = accuracy("agreement", field, "", 0), kappa("kappa", field, "", 0)
    claims = [row["claimed"] for row in rows]
    truths = [row["true"] for row in rows]
    permuted = [claims[i] for i in np.random.default_rng(0).permutation(n)]
    counted = _counted(share, rows, claims)
    kappa_value = _value(weighted, _counted(weighted, rows, claims))
    by_chance = 100 * sum(claims.count(v) * truths.count(v) for v in VALUES[field]) / n**2
    measure = kind
    if kind == INDEPENDENT:
        tracker = rows[0].get("tracker", "pyin")  # rows of versions before 0.4.0 name none
        measure = INDEPENDENT_MEASURES[name][2].format(tracker=tracker)
    return Agreement(
        field=field,
        measure=measure,
        kind=kind,
        n=n,
        agreement=round(_value(share, counted), 2),
        interval=interval(share, counted, config),
        chance=round(by_chance, 2),
        kappa=None if np.isnan(kappa_value) else round(kappa_value, 2),
        shuffled=round(_value(share, _counted(share, rows, permuted)), 2),
    )


def _value(metric: Metric, counted: Rows) -> float:
    return metric.value(total([counts for _, counts in counted]))


def _counted(metric: Any, rows: Sequence[Mapping[str, Any]], claims: Sequence[str]) -> Rows:
    counted = []
    for row, claim in zip(rows, claims):
        truth = Fields.from_dict({row["field"]: row["true"]})
        claimed = Fields.from_dict({row["field"]: claim})
        counted.append((Utterance(row["utt_id"], "", row["spk"]), metric.count(truth, claimed)))
    return counted


def write(out: Path, rows: Sequence[Mapping[str, Any]], config: ScoringConfig) -> list[Agreement]:
    """Write faithfulness.json beside the scores `out`, and its rows, which `report` pools."""
    agreements = table(rows, config)
    rows_file = beside(out, f"faithfulness.{ROWS}")
    write_jsonl(rows_file, rows)
    tree = {"agreement": [agreement.__dict__ for agreement in agreements], "rows": rows_file.name}
    write_json(beside(out, "faithfulness.json"), tree)
    return agreements


TITLE = "claimed and measured"
HEAD = "claimed", "measured", "agreement %", "95 %", "chance %", "shuffled %", "kappa %", "claims"


def cells(agreements: Sequence[Agreement]) -> pd.DataFrame:
    """The table of agreements: text cells, one row per measure."""
    import pandas as pd

    rows = []
    for a in agreements:
        figures = [typeset.number(a.agreement), typeset.span(a.interval)]
        figures += map(typeset.number, (a.chance, a.shuffled, a.kappa))
        rows.append([a.field, a.measure, *figures, str(a.n)])
    return pd.DataFrame(rows, columns=HEAD, dtype=object)
