"""Share of p-values below 0.05, for each test: without a difference, and with a known one.

    tools/venv/bin/python tools/bench/significance.py --simulations 2000

Two systems classify the same units (speakers with ten utterances and a random difficulty, or single
utterances) into four classes. Under the first null hypothesis both have the same accuracy. Under
the second their UA is equal and their accuracy is not: the first is right in 80 % of the majority
class and 54 % of the others, the second in 51 % and 63.7 %. For power the first has 8 % higher
accuracy. The tests are of UA, McNemar's is of accuracy, so it is not run in the second case. The
last column is the 95 % range of the share of rejections of a true 5 % test.
"""

from __future__ import annotations

import argparse
import time
from multiprocessing import Pool

import numpy as np
from scipy.stats import binom

from serdesc.data.datadir import Utterance
from serdesc.scoring import metrics, significance
from serdesc.scoring.bootstrap import Rows

CASES = (
    ("speaker", 2),
    ("speaker", 5),
    ("speaker", 10),
    ("speaker", 20),
    ("speaker", 50),
    ("utterance", 50),
    ("utterance", 1000),
)
ROUNDS = 500
CLASSES = ("angry", "happy", "neutral", "sad")
MAJORITY = 2
UNEQUAL = -1.0  # instead of a gain: equal UA, unequal accuracy
# gain, text; its first word is the value of --only
COMPARISONS = (
    (0.0, "no difference"),
    (UNEQUAL, "equal UA, unequal accuracy"),
    (0.08, "right in 8 % of cases more"),
)
TESTS = ("t", "randomisation", "mcnemar", "bootstrap")


def simulate(unit: str, units: int, gain: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Counts of the two systems for each utterance."""
    size = 10 if unit == "speaker" else 1
    accuracy = np.repeat(np.clip(0.55 + rng.normal(0, 0.12, units), 0.05, 0.9), size)
    classes = rng.choice(4, size=units * size, p=(0.2, 0.3, 0.31, 0.19))
    if gain == UNEQUAL:
        majority = classes == MAJORITY
        first = accuracy - 0.55 + np.where(majority, 0.8, 0.54)
        second = accuracy - 0.55 + np.where(majority, 0.51, 0.637)
    else:
        first, second = accuracy + gain, accuracy
    rows_a = count(classes, rng.random(len(classes)) < first, size)
    rows_b = count(classes, rng.random(len(classes)) < second, size)
    return rows_a, rows_b


def count(classes: np.ndarray, right: np.ndarray, size: int) -> Rows:
    """Counts of utterances; `size` of them have the same speaker."""
    rows: Rows = []
    for i, (number, is_right) in enumerate(zip(classes, right)):
        name, hit = CLASSES[number], int(is_right)
        counts = {f"n.{name}": 1, f"right.{name}": hit, "n": 1, "right": hit}
        rows.append((Utterance(f"{i:05d}", "", f"{i // size:04d}"), counts))
    return rows


def p_values(job: tuple[str, int, float, int]) -> dict[str, float | None]:
    """The p-value of each test in one simulation."""
    unit, units, gain, seed = job
    a, b = simulate(unit, units, gain, np.random.default_rng([seed, units]))
    ua, wa = metrics.chosen("ua,wa")
    p = significance.compare(ua, a, b, unit, rounds=ROUNDS, seed=seed).p
    mcnemar = None
    if gain != UNEQUAL:
        mcnemar = significance.compare(wa, a, b, unit, rounds=10).p["mcnemar"]
    return {**p, "mcnemar": mcnemar}


def cell(test: str, p: list[float | None]) -> str:
    """Share of p-values below 0.05; a dash if the test was not run."""
    known = [value for value in p if value is not None]
    if not known:
        return f"{test}     -"
    return f"{test} {100 * sum(value < 0.05 for value in known) / len(p):5.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--nj", type=int, default=2)
    names = [text.split()[0] for _, text in COMPARISONS]
    parser.add_argument("--only", choices=names, help="one of the blocks, by its first word")
    args = parser.parse_args()
    low, high = (binom.ppf(q, args.simulations, 0.05) / args.simulations for q in (0.025, 0.975))
    start = time.time()
    with Pool(args.nj) as pool:
        for gain, text in COMPARISONS:
            if args.only and args.only != text.split()[0]:
                continue
            print(f"{text}: share of p < 0.05, %")
            for unit, units in CASES:
                jobs = [(unit, units, gain, seed) for seed in range(args.simulations)]
                rows = pool.map(p_values, jobs, chunksize=20)
                cells = "   ".join(cell(test, [row[test] for row in rows]) for test in TESTS)
                bounds = f"5 % test: {100 * low:.1f} to {100 * high:.1f}"
                print(f"  {units:5d} {unit}s: {cells}   ({bounds})", flush=True)
    print(f"{args.simulations} simulations a line, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
