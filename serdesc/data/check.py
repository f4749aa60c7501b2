"""The corpus doctor: is a prepared corpus the one that everybody else compares on, and is its audio what the lists say?

A fault is something to mend; a note is a known property of the corpus, told so that nobody is surprised. Each audio file is read once.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Iterable, Iterator, Mapping, Sequence

import numpy as np

from serdesc.data import annotate, audio, corpora, datadir, prepare
from serdesc.data.corpora import Known
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, read_text
from serdesc.progress import progress

CLIPPED_SHARE = 1e-3  # of the samples, in runs of at least CLIPPED_RUN at full scale
CLIPPED_RUN = 4
SILENT_RMS = 10 ** (-65 / 20)  # of full scale; a quiet studio recording lies above -50 dB
CHARACTERS_A_SECOND = 40.0  # fast speech has about 20
SPARE_SECONDS = 0.5  # a word may be cut at either end
LIST_SECONDS = 0.1  # by which a length may differ from the list's
LABEL_COLUMNS, PART_COLUMNS = ("label", "raw_label", "emotion"), ("split", "fold", "test_fold")
ALIASES = {"valid": "dev", "validation": "dev"}


@dataclass(frozen=True)
class Finding:
    kind: str
    what: str
    is_fault: bool = True


def check(data: Path, corpus: str | None, listed: Path | None, nj: int) -> list[Finding]:
    """Everything found out about a data directory. `listed`: a TSV with utt_id (or key), seconds, and optionally label and fold."""
    utterances = datadir.originals(datadir.read(data))
    made = _made(data / prepare.MADE)
    module = _module(corpus or made.get("corpus"))
    known: Known = getattr(module, "KNOWN", Known())
    rejected = datadir.rejected(data)
    whole = made.get("settings", {}).get("turns", "all") == "all"
    return [
        *_rejections(rejected, known),
        *(
            _counts(utterances, known)
            if whole
            else [Finding("counts", "not compared: only improvised turns were taken", False)]
        ),
        *check_folds(data, corpus),
        *_names(utterances, module),
        *(
            _against_list(utterances, {utt_id for utt_id, _, _ in rejected}, listed, module, made)
            if listed
            else []
        ),
        *_audio(utterances, known, made.get("duplicates", []), nj),
    ]


def check_folds(folder: Path, corpus: str | None) -> Iterator[Finding]:
    """What is found out about the folds in a folder, as `serdesc annotate` makes them: speakers on two sides, and known sizes."""
    made = _made(folder / datadir.LABELLED)
    known: Known = getattr(_module(corpus or made.get("corpus")), "KNOWN", Known())
    folds = {}
    for fold in sorted(folder.glob("fold[0-9]*")):
        parts = {
            name: datadir.originals(datadir.read(fold / name))
            for name in annotate.PARTS
            if (fold / name / "wav.scp").exists()
        }
        folds[fold.name] = {name: len(part) for name, part in parts.items()}
        for name in ("train", "dev"):
            if shared := sorted(
                {utt.spk for utt in parts.get(name, [])}
                & {utt.spk for utt in parts.get("test", [])}
            ):
                shown = f"{fold.name}: {len(shared)} speakers in {name} and in test: {' '.join(shared[:8])}{' ...' if len(shared) > 8 else ''}"
                yield Finding("speaker overlap", shown, not known.speakers_in_several_parts)
    if folds and known.sessions:
        yield from _sizes(folds, known, made)


def _sizes(
    folds: Mapping[str, Mapping[str, int]], known: Known, made: Mapping[str, Any]
) -> Iterator[Finding]:
    settings, chosen = made.get("settings", {}), made.get("folds", {})
    labels = {
        settings.get("excited", "happy") if label == "excited" else label for label in known.labels
    }
    rule = chosen.get("rule")
    wanted: dict[str, Mapping[str, int]] = {}
    if (
        set(chosen.get("labels", ())) == labels
        and chosen.get("protocol") == settings.get("turns", "all") == "all"
    ):
        if rule == "session":
            wanted = {
                f"fold{k}": {"test": known.sessions[session]}
                for k, session in enumerate(sorted(known.sessions), start=1)
            }
        elif rule == "split":
            wanted = {"fold1": known.sessions}
    if not wanted:
        yield Finding(
            "sizes of folds",
            "not compared: these folds are not made by the rule, labels, turns and protocol that numbers are published of",
            False,
        )
    for fold, parts in wanted.items():
        for part, size in parts.items():
            if (found := folds.get(fold, {}).get(part, 0)) != size:
                yield Finding(
                    "sizes of folds", f"{fold}/{part}: {found} utterances, {size} are known"
                )


def _made(path: Path) -> dict[str, Any]:
    made: dict[str, Any] = read_json(path) if path.exists() else {}
    return made


def _module(name: str | None) -> ModuleType | None:
    if name and name not in prepare.known():
        raise UserError(f"corpus '{name}' is not known; known are {', '.join(prepare.known())}")
    return importlib.import_module(f"{corpora.__name__}.{name}") if name else None


def _rejections(rejected: Sequence[tuple[str, str, str]], known: Known) -> Iterator[Finding]:
    for utt_id, path, reason in rejected:
        if utt_id in known.bad:
            yield Finding(
                "known bad clip", f"{utt_id}: {known.bad[utt_id]}; left out here ({reason})", False
            )
        else:
            yield Finding(
                "rejected", f"{utt_id}: {reason} ({path})", reason not in known.not_at_hand
            )


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
                yield Finding(
                    "counts",
                    f"{what} {value}: {found[value]} utterances, {wanted.get(value, 0)} are known",
                )
    if known.total not in (None, len(utterances)):
        is_part = bool(known.not_at_hand) and len(utterances) < (known.total or 0)
        yield Finding(
            "counts", f"{len(utterances)} utterances, {known.total} are known", not is_part
        )
    speakers = len({utt.spk for utt in utterances})
    if known.speakers is not None and speakers != known.speakers:
        yield Finding("counts", f"{speakers} speakers, {known.speakers} are known")


def _names(utterances: Sequence[Utterance], module: ModuleType | None) -> Iterator[Finding]:
    """Emotions that the corpus has not, and sessions, speakers and sexes that are not the ids' own."""
    emotions, identity = _emotions(module), getattr(module, "identity", lambda utt_id: None)
    ours = set(emotions.values()) | {None}
    for utt in utterances:
        if emotions and utt.emotion not in ours:
            yield Finding("labels outside the map", f"{utt.utt_id}: {utt.emotion}")
        if told := identity(utt.utt_id):
            asked = zip(("session", "speaker", "sex"), (utt.session, utt.spk, utt.gender), told)
            if wrong := [
                f"{what} {value}, its id says {own}"
                for what, value, own in asked
                if value not in (None, own)
            ]:
                yield Finding("speaker or session", f"{utt.utt_id}: {'; '.join(wrong)}")


