"""Figures of a model whose branches were taken apart (inference/probing.py). Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig, TargetConfig
from serdesc.data.datadir import Utterance
from serdesc.scoring import baselines
from serdesc.scoring import metrics as all_metrics
from serdesc.scoring.bootstrap import Rows, total
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.intervals import interval
from serdesc.scoring.metric import Metric
from serdesc.scoring.score import rows as count_rows

if TYPE_CHECKING:
    import pandas as pd

FIELDS = ("emotion", "pitch", "energy", "speed", "gender", "age")
WORDS, SPEAKER = "words", "speaker"
MOST_WORDS = 20  # probed: the most frequent that between 10 and 90 % of the utterances have
MARGIN = 5.0  # points above chance from which something is found
Row = dict[str, Any]


def percent(key: str, rows: Sequence[Row], config: ScoringConfig) -> dict[str, Any]:
    """Mean of a value of 0 or 1 over rows with `spk`, in %, with its interval over speakers."""
    counted: Rows = []
    for number, row in enumerate(rows):
        if row.get(key) is not None:
            utt = Utterance(f"{row['utt_id']} {number}", "", row["spk"])
            counted.append((utt, {"right": float(row[key]), "n": 1.0}))
    if not counted:
        return {"value": None, "interval": None, "n": 0}
    metric = Metric(key, "%", None, _share, bounds=(0.0, 100.0))
    value = round(_share(total([counts for _, counts in counted])), 2)
    return {"value": value, "interval": interval(metric, counted, config), "n": len(counted)}


def _share(summed: Mapping[str, float]) -> float:
    return 100 * summed["right"] / summed["n"]


# ---- swap ----------------------------------------------------------------------------------------


def swap_rows(swapped: Sequence[tuple[Any, Fields]], config: ScoringConfig) -> list[Row]:
    """One row a pair: for each field whether the caption has the value of the utterance that gave
    the content, or the one that gave the descriptors; None where both have the same.
    """
    (wer,) = all_metrics.chosen("wer")
    rows = []
    for pair, answer in swapped:
        content, descriptor = pair.content.labels or Fields(), pair.descriptor.labels or Fields()
        row: Row = {"utt_id": pair.content.utt_id, "with": pair.descriptor.utt_id}
        row |= {"spk": pair.content.spk, "same_emotion": pair.same_emotion}
        for name in FIELDS:
            of_content, of_descriptor = getattr(content, name), getattr(descriptor, name)
            if None in (of_content, of_descriptor) or of_content == of_descriptor:
                continue
            value = getattr(answer, name)
            row[f"{name} of content"] = value == of_content
            row[f"{name} of descriptor"] = value == of_descriptor
        texts = pair.content.text, pair.descriptor.text
        if wer.transcript and None not in texts and texts[0] != texts[1]:
            errors = []
            for text in texts:
                counts = wer.transcript(text, answer.transcript, config)
                errors.append(wer.value(counts))
            row["transcript of content"] = errors[0] < errors[1]
            row["transcript of descriptor"] = errors[1] < errors[0]
        rows.append(row)
    return rows


def swap(rows: Sequence[Row], config: ScoringConfig) -> list[Row]:
    """For each field: how often the caption follows the content and the descriptor utterance."""
    table = []
    for name in ("transcript", *FIELDS):
        follows = {
            side: percent(f"{name} of {side}", rows, config) for side in ("content", "descriptor")
        }
        if follows["content"]["n"]:
            table.append({"field": name, **follows, "pairs": follows["content"]["n"]})
    return table


# ---- silence -------------------------------------------------------------------------------------


def silence(
    utterances: Sequence[Utterance],
    answers: Mapping[str, Mapping[str, Fields]],
    config: ScoringConfig,
) -> dict[str, dict[str, float | None]]:
    """Input -> metric -> value: mean recalls of the fields, and WER, with both branches and one."""
    table: dict[str, dict[str, float | None]] = {}
    chosen = [m for m in all_metrics.every() if m.name in ("ua", "wer", *FIELDS[1:])]
    for kind, of_kind in answers.items():
        tested = [utt for utt in utterances if utt.utt_id in of_kind and utt.labels]
        hyps = {utt.utt_id: Hypothesis("", of_kind[utt.utt_id]) for utt in tested}
        table[kind] = {}
        for name, counted in count_rows(tested, hyps, TargetConfig(), chosen, config).table.items():
            if counted:
                (metric,) = all_metrics.chosen(name)
                value = metric.value(total([counts for _, counts in counted]))
                table[kind][name] = None if np.isnan(value) else round(value, 2)
    return table


# ---- linear probes -------------------------------------------------------------------------------


def probes(
    train: list[Utterance],
    test: list[Utterance],
    vectors: Mapping[str, Mapping[str, np.ndarray]],
    config: ScoringConfig,
) -> list[Row]:
    """What a linear classifier reads from each kind of vector: a row a field and kind.

    Fields and words: trained on the training part, mean recall on the test part. Speaker: within
    the test part, whose speakers the training part does not have, by five folds of utterances.
    """
    rows = []
    for name, of_name in vectors.items():
        read = baselines.linear_probe([(train, test)], dict(of_name), FIELDS)
        for metric in all_metrics.every():
            field = metric.settings.get("field")
            if metric.name in read and (metric.name == "ua" or metric.name == field):
                counted = read[metric.name]
                summed = total([counts for _, counts in counted])
                chance = metric.chance(summed) if metric.chance else None
                rows.append(
                    {
                        "read": str(field),
                        "from": name,
                        "value": round(metric.value(summed), 2),
                        "interval": interval(metric, counted, config),
                        "chance": None if chance is None else round(chance, 2),
                        "n": len(counted),
                    }
                )
        rows += _words(train, test, of_name, name, config)
        rows += _speaker(test, of_name, name)
    return sorted(rows, key=lambda row: [*FIELDS, WORDS, SPEAKER].index(row["read"]))


def _words(
    train: Sequence[Utterance],
    test: Sequence[Utterance],
    vectors: Mapping[str, np.ndarray],
    name: str,
    config: ScoringConfig,
) -> list[Row]:
    """Mean recall of the presence of words."""
    from sklearn.feature_extraction.text import CountVectorizer

    with_text = [[utt for utt in part if utt.text] for part in (train, test)]
    if not all(with_text):
        return []
    vectorizer = CountVectorizer(token_pattern=r"\S+", binary=True)
    present = vectorizer.fit_transform([utt.text for utt in with_text[0]]).toarray()
    tested = vectorizer.transform([utt.text for utt in with_text[1]]).toarray()
    shares = present.mean(0)
    usable = [i for i in np.argsort(-shares, kind="stable") if 0.1 <= shares[i] <= 0.9]
    usable = [i for i in usable if 0 < tested[:, i].sum() < len(tested)][:MOST_WORDS]
    if not usable:
        return []
    x, y = (np.stack([vectors[u.utt_id] for u in part]) for part in with_text)
    recalls = np.zeros(len(usable))
    for at, i in enumerate(usable):
        predicted = baselines.linear_model().fit(x, present[:, i]).predict(y)
        right = [(predicted == value)[tested[:, i] == value].mean() for value in (0, 1)]
        recalls[at] = np.mean(right)
    return [
        {
            "read": WORDS,
            "from": name,
            "value": round(100 * float(recalls.mean()), 2),
            "interval": None,
            "chance": 50.0,
            "n": len(usable),
        }
    ]


def _speaker(test: Sequence[Utterance], vectors: Mapping[str, np.ndarray], name: str) -> list[Row]:
    """Recall of the speaker within the test part, by five folds of utterances."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    speakers = np.array([utt.spk for utt in test])
    names, counts = np.unique(speakers, return_counts=True)
    if len(names) < 2 or counts.min() < 5:
        return []
    x = np.stack([vectors[utt.utt_id] for utt in test])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(baselines.linear_model(), x, speakers, cv=folds)
    recall = np.mean([(predicted == one)[speakers == one].mean() for one in names])
    value, chance = round(100 * float(recall), 2), round(100 / len(names), 2)
    return [
        {
            "read": SPEAKER,
            "from": name,
            "value": value,
            "interval": None,
            "chance": chance,
            "n": len(test),
        }
    ]


