"""The corpus doctor: is a prepared corpus the one that everybody else compares on, and is its audio what the lists say?

A fault is something to mend; a note is a known property of the corpus, told so that nobody is surprised. Each audio file is read once.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, Mapping, Sequence

import numpy as np

from serdesc.data import audio, corpora, datadir, prepare
from serdesc.data.corpora import Known
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.progress import progress

CLIPPED_SHARE = 1e-3  # of the samples, in runs of at least CLIPPED_RUN at full scale
CLIPPED_RUN = 4
SILENT_RMS = 10 ** (-65 / 20)  # of full scale; a quiet studio recording lies above -50 dB
CHARACTERS_A_SECOND = 40.0  # fast speech has about 20
SPARE_SECONDS = 0.5  # a word may be cut at either end
LIST_SECONDS = 0.1  # by which a length may differ from the list's


@dataclass(frozen=True)
class Finding:
    kind: str
    what: str
    is_fault: bool = True


def check(data: Path, corpus: str | None, listed: Path | None, nj: int) -> list[Finding]:
    """Everything found out about a data directory. `listed`: a TSV with utt_id (or key), seconds, and optionally label and fold."""
    utterances = datadir.originals(datadir.read(data))
    made = read_json(data / prepare.MADE) if (data / prepare.MADE).exists() else {}
    name = corpus or made.get("corpus")
    if name and name not in prepare.known():
        raise UserError(f"corpus '{name}' is not known; known are {', '.join(prepare.known())}")
    module = importlib.import_module(f"{corpora.__name__}.{name}") if name else None
    known: Known = getattr(module, "KNOWN", Known())
    rejected = _rejected(data / "rejected.tsv")
    whole = made.get("settings", {}).get("turns", "all") == "all"
    return [
        *_rejections(rejected, known),
        *(_counts(utterances, known) if whole else [Finding("counts", "not compared: only improvised turns were taken", False)]),
        *_folds(data, known),
        *(_against_list(utterances, {utt_id for utt_id, _, _ in rejected}, listed) if listed else []),
        *_audio(utterances, known, nj),
    ]


def _rejected(path: Path) -> list[tuple[str, str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["utt_id"], row["path"], row["reason"]) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def _rejections(rejected: Sequence[tuple[str, str, str]], known: Known) -> Iterator[Finding]:
    for utt_id, path, reason in rejected:
        if utt_id in known.bad:
            yield Finding("known bad clip", f"{utt_id}: {known.bad[utt_id]}; left out here ({reason})", False)
        else:
            yield Finding("rejected", f"{utt_id}: {reason} ({path})")


def _counts(utterances: Sequence[Utterance], known: Known) -> Iterator[Finding]:
    counted = [utt for utt in utterances if not known.labels or utt.emotion in known.labels]
    emotions = dict(known.emotions)
    if "excited" in emotions and not any(utt.emotion == "excited" for utt in utterances):
        emotions["happy"] += emotions.pop("excited")
    asked: list[tuple[str, Mapping[str, int], Counter[str]]] = [
        ("session", known.sessions, Counter(str(utt.session) for utt in counted)),
        ("class", emotions, Counter(str(utt.emotion) for utt in counted)),
    ]
    for what, wanted, found in asked:
        for value in sorted({*wanted, *(found if wanted else ())}):
            if found[value] != wanted.get(value, 0):
                yield Finding("counts", f"{what} {value}: {found[value]} utterances, {wanted.get(value, 0)} are known")
    speakers = len({utt.spk for utt in utterances})
    if known.speakers is not None and speakers != known.speakers:
        yield Finding("counts", f"{speakers} speakers, {known.speakers} are known")


def _folds(data: Path, known: Known) -> Iterator[Finding]:
    for fold in sorted(data.glob("fold*")):
        parts = {part.name: {utt.spk for utt in datadir.read(part)} for part in sorted(fold.iterdir()) if part.is_dir()}
        for name in ("train", "dev"):
            if shared := sorted(parts.get(name, set()) & parts.get("test", set())):
                shown = f"{fold.name}: {len(shared)} speakers in {name} and in test: {' '.join(shared[:8])}{' ...' if len(shared) > 8 else ''}"
                yield Finding("speaker overlap", shown, not known.speakers_in_several_parts)


def _against_list(utterances: Sequence[Utterance], rejected: set[str], path: Path) -> Iterator[Finding]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if not rows or not {"utt_id", "key"} & set(rows[0]) or "seconds" not in rows[0]:
        raise UserError(f"{path}: a TSV with the columns utt_id (or key) and seconds is expected; found {', '.join(rows[0]) if rows else 'nothing'}")
    by_id = {utt.utt_id: utt for utt in utterances}
    for row in rows:
        utt_id = row.get("utt_id") or row["key"]
        utt = by_id.get(utt_id)
        if utt is None:
            if utt_id not in rejected:
                yield Finding("not in the data", f"{utt_id} stands in {path.name}")
        elif utt.seconds is not None and abs(utt.seconds - float(row["seconds"])) > LIST_SECONDS:
            yield Finding("duration", f"{utt_id}: {utt.seconds:.2f} s, {path.name} says {float(row['seconds']):.2f} s")


@dataclass(frozen=True)
class _Heard:
    digest: str
    channels: int
    channels_differ: bool
    clipped: float
    rms: float


def _audio(utterances: Sequence[Utterance], known: Known, nj: int) -> Iterator[Finding]:
    paths = sorted({utt.wav for utt in utterances if not utt.span})
    with progress("listen", len(paths), "files") as advance, ProcessPoolExecutor(max(1, nj)) as pool:
        heard: dict[str, _Heard | str] = {}
        for path, result in zip(paths, pool.map(_hear, paths, chunksize=32)):
            heard[path] = result
            advance(1)
    same = defaultdict(list)
    for utt in utterances:
        found = heard.get(utt.wav)
        if isinstance(found, str):
            yield Finding("not readable", f"{utt.utt_id}: {found} ({utt.wav})")
        elif found:
            same[found.digest].append(utt.utt_id)
            yield from _sound(utt, found)
        if utt.text and utt.seconds and len(utt.text) > CHARACTERS_A_SECOND * (utt.seconds + SPARE_SECONDS):
            what = f"{utt.utt_id}: {len(utt.text)} characters in {utt.seconds:.2f} s"
            yield Finding("transcript longer than the audio allows", what, not known.loose_times)
    for ids in same.values():
        if len(ids) > 1:
            yield Finding("duplicated audio", f"{' = '.join(ids)}: the same samples")


def _sound(utt: Utterance, heard: _Heard) -> Iterator[Finding]:
    if heard.channels > 1 and heard.channels_differ:
        yield Finding("channels", f"{utt.utt_id}: {heard.channels} different channels would be averaged: keep the one with the speaker ({utt.wav})")
    if heard.clipped > CLIPPED_SHARE:
        yield Finding("clipped", f"{utt.utt_id}: {100 * heard.clipped:.1f} % of the samples are at full scale ({utt.wav})")
    if heard.rms < SILENT_RMS:
        yield Finding("silent", f"{utt.utt_id}: {20 * np.log10(heard.rms + 1e-10):.0f} dB below full scale on average ({utt.wav})")


def _hear(path: str) -> _Heard | str:
    try:
        with audio.opened(path) as file:
            samples = file.read(dtype="int16", always_2d=True)
    except audio.AudioError as error:
        return str(error)
    if not len(samples):
        return "empty: no samples"
    first = samples[:, 0]
    differ = any(bool((samples[:, i] != first).any()) for i in range(1, samples.shape[1]))
    scaled = first.astype(np.float32) / 32768
    return _Heard(
        hashlib.blake2b(samples.tobytes(), digest_size=16).hexdigest(), samples.shape[1], differ, _clipped(first), float(np.sqrt(np.mean(scaled**2)))
    )


def _clipped(wave: np.ndarray) -> float:
    """Share of samples in runs at full scale (within one part in a thousand)."""
    full = np.flatnonzero((wave >= 32735) | (wave <= -32735))
    if len(full) < CLIPPED_RUN:
        return 0.0
    runs = np.split(full, np.flatnonzero(np.diff(full) > 1) + 1)
    return sum(len(run) for run in runs if len(run) >= CLIPPED_RUN) / len(wave)


def summary(findings: Iterable[Finding], shown: int = 20) -> list[str]:
    """Lines to print: faults first, at most `shown` of a kind."""
    lines = []
    for is_fault in (True, False):
        kinds: dict[str, list[str]] = defaultdict(list)
        for finding in findings:
            if finding.is_fault == is_fault:
                kinds[finding.kind].append(finding.what)
        for kind, whats in kinds.items():
            lines.append(f"{'fault' if is_fault else 'note'}: {kind} ({len(whats)})")
            lines += [f"  {what}" for what in whats[:shown]] + ([f"  ... and {len(whats) - shown} more"] if len(whats) > shown else [])
    return lines
