"""SPICE of English captions, mean over the captions (Anderson et al. 2016), from spice-1.0.jar.

pycocoevalcap contains this jar, but not the CoreNLP 3.6.0 jars that it parses with:
tools/get_spice.sh downloads them to tools/spice; `scoring.spice_jars` or SERDESC_SPICE names
another directory. Two caches in `scoring.cache`: the jar's cache of parses, so that references are
parsed once for all systems and folds (it stores no caption over 511 bytes), and the scores of
pairs. A caption without a noun phrase has no tuples and scores 0, even against itself; `no_tuples`
counts it.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any, Sequence

from serdesc.config import ScoringConfig
from serdesc.files import digest
from serdesc.scoring import java
from serdesc.scoring.cache import ResultCache
from serdesc.scoring.captions import Captions
from serdesc.scoring.metric import Counts, mean_of

# Parsing allocates many short-lived objects and two parsers use two cores: a serial collector with
# half of the heap for the young generation was the fastest.
COLLECTOR = ("-XX:+UseSerialGC", "-XX:NewRatio=1")
# Version of the cached scores (spice-1.0.jar with CoreNLP 3.6.0, columns of a row), part of the
# cache key.
VERSION = 1
Captioned = tuple[str, tuple[str, ...]]  # hypothesis, its references
REQUIRED_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models*.jar", "rhino*.jar")
# The jar's cache serialises objects of these packages, which Java 16 and later close by default.
OPENED = [
    f"--add-opens=java.base/java.{name}=ALL-UNNAMED"
    for name in ("lang", "math", "util", "util.concurrent", "net", "text")
]


def count(captions: Captions) -> list[Counts]:
    config = captions.config
    if config.language != "en":
        raise java.NotComputed("SPICE supports English only (scoring.language)")
    jars = folder(config.spice_jars)
    hyps, references = captions.hyps, captions.references
    if config.spice_text == "ptb":
        hyps, references = captions.token_lists
    captioned = list(zip(hyps, map(tuple, references)))
    cache = ResultCache(Path(config.cache).expanduser() / "spice.jsonl")
    keys = {pair: digest(VERSION, pair[0], *pair[1]) for pair in captioned}
    missing = [pair for pair, key in keys.items() if key not in cache.results]
    if missing:
        scored = zip(missing, _run_spice(missing, jars, config), strict=True)
        cache.add({keys[pair]: row for pair, row in scored})
    return [dict(cache.results[keys[pair]]) for pair in captioned]


def _run_spice(pairs: Sequence[Captioned], jars: Path, config: ScoringConfig) -> list[Counts]:
    """Counts of each hypothesis with its references, from a single call of the jar."""
    entries = []
    for i, (hyp, refs) in enumerate(pairs):
        entries.append({"image_id": i, "test": hyp, "refs": refs})
    cache = Path(config.cache).expanduser() / "spice"
    cache.mkdir(parents=True, exist_ok=True)
    spice = java.jars() / "spice"
    classes = [str(jars / "*"), str(spice / "spice-1.0.jar"), str(spice / "lib" / "*")]
    with tempfile.TemporaryDirectory(prefix="serdesc-spice-") as name:
        source, target = Path(name) / "in.json", Path(name) / "out.json"
        source.write_text(json.dumps(entries), encoding="utf-8")
        arguments = [
            *COLLECTOR,
            *OPENED,
            *("-cp", os.pathsep.join(classes)),
            "edu.anu.spice.SpiceScorer",
            str(source),
            *("-out", str(target)),
            *("-cache", str(cache)),
            *("-subset", "-silent", "-detailed"),
        ]
        java.run(
            arguments,
            "",
            "SPICE",
            memory=config.java_memory,
            timeout=config.java_timeout,
        )
        rows = json.loads(target.read_text(encoding="utf-8"))
    by_id = {int(row["image_id"]): _counts(row) for row in rows}
    return [by_id[i] for i in range(len(pairs))]


def _counts(row: dict[str, Any]) -> Counts:
    f = row["scores"]["All"]["f"]
    value = 0.0 if f is None or math.isnan(f) else float(f)
    no_tuples = not row.get("test_tuples") or not row.get("ref_tuples")
    return {"n": 1, "sum": value, "no_tuples": int(no_tuples)}


def folder(setting: str) -> Path:
    """The directory of the CoreNLP jars.

    Raises NotComputed with the command that downloads them.
    """
    path = Path(
        setting or os.environ.get("SERDESC_SPICE") or Path(__file__).parents[3] / "tools" / "spice"
    )
    missing = [name for name in REQUIRED_JARS if not list(path.glob(name))]
    if missing:
        raise java.NotComputed(f"run tools/get_spice.sh: {', '.join(missing)} not in {path}")
    return path


def signs(config: ScoringConfig) -> dict[str, str]:
    raw = {"tokens": "raw", "punctuation": "kept"} if config.spice_text == "raw" else {}
    return {"spice_text": config.spice_text, **raw, "jar": java.digest("spice", "spice-1.0.jar")}


METRICS = [mean_of("spice", "SPICE", count, column=25, signs=signs)]