# ---- what it says --------------------------------------------------------------------------------


def verdict(probed: Sequence[Row], swapped: Sequence[Row]) -> list[str]:
    """Sentences: does content leak into the descriptor branch, and the reverse; and which branch a
    caption follows.
    """
    read = {(row["read"], row["from"]): row for row in probed}
    lines = []
    for what, branch, other in (
        (WORDS, "descriptor", "content"),
        ("emotion", "content", "descriptor"),
    ):
        row, beside = read.get((what, f"z of {branch}")), read.get((what, f"z of {other}"))
        if row and beside and row["chance"] is not None:
            plural, unsure = what == WORDS, ""
            if row["value"] < row["chance"] + MARGIN:
                leaks = f"{'are' if plural else 'is'} not found in"
            else:
                leaks = f"{'leak' if plural else 'leaks'} into"
                if row["interval"] and row["interval"][0] <= row["chance"]:
                    unsure = "; the interval over few speakers includes chance"
            lines.append(
                f"{what} {leaks} the {branch} branch: a linear probe reads {row['value']:.1f} %"
                f" there and {beside['value']:.1f} % in the {other} branch (chance"
                f" {row['chance']:.1f}{unsure})"
            )
    for row in swapped:
        if row["field"] in ("emotion", "transcript"):
            content, descriptor = row["content"]["value"], row["descriptor"]["value"]
            followed = "content" if content > descriptor else "descriptor"
            lines.append(
                f"with swapped branches the {row['field']} follows the {followed} branch: content"
                f" {content:.1f} %, descriptor {descriptor:.1f} % of {row['pairs']} pairs"
            )
    return lines


def cells(tables: Mapping[str, Sequence[Row]]) -> pd.DataFrame:
    """Experiment -> rows of `probes` or `swap`, as text cells, one column of figures each."""
    import pandas as pd

    rows: dict[tuple[str, str], dict[str, str]] = {}
    for exp, table in tables.items():
        for row in table:
            if "read" in row:
                chance = "" if row["chance"] is None else f"{row['chance']:.1f}"
                at = rows.setdefault((row["read"], row["from"]), {"chance %": chance})
                at[f"{exp} %"] = _with_interval(row)
            else:
                for side in ("content", "descriptor"):
                    at = rows.setdefault((row["field"], side), {"pairs": str(row["pairs"])})
                    at[f"{exp} %"] = _with_interval(row[side])
    keys = ["field", "of"]
    lines = [dict(zip(keys, key)) | figures for key, figures in rows.items()]
    return pd.DataFrame(lines, dtype=object).fillna("")


def silence_cells(table: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row an input, one column a metric."""
    import pandas as pd

    rows = []
    for kind, values in table.items():
        figures = {name: "" if v is None else f"{v:.1f}" for name, v in values.items()}
        rows.append({"input": kind, **figures})
    return pd.DataFrame(rows, dtype=object).fillna("")


def _with_interval(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return ""
    bounds = figure["interval"]
    return f"{figure['value']:.1f}" + (f" ({bounds[0]:.1f}-{bounds[1]:.1f})" if bounds else "")
