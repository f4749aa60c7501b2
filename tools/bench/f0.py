"""Pitch labels by each measure, against those by Praat's F0, and the cost of the trackers.

    python tools/bench/f0.py data/ravdess [DATA ...] [--limit N] [--nj N]

DATA: data directories with spk2gender, as `serdesc prepare` writes them. Labels are low, normal and
high at the percentiles of SpeechCraft, by sex, of the directory itself. Needs praat-parselmouth;
WORLD is compared if pyworld is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable, Sequence

import numpy as np
from tabulate import tabulate

from serdesc import f0
from serdesc.captions.fields import PITCH
from serdesc.config import MeasureConfig
from serdesc.data import audio, datadir, descriptors
from serdesc.data.datadir import Utterance

Measure = Callable[[np.ndarray], "float | None"]


def by_tracker(
    wave: np.ndarray, tracker: f0.Tracker, confidence: float = f0.CONFIDENCE
) -> float | None:
    return f0.median(f0.track(wave, tracker, confidence))


def by_peaks(wave: np.ndarray) -> float | None:
    return descriptors.measure(wave, None, MeasureConfig(pitch="piptrack")).get("pitch")


REFERENCE = "praat"
MEASURES: dict[str, Measure] = {
    "piptrack (SpeechCraft)": by_peaks,
    "pyin, every voiced frame": partial(by_tracker, tracker="pyin", confidence=0.0),
    "pyin (measure.pitch f0)": partial(by_tracker, tracker="pyin"),
    REFERENCE: partial(by_tracker, tracker="praat"),
}
if importlib.util.find_spec("pyworld"):
    MEASURES["world"] = partial(by_tracker, tracker="world")


def measured(utt: Utterance) -> list[tuple[float | None, float]]:
    """Value and processor seconds of each measure, of the first five seconds, as for labels."""
    wave = utt.load_audio()[: 5 * audio.SAMPLE_RATE]
    found = []
    for measure in MEASURES.values():
        f0.forget()
        start = time.process_time()
        value = measure(wave)
        found.append((value, time.process_time() - start))
    return found


def labels(utterances: Sequence[Utterance], values: Sequence[float | None]) -> list[str | None]:
    """The pitch label of each utterance by the thresholds of all."""
    measured = []
    for utt, value in zip(utterances, values):
        measured.append(replace(utt, measure=None if value is None else {"pitch": value}))
    thresholds = descriptors.fit(measured)
    return [descriptors.labels(utt, thresholds).pitch for utt in measured]


def compare(data: Path, limit: int, nj: int) -> list[list[str]]:
    """A row per measure: how often its labels are those of the reference."""
    utterances = datadir.originals(datadir.read(data))
    utterances = utterances[:: max(1, len(utterances) // limit)] if limit else utterances
    with ProcessPoolExecutor(nj) as pool:
        columns = list(zip(*pool.map(measured, utterances, chunksize=8)))
    seconds = sum(min(5.0, utt.seconds or 5.0) for utt in utterances)
    values = {name: [value for value, _ in column] for name, column in zip(MEASURES, columns)}
    reference = labels(utterances, values[REFERENCE])
    rows = []
    for name, column in zip(MEASURES, columns):
        own = labels(utterances, values[name])
        both = [(a, b) for a, b in zip(own, reference) if a and b]
        right = 100 * np.mean([a == b for a, b in both])
        firsts, seconds_ = [a for a, _ in both], [b for _, b in both]
        chance = sum(firsts.count(v) * seconds_.count(v) for v in PITCH) / len(both) ** 2
        opposite = 100 * np.mean([{a, b} == {"low", "high"} for a, b in both])
        pairs = [(a, b) for a, b in zip(values[name], values[REFERENCE]) if a and b]
        within = 100 * np.mean([abs(12 * np.log2(a / b)) <= 1 for a, b in pairs])
        absent = 100 * np.mean([label is None for label in own])
        cost = sum(spent for _, spent in column) / seconds
        figures = [absent, right, 100 * chance, opposite, within]
        rows.append([data.name, str(len(own)), name, *(f"{x:.1f}" for x in figures), f"{cost:.3f}"])
    return rows


HEAD = (
    "data utterances measure no,label,% as,Praat,% chance,% opposite,% within,1,st,% of,real,time"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, default=0, help="utterances of each; 0: all")
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args()
    heads = [head.replace(",", " ") for head in HEAD.split()]
    rows = [row for data in args.data for row in compare(data, args.limit, args.nj)]
    print(tabulate(rows, heads, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
