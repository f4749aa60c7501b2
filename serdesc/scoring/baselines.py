"""What can be had without the model, on the same folds: the rows that a score must be read against.

constant               the training part's most frequent value of each field, and a caption of these for every utterance
words alone            emotion by logistic regression over the words of the reference transcript
reference descriptors  emotion by a decision tree over the reference's pitch, energy, speed, age and gender
log-mel statistics     each field by logistic regression over mean and deviation of 64 log-mel bands,
                           of the wave as it is: unlike the encoder, this one hears how loud a recording is
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np

from serdesc.captions import writer
from serdesc.captions.fields import VALUES, Fields
from serdesc.config import ScoringConfig, TargetConfig
from serdesc.data import audio, datadir, descriptors
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_jsonl, write_json, write_jsonl
from serdesc.scoring import metrics as all_metrics
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.score import Rows, rows, total

LOGMEL = "log-mel statistics"
ROWS_SUFFIX = ".rows.jsonl"
Vectors = dict[str, np.ndarray]


def baselines(
    data: Path, nj: int, config: ScoringConfig = ScoringConfig()
) -> dict[str, dict[str, Rows]]:
    """Baseline -> metric -> counts of every test utterance of all folds, for each metric that it has an answer for."""
    folds = [
        (datadir.originals(datadir.read(path / "train")), datadir.read(path / "test"))
        for path in sorted(data.glob("fold*"))
        if (path / "test").is_dir()
    ]
    if not folds:
        raise UserError(f"{data}: no folds with a test part. Run: serdesc annotate {data}")
    logmel = _log_mel(
        [utt for _, test in folds for utt in test] + [utt for train, _ in folds for utt in train],
        nj,
    )
    words = _vectors(
        folds, lambda utts: [" ".join((utt.text or "").split()) for utt in utts], text=True
    )
    described = _vectors(folds, lambda utts: [_describe(utt) for utt in utts])
    named: dict[str, tuple[tuple[str, ...], Callable[..., list[Any]]]] = {
        "constant": (
            tuple(VALUES),
            lambda train, test, name: [_most_frequent(train, name)] * len(test),
        ),
        "words alone": (("emotion",), lambda *task: _classify(words, _linear, *task)),
        "reference descriptors": (("emotion",), lambda *task: _classify(described, _tree, *task)),
        LOGMEL: (tuple(VALUES), lambda *task: _classify(logmel, _linear, *task)),
    }
    table = {title: _scores(folds, fields, predict) for title, (fields, predict) in named.items()}
    table["constant"] |= _constant_captions(folds, config)
    return table


def write(out: Path, table: dict[str, dict[str, Rows]]) -> None:
    """Pooled values in `out`, and beside it (rows of the same name) the counts of each utterance."""
    by_name = {metric.name: metric for metric in all_metrics.every()}
    values = {
        title: {
            name: round(by_name[name].value(total([counts for _, counts in counted])), 4)
            for name, counted in scored.items()
        }
        for title, scored in table.items()
    }
    lines = [
        {"baseline": title, "metric": name, "utt_id": utt.utt_id, "spk": utt.spk, "counts": counts}
        for title, scored in table.items()
        for name, counted in scored.items()
        for utt, counts in counted
    ]
    write_jsonl(out.with_suffix(ROWS_SUFFIX), lines)
    write_json(out, values)


def read_rows(out: Path, title: str) -> dict[str, Rows]:
    """Metric -> counts of each utterance, of one baseline that `write` put beside `out`; empty where there is none."""
    path = out.with_suffix(ROWS_SUFFIX)
    table: dict[str, Rows] = {}
    for line in read_jsonl(path) if path.exists() else []:
        if line["baseline"] == title:
            table.setdefault(line["metric"], []).append(
                (Utterance(line["utt_id"], "", line["spk"]), line["counts"])
            )
    return table


def _scores(
    folds: Sequence[tuple[list[Utterance], list[Utterance]]],
    fields: Sequence[str],
    predict: Callable[..., list[Any]],
) -> dict[str, Rows]:
    out: dict[str, Rows] = {}
    for name in fields:
        metrics = [m for m in all_metrics.every() if m.count and m.settings.get("field") == name]
        for train, test in folds:
            known = [utt for utt in train if utt.labels and getattr(utt.labels, name) is not None]
            asked = [utt for utt in test if utt.labels and getattr(utt.labels, name) is not None]
            if known and asked:
                for utt, answer in zip(asked, predict(known, asked, name)):
                    for metric in metrics:
                        counts = metric.count and metric.count(
                            utt.labels or Fields(), Fields.from_dict({name: str(answer)})
                        )
                        if counts is not None:
                            out.setdefault(metric.name, []).append((utt, counts))
    return out


def _constant_captions(
    folds: Sequence[tuple[list[Utterance], list[Utterance]]], config: ScoringConfig
) -> dict[str, Rows]:
    """A caption of each training part's most frequent values in every answer's place, and no transcript: what the wording alone is worth."""
    hyps: dict[str, Hypothesis] = {}
    for train, test in folds:
        known = {
            name: [utt for utt in train if utt.labels and getattr(utt.labels, name) is not None]
            for name in VALUES
        }
        fields = Fields.from_dict(
            {name: _most_frequent(utts, name) for name, utts in known.items() if utts}
        )
        hyps |= {utt.utt_id: Hypothesis(writer.render(fields, "constant"), fields) for utt in test}
    asked = [utt for _, test in folds for utt in test if utt.labels]
    wanted = [metric for metric in all_metrics.every() if metric.captions]
    counted = rows(asked, hyps, TargetConfig(), wanted, config).table
    return {name: of_metric for name, of_metric in counted.items() if of_metric}


def _truth(utterances: Sequence[Utterance], name: str) -> list[str]:
    return [str(getattr(utt.labels, name)) for utt in utterances]


def _most_frequent(train: Sequence[Utterance], name: str) -> str:
    return min(Counter(_truth(train, name)).items(), key=lambda item: (-item[1], item[0]))[0]


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
    return [str(answer) for answer in fitted.predict(np.stack([vectors[u.utt_id] for u in test]))]


def _linear() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))


def _tree() -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(min_samples_leaf=5, random_state=0)


def _describe(utt: Utterance) -> dict[str, str]:
    labels = utt.labels or Fields()
    return {
        name: str(getattr(labels, name)) for name in ("pitch", "energy", "speed", "age", "gender")
    }


def _vectors(
    folds: Sequence[tuple[list[Utterance], list[Utterance]]],
    of: Callable[[list[Utterance]], list[Any]],
    text: bool = False,
) -> Vectors:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.feature_extraction.text import CountVectorizer

    every = list({utt.utt_id: utt for train, test in folds for utt in train + test}.values())
    vectorizer = CountVectorizer(token_pattern=r"\S+") if text else DictVectorizer(sparse=True)
    matrix = vectorizer.fit_transform(of(every)).toarray().astype(np.float32)
    return {utt.utt_id: row for utt, row in zip(every, matrix)}


def _log_mel(utterances: list[Utterance], nj: int) -> Vectors:
    every = list({utt.utt_id: utt for utt in utterances}.values())
    descriptors.compile_librosa()
    with ProcessPoolExecutor(max(1, nj)) as pool:
        return {
            utt.utt_id: row for utt, row in zip(every, pool.map(_statistics, every, chunksize=16))
        }


def _statistics(utt: Utterance) -> np.ndarray:
    import librosa

    mel = librosa.feature.melspectrogram(
        y=audio.load(utt.wav, span=utt.span),
        sr=audio.SAMPLE_RATE,
        n_fft=400,
        hop_length=160,
        n_mels=64,
    )
    log = np.log(mel + 1e-6)
    return np.concatenate([log.mean(axis=1), log.std(axis=1)])