def _emotions(module: ModuleType | None) -> dict[str, str | None]:
    """The release's labels and ours."""
    emotions = getattr(module, "EMOTIONS", {})
    return dict(emotions) if isinstance(emotions, dict) else dict(zip(emotions, emotions))


def _against_list(
    utterances: Sequence[Utterance],
    rejected: set[str],
    path: Path,
    module: ModuleType | None,
    made: Mapping[str, Any],
) -> Iterator[Finding]:
    if not path.exists():
        raise UserError(
            f"{path}: no such list. Name a TSV with the columns utt_id (or key) and seconds, or leave --list out"
        )
    rows = list(csv.DictReader(io.StringIO(read_text(path)), delimiter="\t"))
    if not rows or not {"utt_id", "key"} & set(rows[0]) or "seconds" not in rows[0]:
        raise UserError(
            f"{path}: a TSV with the columns utt_id (or key) and seconds is expected; found {', '.join(rows[0]) if rows else 'nothing'}"
        )
    emotions = _emotions(module)
    if "exc" in emotions:
        emotions["exc"] = made.get("settings", {}).get("excited", "happy")
    numbers = {
        session: str(k)
        for k, session in enumerate(sorted({utt.session or "" for utt in utterances}), start=1)
    }
    by_id = {utt.utt_id: utt for utt in utterances}
    for row in rows:
        utt_id = row.get("utt_id") or row["key"]
        utt = by_id.get(utt_id)
        if utt is None:
            if utt_id not in rejected:
                yield Finding("not in the data", f"{utt_id} stands in {path.name}")
            continue
        if utt.seconds is not None and abs(utt.seconds - float(row["seconds"])) > LIST_SECONDS:
            yield Finding(
                "duration",
                f"{utt_id}: {utt.seconds:.2f} s, {path.name} says {float(row['seconds']):.2f} s",
            )
        for value in (row[column] for column in LABEL_COLUMNS if row.get(column)):
            if utt.emotion != emotions.get(value, value):
                yield Finding("label", f"{utt_id}: {utt.emotion}, {path.name} says {value}")
        for value in (row[column] for column in PART_COLUMNS if row.get(column)):
            if utt.session and ALIASES.get(value, value) not in (utt.session, numbers[utt.session]):
                yield Finding("fold", f"{utt_id}: session {utt.session}, {path.name} says {value}")


