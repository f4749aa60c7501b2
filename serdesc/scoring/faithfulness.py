"""Is what a caption claims true of the sound? Claims against measures of the wav, cut at the percentiles of the training part.

The measures that made the labels would agree with a model that only learnt the labels' habits, so others come first: pitch as the median
F0 (pyin), speed as syllables a second of speech, energy as the share of pauses and as the range of the level. SpeechCraft's energy is gain-free:
few pauses and an even level make it high. Agreement with the labels' own measures stands beside, named as such.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from serdesc.captions.fields import ENERGY, PITCH, SPEED, VALUES, Fields
from serdesc.config import MeasureConfig, ScoringConfig
from serdesc.data import audio, datadir, descriptors
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import digest, write_json, write_jsonl
from serdesc.progress import progress
from serdesc.scoring.cache import ResultCache
from serdesc.scoring.classes import accuracy, kappa
from serdesc.scoring.hypotheses import Hypothesis
from serdesc.scoring.score import ROWS, Rows, beside, interval, total

FRAME = 320  # samples: 20 ms
PAUSE = 10 ** (-25 / 20)  # of the loud frames' level: 25 dB below them nobody speaks
CACHE = "utt2sound.jsonl"
VERSION = 1  # of `measure`: what other versions measured is not taken
BLOCK = 64  # utterances whose measures are kept at a time
OWN, SAME, GIVEN = "independent", "same as the labels", "metadata"
# measure -> field, the names of its thirds from the least to the most, what a table calls it
MEASURES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "f0": ("pitch", PITCH, "median F0 (pyin), by sex"),
    "rate": ("speed", SPEED, "syllables a second of speech"),
    "pauses": ("energy", ENERGY[::-1], "share of pauses"),
    "range": ("energy", ENERGY[::-1], "range of the level"),
}


@dataclass(frozen=True)
class Agreement:
    """Of one field with one measure, in percent; `shuffled`: the same claims dealt out to other utterances."""

    field: str
    measure: str
    kind: str
    n: int  # claims that the sound can be asked about
    agreement: float
    interval: tuple[float, float] | None  # 95 %, over speakers
    chance: float  # of equal claims independent of the sound
    kappa: float | None
    shuffled: float


def measure(
    wave: np.ndarray, text: str | None, config: MeasureConfig = MeasureConfig()
) -> dict[str, float]:
    """f0 (Hz), rate (syllables a second of speech), pauses (share of frames), range (dB between the 10th and 95th percentile of speech)."""
    out: dict[str, float] = {}
    if (f0 := descriptors.median_f0(wave)) is not None:
        out["f0"] = round(f0, 3)
    whole = wave[: len(wave) // FRAME * FRAME].reshape(-1, FRAME)
    level = np.sqrt((whole**2).mean(axis=1) + 1e-12)
    spoken = level > PAUSE * np.percentile(level, 95) if len(level) else np.zeros(0, bool)
    if spoken.any():
        low, high = np.percentile(level[spoken], [10, 95])
        out["pauses"] = round(float(1 - spoken.mean()), 6)
        out["range"] = round(float(20 * np.log10(high / low)), 4)
        if syllables := descriptors.syllables(text, config.language) if text else 0:
            out["rate"] = round(syllables / (spoken.sum() * FRAME / audio.SAMPLE_RATE), 4)
    return out


def sounds(
    data: Path, utterances: Sequence[Utterance], config: MeasureConfig, nj: int
) -> dict[str, dict[str, float]]:
    """Utterance -> measures, kept in the folder that the folds lie in; those whose audio cannot be used are named and left out."""
    cache = ResultCache(
        (data.parent.parent if data.parent.name.startswith("fold") else data) / CACHE
    )
    keys = {utt.utt_id: _identity(utt, config) for utt in utterances}
    todo = [
        utt
        for utt in {utt.utt_id: utt for utt in utterances}.values()
        if keys[utt.utt_id] not in cache.known
    ]
    unusable: list[audio.AudioError] = []
    if todo:
        descriptors.compile_librosa(replace(config, pitch="f0"))
        with progress("listen", len(todo), "utterances") as advance, ProcessPoolExecutor(
            max(1, nj)
        ) as pool:
            heard = zip(todo, pool.map(_listen, todo, [config] * len(todo), chunksize=8))
            while block := list(islice(heard, BLOCK)):
                cache.add(
                    {keys[utt.utt_id]: found for utt, found in block if isinstance(found, dict)}
                )
                unusable += [found for _, found in block if not isinstance(found, dict)]
                advance(len(block))
    audio.tell(unusable, "are not asked what they sound like")
    return {utt_id: cache.known[name] for utt_id, name in keys.items() if name in cache.known}


def _identity(utt: Utterance, config: MeasureConfig) -> str:
    """Of all that the measures of an utterance depend on; of the file its size and time, for hashing hours of sound takes minutes."""
    path = Path(utt.wav)
    about = path.stat() if path.exists() else None
    return digest(
        VERSION,
        utt.wav,
        about and [about.st_size, about.st_mtime_ns],
        utt.span,
        utt.text,
        config.language,
    )


def _listen(utt: Utterance, config: MeasureConfig) -> dict[str, float] | audio.AudioError:
    try:
        return measure(audio.load(utt.wav, span=utt.span, utt_id=utt.utt_id), utt.text, config)
    except audio.AudioError as error:
        return error


def rows(
    data: Path, train: Path, hyps: Mapping[str, Hypothesis], config: MeasureConfig, nj: int
) -> list[dict[str, Any]]:
    """A row an utterance and measure: the field, what is claimed, what is true; no row where either is missing, or the sound cannot be used."""
    tested = datadir.read(data)
    if not train.is_dir():
        raise UserError(
            f"{train}: no training part to take percentiles from. Score a fold's folder (data/X/fold1/test), or name it by --train DIR"
        )
    trained = datadir.originals(datadir.read(train))
    heard = sounds(data, [*trained, *tested], config, nj)
    bounds = _bounds(trained, heard)
    out: list[dict[str, Any]] = []
    for utt in (utt for utt in tested if utt.utt_id in heard):
        said, labels = hyps[utt.utt_id].fields, utt.labels or Fields()
        truths = [
            (name, field, OWN, _third(utt, heard[utt.utt_id], name, bounds))
            for name, (field, _, _) in MEASURES.items()
        ]
        truths += [
            (name, name, SAME, getattr(labels, name)) for name in ("pitch", "speed", "energy")
        ]
        truths += [(name, name, GIVEN, getattr(labels, name)) for name in ("gender", "age")]
        for name, field, kind, true in truths:
            claimed = getattr(said, field)
            if true is not None and claimed is not None:
                out.append(
                    {
                        "utt_id": utt.utt_id,
                        "spk": utt.spk,
                        "measure": name,
                        "field": field,
                        "kind": kind,
                        "claimed": claimed,
                        "true": true,
                    }
                )
    return out


def _bounds(
    trained: Sequence[Utterance], heard: Mapping[str, Mapping[str, float]]
) -> dict[str, tuple[float, float]]:
    """By measure, F0 by measure and sex: the training part's percentiles that bound the middle."""
    out = {}
    for name in MEASURES:
        for sex, percentiles in (
            descriptors.PITCH_PERCENTILES.items() if name == "f0" else [("", descriptors.THIRDS)]
        ):
            values = [
                heard[utt.utt_id][name]
                for utt in trained
                if name in heard.get(utt.utt_id, ()) and sex in ("", utt.gender)
            ]
            if values:
                low, high = np.percentile(values, percentiles)
                out[f"{name} {sex}".strip()] = (float(low), float(high))
    return out


