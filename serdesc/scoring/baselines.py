"""Trivial baselines on the same folds, without encoder and LLM.

constant               most frequent value of each field in the training part, and a caption of it
words alone            emotion by logistic regression over the words of the reference transcript
reference descriptors  emotion by a decision tree over the reference's pitch, energy, speed, age and
                       gender
log-mel statistics     each field by logistic regression over mean and standard deviation of 64
                       log-mel bands; the wave is not normalised, so unlike the encoder's input it
                       retains the loudness
"""

from __future__ import annotations

import math
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Collection, Iterable, Sequence

import numpy as np

from serdesc.captions import writer
from serdesc.captions.fields import VALUES, Fields
from serdesc.config import ScoringConfig, TargetConfig
from serdesc.data import audio, datadir, descriptors
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_jsonl, write_json, write_jsonl
from serdesc.scoring import metrics as all_metrics
from serdesc.scoring.bootstrap import Rows, total
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.score import rows

LOGMEL = "log-mel statistics"
ROWS_SUFFIX = ".rows.jsonl"
Vectors = dict[str, np.ndarray]
Folds = Sequence[tuple[list[Utterance], list[Utterance]]]  # training and test part of each


def baselines(
    data: Path, nj: int, config: ScoringConfig = ScoringConfig()
) -> dict[str, dict[str, Rows]]:
    """Baseline -> metric -> counts of every test utterance of all folds, for metrics that apply.

    `nj`: processes for the log-mel statistics. Raises UserError if `data` has no folds.
    """
    folds = read_folds(data)
    logmel = log_mel(utterances_of(folds), nj)
    words = _vectors(folds, _transcript, text=True)
    described = _vectors(folds, _describe)
    table = {
        "constant": _scores(folds, tuple(VALUES), _constant),
        "words alone": linear_probe(folds, words, ("emotion",)),
        "reference descriptors": _scores(folds, ("emotion",), partial(_classify, described, _tree)),
        LOGMEL: linear_probe(folds, logmel),
    }
    table["constant"] |= _constant_captions(folds, config)
    return table


def read_folds(data: Path) -> Folds:
    """The original utterances of the folds of `data`. Raises UserError if it has none."""
    folds = []
    for path in sorted(data.glob("fold*")):
        if (path / "test").is_dir():
            train = datadir.originals(datadir.read(path / "train"))
            folds.append((train, datadir.read(path / "test")))
    if not folds:
        raise UserError(f"{data}: no folds with a test part. Run: serdesc annotate {data}")
    return folds


def utterances_of(folds: Folds) -> list[Utterance]:
    """The utterances of all folds, each once."""
    every = _chained(test + train for train, test in folds)
    return list({utt.utt_id: utt for utt in every}.values())


def linear_probe(
    folds: Folds, vectors: Vectors, fields: Sequence[str] = tuple(VALUES)
) -> dict[str, Rows]:
    """Metric -> counts of each test utterance, by logistic regression over its standardised vector.

    One classifier a field and fold, trained on the fold's training part.
    """
    return _scores(folds, fields, partial(_classify, vectors, linear_model))


def _chained(parts: Iterable[list[Utterance]]) -> list[Utterance]:
    return list(chain.from_iterable(parts))


def write(out: Path, table: dict[str, dict[str, Rows]]) -> None:
    """Write the pooled values to `out`, and the counts of each utterance to its rows file."""
    lines: list[dict[str, Any]] = []
    for title, scored in table.items():
        for name, counted in scored.items():
            for utt, counts in counted:
                row = {"baseline": title, "metric": name, "utt_id": utt.utt_id, "spk": utt.spk}
                lines.append({**row, "counts": counts})
    write_jsonl(out.with_suffix(ROWS_SUFFIX), lines)
    write_json(out, {title: _pooled(scored) for title, scored in table.items()})


def _pooled(scored: dict[str, Rows]) -> dict[str, float | None]:
    """Metric -> value over all rows."""
    by_name = {metric.name: metric for metric in all_metrics.every()}
    values: dict[str, float | None] = {}
    for name, counted in scored.items():
        value = by_name[name].value(total([counts for _, counts in counted]))
        values[name] = None if math.isnan(value) else round(value, 4)
    return values


def read_rows(out: Path) -> dict[str, dict[str, Rows]]:
    """Baseline -> metric -> counts of each utterance, of the baselines `out`; empty if none are
    there.
    """
    path = out.with_suffix(ROWS_SUFFIX)
    table: dict[str, dict[str, Rows]] = {}
    for line in read_jsonl(path) if path.exists() else []:
        rows_of = table.setdefault(line["baseline"], {}).setdefault(line["metric"], [])
        rows_of.append((Utterance(line["utt_id"], "", line["spk"]), line["counts"]))
    return table


