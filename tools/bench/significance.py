"""How often each p-value that serdesc gives out is below 0.05 where there is no difference, and where there is a known one.

    tools/venv/bin/python tools/bench/significance.py --simulations 2000

Two systems answer a four-class task about the same units (speakers of ten utterances with a difficulty of their own; or single utterances).
Under the first null both are right equally often. Under the second their UA is equal and their accuracy is not: the first is right in 80 % of
the majority class and 54 % of the others, the second in 51 % and 63.7 %. For power the first is right in 8 % of cases more. Tests are of UA,
McNemar's of accuracy, which is no null in the second case. The last column is the 95 % range that the share of rejections of a true 5 % test
has in so many simulations.
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

CASES = (("speaker", 5), ("speaker", 10), ("speaker", 50), ("utterance", 50), ("utterance", 1000))
ROUNDS = 500
CLASSES = ("angry", "happy", "neutral", "sad")


MAJORITY = 2
UNEQUAL = -1.0  # in the gain's place: equal UA, unequal accuracy


def simulated(unit: str, units: int, gain: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    each = 10 if unit == "speaker" else 1
    ease = np.repeat(np.clip(0.55 + rng.normal(0, 0.12, units), 0.05, 0.9), each)
    wanted = rng.choice(4, size=units * each, p=(0.2, 0.3, 0.31, 0.19))
    sides: list[Rows] = []
    for side, more in enumerate((gain, 0.0)):
        if gain == UNEQUAL:
            chances = ease - 0.55 + (np.where(wanted == MAJORITY, 0.8, 0.54) if side == 0 else np.where(wanted == MAJORITY, 0.51, 0.637))
        else:
            chances = ease + more
        right = rng.random(units * each) < chances
        rows: Rows = []
        for i, (c, r) in enumerate(zip(wanted, right)):
            name = CLASSES[c]
            rows.append((Utterance(f"{i:05d}", "", f"{i // each:04d}"), {f"n.{name}": 1, f"right.{name}": int(r), "n": 1, "right": int(r)}))
        sides.append(rows)
    return sides[0], sides[1]


def one(job: tuple[str, int, float, int]) -> dict[str, float | None]:
    unit, units, gain, seed = job
    a, b = simulated(unit, units, gain, np.random.default_rng([seed, units]))
    ua, wa = metrics.chosen("ua,wa")
    p = significance.compare(ua, a, b, unit, rounds=ROUNDS, seed=seed).p
    return {**p, "mcnemar": None if gain == UNEQUAL else significance.compare(wa, a, b, unit, rounds=10).p["mcnemar"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--only", choices=("no", "equal", "right"), help="one of the three blocks, by its first word")
    args = parser.parse_args()
    low, high = (binom.ppf(q, args.simulations, 0.05) / args.simulations for q in (0.025, 0.975))
    start = time.time()
    with Pool(args.nj) as pool:
        for gain, what in ((0.0, "no difference"), (UNEQUAL, "equal UA, unequal accuracy"), (0.08, "right in 8 % of cases more")):
            if args.only and args.only != what.split()[0]:
                continue
            print(f"{what}: share of p < 0.05, %")
            for unit, units in CASES:
                found = pool.map(one, [(unit, units, gain, seed) for seed in range(args.simulations)], chunksize=20)
                cells = []
                for test in ("t", "randomisation", "mcnemar", "bootstrap"):
                    p = [row[test] for row in found]
                    given = [value for value in p if value is not None]
                    cells.append(f"{test} {100 * sum(v < 0.05 for v in given) / len(p):5.1f}" if given else f"{test}     -")
                print(f"  {units:5d} {unit}s: {'   '.join(cells)}   (5 % test: {100 * low:.1f} to {100 * high:.1f})", flush=True)
    print(f"{args.simulations} simulations a line, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
