"""How often what is called a 95 % interval contains the true value, by number of speakers.

    tools/venv/bin/python tools/bench/interval_coverage.py --simulations 2000

A speaker has about 20 utterances (numbers vary by --spread, the standard deviation of their
logarithm), a share of each emotion, a difficulty of his own and a word error rate of his own;
captions are templates whose values are right in the share of his difficulty. Single scores and
differences of two systems on the same utterances, the first with 5 % more right. The true value is
that of 20,000 speakers (CIDEr depends on the size of the set: the mean over all simulations of that
size). In brackets, the percentile bootstrap of versions before 0.5.0.
"""

from __future__ import annotations

import argparse
import time
from functools import cache
from multiprocessing import Pool
from typing import Iterator

import numpy as np

from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.scoring import intervals, metrics
from serdesc.scoring.bootstrap import Rows, UnitSums
from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, Metric

UNITS = (2, 5, 10, 20, 50)
NAMES = ("ua", "macro_f1", "wer", "cider")
CLASSES = ("angry", "happy", "neutral", "sad")
SHARES = np.array((0.2, 0.3, 0.31, 0.19))  # IEMOCAP's
VALUES = ("low", "normal", "high")
TEMPLATES = (
    "a {} speaker with {} pitch and {} volume",
    "the {} voice has {} pitch at {} volume",
    "someone sounds {} and talks in a {} tone with {} energy",
)
GAIN = 0.05  # of the first system
CONFIG = ScoringConfig(resamples=500)
FORMER_RESAMPLES = 200  # of the figures in brackets
CAPTIONED = 10  # utterances of a speaker at most that have captions
TRUE_SPEAKERS = 20_000
Pair = tuple[Rows, Rows]


def speaker(rng: np.random.Generator, name: str, spread: float, of: str) -> Iterator[tuple]:
    """(utterance, counts of the first system, counts of the second) of one speaker; `of`: metric.

    Of CIDEr, (utterance, (caption, reference), (caption, reference)).
    """
    size = int(np.clip(rng.lognormal(np.log(20), spread), 4, 100))
    classes = rng.choice(4, size=size, p=rng.dirichlet(12 * SHARES))
    skill = np.array((0.62, 0.5, 0.6, 0.68)) + rng.normal(0, 0.12) + rng.normal(0, 0.05, 4)
    bias = rng.dirichlet(8 * SHARES)
    rate = rng.gamma(6, 0.02)
    for i in range(min(size, CAPTIONED) if of == "cider" else size):
        utt, label = Utterance(f"{name}-{i:03d}", "", name), classes[i]
        sides = []
        words, hard = int(rng.integers(4, 25)), rng.gamma(2, 0.5)
        reference = rng.integers(3, size=2)
        for gain in (GAIN, 0.0):
            p = np.clip(skill[label] + gain, 0.02, 0.98)
            if of == "wer":
                errors = rng.poisson(words * rate * hard * (1 - gain))
                sides.append({"n": 1, "words": words, "substitutions": int(errors)})
            elif of == "cider":
                sides.append(_captions(rng, label, reference, p))
            else:
                said = label if rng.random() < p else rng.choice(4, p=bias)
                sides.append(_counts(CLASSES[label], CLASSES[said]))
        yield utt, sides[0], sides[1]


def _counts(label: str, said: str) -> Counts:
    right = int(label == said)
    return {f"n.{label}": 1, f"right.{label}": right, f"said.{said}": 1, "n": 1, "right": right}


def _captions(
    rng: np.random.Generator, label: int, reference: np.ndarray, p: float
) -> tuple[str, str]:
    """A caption and its reference: each value is right with probability p."""
    values = np.where(rng.random(2) < p, reference, rng.integers(3, size=2))
    said = label if rng.random() < p else rng.integers(4)
    hyp = TEMPLATES[rng.integers(3)].format(CLASSES[said], *(VALUES[v] for v in values))
    ref = TEMPLATES[rng.integers(3)].format(CLASSES[label], *(VALUES[v] for v in reference))
    return hyp, ref


def simulate(rng: np.random.Generator, of: str, units: int, spread: float) -> Pair:
    """The rows of both systems."""
    answers: list[tuple] = []
    for number in range(units):
        answers += speaker(rng, f"{number:05d}", spread, of)
    pair: list[Rows] = []
    for side in (1, 2):
        counts = [row[side] for row in answers]
        if of == "cider":
            hyps, refs = [hyp for hyp, _ in counts], [[ref] for _, ref in counts]
            counts = _metric(of).captions(Captions.of_tokens(hyps, refs, CONFIG))
        pair.append([(row[0], count) for row, count in zip(answers, counts)])
    return pair[0], pair[1]


@cache
def _metric(name: str) -> Metric:
    return metrics.chosen(name)[0]


def one(job: tuple[str, int, float, int]) -> list[tuple[float, ...]]:
    """(value, low, high, bootstrap low, high) of the second system, and of the difference."""
    of, units, spread, seed = job
    rng = np.random.default_rng([seed, units, NAMES.index(of)])
    metric, pair = _metric(of), simulate(rng, of, units, spread)
    sums = [UnitSums.of(rows, lambda utt: utt.spk) for rows in pair]
    picks = rng.integers(units, size=(FORMER_RESAMPLES, units))
    drawn = [side.resampled(metric, picks) for side in sums]
    single = (sums[1].value(metric), intervals.interval(metric, pair[1], CONFIG), drawn[1])
    found = [single, (*intervals.difference(metric, *pair, CONFIG), drawn[0] - drawn[1])]
    rows = []
    for value, ends, resampled in found:
        low, high = ends or (np.nan, np.nan)
        rows.append((value, low, high, *np.nanpercentile(resampled, [2.5, 97.5])))
    return rows


def truth(of: str, spread: float) -> tuple[float, float]:
    """The value of the second system and the difference, over very many speakers."""
    rng, metric = np.random.default_rng(0), _metric(of)
    totals: list[dict[str, float]] = [{}, {}]
    for number in range(TRUE_SPEAKERS):
        for _, *sides in speaker(rng, f"{number}", spread, of):
            for total, counts in zip(totals, sides):
                for key, count in counts.items():
                    total[key] = total.get(key, 0) + count
    first, second = (metric.value(total) for total in totals)
    return second, first - second


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--spread", type=float, default=0.3)
    parser.add_argument("--units", type=int, action="append", help="repeat for several")
    parser.add_argument("--metric", choices=NAMES, action="append", help="repeat for several")
    args = parser.parse_args()
    start = time.time()
    numbers = args.units or UNITS
    print("| metric | " + " | ".join(f"{units} speakers" for units in numbers) + " |")
    with Pool(args.nj) as pool:
        for of in args.metric or NAMES:
            wanted = None if of == "cider" else truth(of, args.spread)
            cells: list[list[str]] = [[], []]
            for units in numbers:
                jobs = [(of, units, args.spread, seed) for seed in range(args.simulations)]
                table = np.array(pool.map(one, jobs, chunksize=20))  # (simulations, 2, 5)
                for kind in (0, 1):
                    true = wanted[kind] if wanted else table[:, kind, 0].mean()
                    low, high, boot_low, boot_high = table[:, kind, 1:].T
                    ours = 100 * np.mean((low <= true) & (true <= high))
                    boot = 100 * np.mean((boot_low <= true) & (true <= boot_high))
                    cells[kind].append(f"{ours:.1f} ({boot:.1f})")
            for kind, name in enumerate((of, f"{of}, difference")):
                print(f"| {name} | " + " | ".join(cells[kind]) + " |", flush=True)
    print(f"{args.simulations} simulations a cell, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
