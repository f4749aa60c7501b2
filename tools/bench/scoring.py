"""How long scoring takes, through `serdesc score`: classes and WER of 5531 utterances, caption metrics of 6000 captions, SPICE of 600 pairs.

    tools/venv/bin/python tools/bench/scoring.py
    tools/venv/bin/python tools/bench/scoring.py --make FOLDER --count 300      # only the made data: FOLDER/data and FOLDER/hyp.jsonl

Beside them, in the same run: spice-1.0.jar by itself on the same pairs, its cache as empty as ours. Times are wall clock of whole commands;
"start" is the command on two utterances, which is mostly imports.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from serdesc.captions import writer
from serdesc.captions.fields import ENERGY, GENDERS, PITCH, SPEED, Fields
from serdesc.config import ScoringConfig
from serdesc.data import datadir
from serdesc.data.corpora import mini
from serdesc.data.datadir import Utterance
from serdesc.files import read_jsonl, write_jsonl
from serdesc.scoring import java
from serdesc.scoring.metrics import spice

EMOTIONS = ("angry", "happy", "neutral", "sad")


def make(folder: Path, count: int, seed: int = 1) -> tuple[Path, Path]:
    """A labelled data directory with rendered references, and answers of which each field is right in four cases of five."""
    rng = np.random.default_rng(seed)
    words = sorted({word for line in mini.lines() for word in line.words})
    utterances, answers = [], []
    for i in range(count):
        said = tuple(rng.choice(words, size=int(rng.integers(3, 12))))
        fields = Fields(
            transcript=" ".join(said), emotion=str(rng.choice(EMOTIONS)), pitch=str(rng.choice(PITCH)), energy=str(rng.choice(ENERGY)),
            speed=str(rng.choice(SPEED)), gender=str(rng.choice(GENDERS)), emphasis=(said[0],),
        )  # fmt: skip
        utt_id = f"u{i:05d}"
        utterances.append(
            Utterance(utt_id, "none.wav", f"s{i % 20:02d}", text=fields.transcript, labels=fields, caption=writer.render(fields, utt_id))
        )
        heard = [word if rng.random() > 0.15 else str(rng.choice(words)) for word in said]
        wrong = {name: str(rng.choice(table)) for name, table in (("emotion", EMOTIONS), ("pitch", PITCH), ("speed", SPEED)) if rng.random() < 0.25}
        answer = replace(fields, transcript=" ".join(heard), emphasis=(heard[0],), **wrong)
        answers.append({"utt_id": utt_id, "response": writer.render(answer, f"{utt_id} answer")})
    datadir.write(folder / "data", utterances)
    write_jsonl(folder / "hyp.jsonl", answers)
    return folder / "data", folder / "hyp.jsonl"


def seconds(*command: str, **environment: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment})
    return time.perf_counter() - start


def score(made: tuple[Path, Path], metrics: str, *settings: str) -> float:
    sets = [part for setting in settings for part in ("--set", setting)]
    program = Path(sys.executable).with_name("serdesc")
    return seconds(str(program), "score", str(made[0]), "--hyp", str(made[1]), "--metric", metrics, *sets)


def jar_alone(made: tuple[Path, Path], cache: Path) -> float:
    """spice-1.0.jar on the very pairs that our last run scored."""
    rows = read_jsonl(made[1].with_name("rows.jsonl"))
    pairs = list(dict.fromkeys((row["tokens"]["hyp"], row["tokens"]["ref"]) for row in rows))
    given = cache / "in.json"
    cache.mkdir(parents=True, exist_ok=True)
    given.write_text(json.dumps([{"image_id": i, "test": hyp, "refs": [ref]} for i, (hyp, ref) in enumerate(pairs)]))
    jars, own = spice.folder(""), java.jars() / "spice"
    classes = os.pathsep.join([str(jars / "*"), str(own / "spice-1.0.jar"), str(own / "lib" / "*")])
    memory = f"-Xmx{ScoringConfig().java_memory}"
    start = ["java", memory, *spice.OPENED, "-cp", classes, "edu.anu.spice.SpiceScorer", str(given), "-out", str(cache / "out.json")]
    return seconds(*start, "-cache", str(cache), "-subset", "-silent", "-detailed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", type=Path, help="only make data there")
    parser.add_argument("--count", type=int, default=300)
    args = parser.parse_args()
    if args.make:
        make(args.make, args.count)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        two, many, most, pairs = (make(folder / str(n), n) for n in (2, 5531, 6000, 600))
        classes, captions = "ua,wa,macro_f1,weighted_f1,wer", "bleu4,sacrebleu,meteor,meteor_mean,rouge_l,cider"
        start = score(two, classes)
        print(f"start                                        {start:6.1f} s", flush=True)
        print(f"UA, WA, F1, WER of 5531 utterances           {score(many, classes) - start:6.1f} s after start", flush=True)
        print(f"all caption metrics but SPICE, 6000 captions {score(most, captions):6.1f} s", flush=True)
        cache = f"scoring.cache={folder / 'cache'}"
        ours, cached = score(pairs, "spice", cache), score(pairs, "spice", cache)
        alone = jar_alone(pairs, folder / "alone" / "spice")
        print(f"SPICE of 600 new pairs                       {ours:6.1f} s; spice-1.0.jar alone {alone:.1f} s; ratio {ours / alone:.2f}")
        print(f"SPICE of the same pairs again                {cached:6.1f} s")


if __name__ == "__main__":
    main()
