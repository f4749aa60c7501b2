"""Time of `serdesc score`: classes and WER of 5531 utterances, caption metrics of 6000 and SPICE.

    tools/venv/bin/python tools/bench/scoring.py
    tools/venv/bin/python tools/bench/scoring.py --make FOLDER --count 300

The second command only generates FOLDER/data and FOLDER/hyp.jsonl. For comparison, in the same run,
spice-1.0.jar alone scores the same pairs with an empty cache. Times are wall clock of whole
commands; "start" is the command on two utterances, mostly imports.
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
    """A labelled data directory with rendered references, and hypotheses with wrong fields.

    A word is replaced with probability 0.15, a field with probability 0.25.
    """
    rng = np.random.default_rng(seed)
    words = sorted({word for line in mini.lines() for word in line.words})
    utterances, hypotheses = [], []
    for i in range(count):
        reference = tuple(rng.choice(words, size=int(rng.integers(3, 12))))
        fields = Fields(
            transcript=" ".join(reference),
            emotion=str(rng.choice(EMOTIONS)),
            pitch=str(rng.choice(PITCH)),
            energy=str(rng.choice(ENERGY)),
            speed=str(rng.choice(SPEED)),
            gender=str(rng.choice(GENDERS)),
            emphasis=(reference[0],),
        )
        utt_id = f"u{i:05d}"
        utterances.append(
            Utterance(
                utt_id,
                "none.wav",
                f"s{i % 20:02d}",
                text=fields.transcript,
                labels=fields,
                caption=writer.render(fields, utt_id),
            )
        )
        recognised = [word if rng.random() > 0.15 else str(rng.choice(words)) for word in reference]
        wrong = {}
        for name, values in (("emotion", EMOTIONS), ("pitch", PITCH), ("speed", SPEED)):
            if rng.random() < 0.25:
                wrong[name] = str(rng.choice(values))
        hyp = replace(fields, transcript=" ".join(recognised), emphasis=(recognised[0],), **wrong)
        hypotheses.append({"utt_id": utt_id, "response": writer.render(hyp, f"{utt_id} answer")})
    datadir.write(folder / "data", utterances)
    write_jsonl(folder / "hyp.jsonl", hypotheses)
    return folder / "data", folder / "hyp.jsonl"


def seconds(*command: str) -> float:
    """Wall clock of a command."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def score(paths: tuple[Path, Path], metrics: str, *settings: str) -> float:
    """Seconds of `serdesc score`; paths: data directory and hypotheses."""
    data, hyp = map(str, paths)
    options = []
    for setting in settings:
        options += ["--set", setting]
    program = str(Path(sys.executable).with_name("serdesc"))
    return seconds(program, "score", data, "--hyp", hyp, "--metric", metrics, *options)


def jar_alone(hyp: Path, cache: Path) -> float:
    """Seconds of spice-1.0.jar on the pairs that the last `serdesc score` of `hyp` scored."""
    rows = read_jsonl(hyp.with_name("rows.jsonl"))
    pairs = dict.fromkeys((row["tokens"]["hyp"], row["tokens"]["ref"]) for row in rows)
    entries = []
    for i, (candidate, reference) in enumerate(pairs):
        entries.append({"image_id": i, "test": candidate, "refs": [reference]})
    source = cache / "in.json"
    cache.mkdir(parents=True, exist_ok=True)
    source.write_text(json.dumps(entries))
    spice_jars = java.jars() / "spice"
    jars = [spice.folder("") / "*", spice_jars / "spice-1.0.jar", spice_jars / "lib" / "*"]
    memory = f"-Xmx{ScoringConfig().java_memory}"
    java_command = ["java", memory, *spice.OPENED, "-cp", os.pathsep.join(map(str, jars))]
    files = [str(source), "-out", str(cache / "out.json"), "-cache", str(cache)]
    flags = ["-subset", "-silent", "-detailed"]
    return seconds(*java_command, "edu.anu.spice.SpiceScorer", *files, *flags)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--make", type=Path, help="only generate data in this folder")
    parser.add_argument("--count", type=int, default=300)
    args = parser.parse_args()
    if args.make:
        make(args.make, args.count)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        two, many, most, pairs = (make(folder / str(n), n) for n in (2, 5531, 6000, 600))
        classes = "ua,wa,macro_f1,weighted_f1,wer"
        start = score(two, classes)
        print_row("start", f"{start:6.1f} s")
        took = score(many, classes) - start
        print_row("UA, WA, F1, WER of 5531 utterances", f"{took:6.1f} s after start")
        took = score(most, "bleu4,sacrebleu,meteor,meteor_mean,rouge_l,cider")
        print_row("all caption metrics but SPICE, 6000 captions", f"{took:6.1f} s")
        cache = f"scoring.cache={folder / 'cache'}"
        new, cached = score(pairs, "spice", cache), score(pairs, "spice", cache)
        alone = jar_alone(pairs[1], folder / "alone" / "spice")
        ratio = f"spice-1.0.jar alone {alone:.1f} s; ratio {new / alone:.2f}"
        print_row("SPICE of 600 new pairs", f"{new:6.1f} s; {ratio}")
        print_row("SPICE of the same pairs again", f"{cached:6.1f} s")


def print_row(what: str, result: str) -> None:
    print(f"{what:44s} {result}", flush=True)


if __name__ == "__main__":
    main()