@dataclass(frozen=True)
class _Heard:
    digest: str
    channels: int
    channels_differ: bool
    clipped: float
    rms: float


def _audio(
    utterances: Sequence[Utterance], known: Known, duplicates: Sequence[Sequence[str]], nj: int
) -> Iterator[Finding]:
    paths = sorted({utt.wav for utt in utterances if not utt.span})
    with progress("listen", len(paths), "files") as advance, ProcessPoolExecutor(
        max(1, nj)
    ) as pool:
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
        if (
            utt.text
            and utt.seconds
            and len(utt.text) > CHARACTERS_A_SECOND * (utt.seconds + SPARE_SECONDS)
        ):
            what = f"{utt.utt_id}: {len(utt.text)} characters in {utt.seconds:.2f} s"
            yield Finding("transcript longer than the audio allows", what, not known.loose_times)
    session = {utt.utt_id: str(utt.session) for utt in utterances}
    twins = {frozenset(ids) for ids in duplicates}
    for ids in same.values():
        if len(ids) > 1:
            expected = any(twin.issuperset(ids) for twin in twins)
            across = " and ".join(sorted({session[utt_id] for utt_id in ids}))
            kind = (
                f"known duplicate{' across ' + across if ' ' in across else ''}"
                if expected
                else "duplicated audio"
            )
            yield Finding(
                kind,
                f"{' = '.join(ids)}: {'one stretch twice in the release' if expected else 'the same samples'}",
                not expected,
            )


def _sound(utt: Utterance, heard: _Heard) -> Iterator[Finding]:
    if heard.channels > 1 and heard.channels_differ:
        yield Finding(
            "channels",
            f"{utt.utt_id}: {heard.channels} different channels would be averaged: keep the one with the speaker ({utt.wav})",
        )
    if heard.clipped > CLIPPED_SHARE:
        yield Finding(
            "clipped",
            f"{utt.utt_id}: {100 * heard.clipped:.1f} % of the samples are at full scale ({utt.wav})",
        )
    if heard.rms < SILENT_RMS:
        yield Finding(
            "silent",
            f"{utt.utt_id}: {20 * np.log10(heard.rms + 1e-10):.0f} dB below full scale on average ({utt.wav})",
        )


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
        hashlib.blake2b(samples.tobytes(), digest_size=16).hexdigest(),
        samples.shape[1],
        differ,
        _clipped(first),
        float(np.sqrt(np.mean(scaled**2))),
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
            lines += [f"  {what}" for what in whats[:shown]] + (
                [f"  ... and {len(whats) - shown} more"] if len(whats) > shown else []
            )
    return lines