def _third(
    utt: Utterance, heard: Mapping[str, float], name: str, bounds: Mapping[str, tuple[float, float]]
) -> str | None:
    key = f"{name} {utt.gender}" if name == "f0" else name
    return (
        descriptors.bin3(heard[name], bounds[key], MEASURES[name][1])
        if name in heard and key in bounds
        else None
    )


def table(found: Sequence[Mapping[str, Any]], config: ScoringConfig) -> list[Agreement]:
    """Agreement of each measure over all rows, which may be of several folds."""
    out = []
    for kind, name in dict.fromkeys(
        (row["kind"], row["measure"])
        for row in sorted(found, key=lambda row: [OWN, SAME, GIVEN].index(row["kind"]))
    ):
        asked = [row for row in found if (row["kind"], row["measure"]) == (kind, name)]
        field, n = asked[0]["field"], len(asked)
        share, weighted = accuracy("agreement", field, "", 0), kappa("kappa", field, "", 0)
        dealt = np.random.default_rng(0).permutation(n)
        claims, truths = ([row[side] for row in asked] for side in ("claimed", "true"))
        value = weighted.value(total([c for _, c in _counted(weighted, asked, claims)]))
        out.append(
            Agreement(
                field=field,
                measure=MEASURES[name][2] if kind == OWN else kind,
                kind=kind,
                n=n,
                agreement=round(
                    share.value(total([c for _, c in _counted(share, asked, claims)])), 2
                ),
                interval=interval(share, _counted(share, asked, claims), config),
                chance=round(
                    100 * sum(claims.count(v) * truths.count(v) for v in VALUES[field]) / n**2, 2
                ),
                kappa=None if np.isnan(value) else round(value, 2),
                shuffled=round(
                    share.value(
                        total([c for _, c in _counted(share, asked, [claims[i] for i in dealt])])
                    ),
                    2,
                ),
            )
        )
    return out


def _counted(metric: Any, asked: Sequence[Mapping[str, Any]], claims: Sequence[str]) -> Rows:
    made = []
    for row, claim in zip(asked, claims):
        truth, said = (Fields.from_dict({row["field"]: value}) for value in (row["true"], claim))
        made.append((Utterance(row["utt_id"], "", row["spk"]), metric.count(truth, said)))
    return made


def write(out: Path, found: Sequence[Mapping[str, Any]], config: ScoringConfig) -> list[Agreement]:
    """faithfulness.json beside the scores `out`, and its rows, which `report` pools over folds."""
    made = table(found, config)
    write_jsonl(beside(out, f"faithfulness.{ROWS}"), found)
    agreement = {
        "agreement": [agreement.__dict__ for agreement in made],
        "rows": beside(out, f"faithfulness.{ROWS}").name,
    }
    write_json(beside(out, "faithfulness.json"), agreement)
    return made


def cells(made: Sequence[Agreement]) -> list[list[str]]:
    """As a table: a head, and a row a measure."""
    out = [
        [
            "claimed",
            "measured",
            "agreement %",
            "95 %",
            "chance %",
            "shuffled %",
            "kappa %",
            "claims",
        ]
    ]
    for a in made:
        span = f"{a.interval[0]:.1f}-{a.interval[1]:.1f}" if a.interval else ""
        value = "" if a.kappa is None else f"{a.kappa:.1f}"
        out.append(
            [
                a.field,
                a.measure,
                f"{a.agreement:.1f}",
                span,
                f"{a.chance:.1f}",
                f"{a.shuffled:.1f}",
                value,
                str(a.n),
            ]
        )
    return out