def values_over(
    table: dict[str, dict[str, Rows]], utt_ids: Collection[str]
) -> dict[str, dict[str, float | None]]:
    """Baseline -> metric -> value over these utterances; a baseline without any is left out.

    table: as read_rows returns it.
    """
    values = {}
    for title, scored in table.items():
        kept = {
            name: [row for row in of if row[0].utt_id in utt_ids] for name, of in scored.items()
        }
        if kept := {name: of for name, of in kept.items() if of}:
            values[title] = _pooled(kept)
    return values


def _scores(
    folds: Folds,
    fields: Sequence[str],
    predict: Callable[[list[Utterance], list[Utterance], str], list[str]],
) -> dict[str, Rows]:
    """Metric -> counts of the predictions of these fields; predict(train, test, field)."""
    out: dict[str, Rows] = {}
    for name in fields:
        metrics = [m for m in all_metrics.every() if m.count and m.settings.get("field") == name]
        for train, test in folds:
            known = [utt for utt in train if utt.labels and getattr(utt.labels, name) is not None]
            tested = [utt for utt in test if utt.labels and getattr(utt.labels, name) is not None]
            if not (known and tested):
                continue
            for utt, value in zip(tested, predict(known, tested, name)):
                predicted = Fields.from_dict({name: str(value)})
                for metric in metrics:
                    counts = metric.count and metric.count(utt.labels or Fields(), predicted)
                    if counts is not None:
                        out.setdefault(metric.name, []).append((utt, counts))
    return out


def _constant_captions(folds: Folds, config: ScoringConfig) -> dict[str, Rows]:
    """Scores of one caption per fold, of its most frequent values, without transcript."""
    hyps: dict[str, Hypothesis] = {}
    for train, test in folds:
        values: dict[str, str] = {}
        for name in VALUES:
            known = [utt for utt in train if utt.labels and getattr(utt.labels, name) is not None]
            if known:
                values[name] = _most_frequent(known, name)
        fields = Fields.from_dict(values)
        hyps |= {utt.utt_id: Hypothesis(writer.render(fields, "constant"), fields) for utt in test}
    tests = _chained(test for _, test in folds)
    tested = [utt for utt in tests if utt.labels]
    metrics = [metric for metric in all_metrics.every() if metric.captions]
    counted = rows(tested, hyps, TargetConfig(), metrics, config).table
    return {name: of_metric for name, of_metric in counted.items() if of_metric}


def _truth(utterances: Sequence[Utterance], name: str) -> list[str]:
    return [str(getattr(utt.labels, name)) for utt in utterances]


def _most_frequent(train: Sequence[Utterance], name: str) -> str:
    return min(Counter(_truth(train, name)).items(), key=lambda item: (-item[1], item[0]))[0]


def _constant(train: Sequence[Utterance], test: Sequence[Utterance], name: str) -> list[str]:
    return [_most_frequent(train, name)] * len(test)


def _classify(
    vectors: Vectors,
    model: Callable[[], Any],
    train: Sequence[Utterance],
    test: Sequence[Utterance],
    name: str,
) -> list[str]:
    truth = _truth(train, name)
    if len(set(truth)) == 1:
        return [truth[0]] * len(test)
    fitted = model().fit(np.stack([vectors[u.utt_id] for u in train]), truth)
    predicted = fitted.predict(np.stack([vectors[u.utt_id] for u in test]))
    return [str(value) for value in predicted]


def linear_model() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))


def _tree() -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(min_samples_leaf=5, random_state=0)


def _transcript(utt: Utterance) -> str:
    return " ".join((utt.text or "").split())


def _describe(utt: Utterance) -> dict[str, str]:
    labels = utt.labels or Fields()
    return {
        name: str(getattr(labels, name)) for name in ("pitch", "energy", "speed", "age", "gender")
    }


def _vectors(
    folds: Folds,
    features_of: Callable[[Utterance], Any],
    text: bool = False,
) -> Vectors:
    """Utterance -> vector of its words (`text`) or of its one-hot values."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.feature_extraction.text import CountVectorizer

    unique = {utt.utt_id: utt for utt in utterances_of(folds)}
    vectorizer = CountVectorizer(token_pattern=r"\S+") if text else DictVectorizer(sparse=True)
    features = [features_of(utt) for utt in unique.values()]
    matrix = vectorizer.fit_transform(features).toarray().astype(np.float32)
    return dict(zip(unique, matrix))


def log_mel(utterances: Sequence[Utterance], nj: int) -> Vectors:
    """Utterance -> mean and standard deviation of the log-mel bands (128,)."""
    unique = {utt.utt_id: utt for utt in utterances}
    descriptors.compile_librosa()
    with ProcessPoolExecutor(max(1, nj)) as pool:
        return dict(zip(unique, pool.map(_statistics, unique.values(), chunksize=16)))


def _statistics(utt: Utterance) -> np.ndarray:
    import librosa

    mel = librosa.feature.melspectrogram(
        y=utt.load_audio(),
        sr=audio.SAMPLE_RATE,
        n_fft=400,
        hop_length=160,
        n_mels=64,
    )
    log = np.log(mel + 1e-6)
    return np.concatenate([log.mean(axis=1), log.std(axis=1)])
