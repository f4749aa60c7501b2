"""SPICE of each English caption, and their mean (Anderson et al. 2016), by spice-1.0.jar in a process of our own.

pycocoevalcap has the jar but not the CoreNLP 3.6.0 jars that it parses with: tools/get_spice.sh puts them into tools/spice, or where
`scoring.spice_jars` or SERDESC_SPICE says. Parses are kept in a cache of ours, so references are parsed once for all systems and folds; that
cache is the jar's and takes no caption over 511 bytes, so the scores of pairs are kept too.
A caption without a noun phrase has no tuples and scores 0, against itself too; `no_tuples` counts them.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Sequence

from serdesc.config import ScoringConfig
from serdesc.files import digest
from serdesc.scoring import java
from serdesc.scoring.cache import ResultCache
from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, mean_of

# Parsing leaves much garbage and two parsers keep two cores busy: one collector with half the memory for what is young costs least.
COLLECTOR = ("-XX:+UseSerialGC", "-XX:NewRatio=1")
VERSION = 1  # of spice-1.0.jar on CoreNLP 3.6.0, and of what a row says: scores of other versions are not taken
NEEDED = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models*.jar", "rhino*.jar")
# The cache serialises objects of these packages, which Java closes since 16.
OPENED = [
    f"--add-opens=java.base/java.{name}=ALL-UNNAMED"
    for name in ("lang", "math", "util", "util.concurrent", "net", "text")
]


def _count(captions: Captions) -> list[Counts]:
    config = captions.config
    if config.language != "en":
        raise java.NotComputed("SPICE is computed for English alone (scoring.language)")
    jars = folder(config.spice_jars)
    hyps, refs = captions.tokens if config.spice_text == "ptb" else (captions.hyps, captions.refs)
    cache = ResultCache(Path(config.cache).expanduser() / "spice.jsonl")
    keys = {pair: digest(VERSION, *pair) for pair in zip(hyps, refs)}
    if new := [pair for pair, name in keys.items() if name not in cache.known]:
        cache.add(
            {keys[pair]: row for pair, row in zip(new, _scored(new, jars, config), strict=True)}
        )
    return [dict(cache.known[keys[pair]]) for pair in zip(hyps, refs)]


def _scored(pairs: Sequence[tuple[str, str]], jars: Path, config: ScoringConfig) -> list[Counts]:
    """Counts of each (hypothesis, reference), all in one call of the jar."""
    asked = [{"image_id": i, "test": hyp, "refs": [ref]} for i, (hyp, ref) in enumerate(pairs)]
    cache = Path(config.cache).expanduser() / "spice"
    cache.mkdir(parents=True, exist_ok=True)
    own = java.jars() / "spice"
    classes = os.pathsep.join([str(jars / "*"), str(own / "spice-1.0.jar"), str(own / "lib" / "*")])
    with tempfile.TemporaryDirectory(prefix="serdesc-spice-") as name:
        given, made = Path(name) / "in.json", Path(name) / "out.json"
        given.write_text(json.dumps(asked), encoding="utf-8")
        arguments = [
            *COLLECTOR,
            *OPENED,
            "-cp",
            classes,
            "edu.anu.spice.SpiceScorer",
            str(given),
            "-out",
            str(made),
            "-cache",
            str(cache),
        ]
        java.run(
            [*arguments, "-subset", "-silent", "-detailed"],
            "",
            "SPICE",
            memory=config.java_memory,
            timeout=config.java_timeout,
        )
        rows = json.loads(made.read_text(encoding="utf-8"))
    scored = {int(row["image_id"]): _row(row) for row in rows}
    return [scored[i] for i in range(len(pairs))]


def _row(row: dict) -> Counts:  # type: ignore[type-arg]
    f = row["scores"]["All"]["f"]
    empty = not row.get("test_tuples") or not row.get("ref_tuples")
    return {"n": 1, "sum": 0.0 if f is None or math.isnan(f) else float(f), "no_tuples": int(empty)}


def folder(setting: str) -> Path:
    """Where the CoreNLP jars are. Raises NotComputed with the way to get them."""
    path = Path(
        setting or os.environ.get("SERDESC_SPICE") or Path(__file__).parents[3] / "tools" / "spice"
    )
    missing = [name for name in NEEDED if not list(path.glob(name))]
    if missing:
        raise java.NotComputed(f"run tools/get_spice.sh: {', '.join(missing)} not in {path}")
    return path


def _signs(config: ScoringConfig) -> dict[str, str]:
    raw = {"tokens": "raw", "punctuation": "kept"} if config.spice_text == "raw" else {}
    return {"spice_text": config.spice_text, **raw, "jar": java.digest("spice", "spice-1.0.jar")}


METRICS = [mean_of("spice", "SPICE", _count, column=25, signs=_signs)]
