"""Errors in a prepared corpus: counts, labels and folds against published ones, and its audio.

An error needs a correction; a note is a known property of the corpus. Each audio file is read once.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Iterable, Iterator, Mapping, Sequence

import numpy as np

from serdesc.data import annotate, audio, datadir, prepare, recording, rejections, release
from serdesc.data.corpora import Published, published
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json
from serdesc.progress import progress

CLIPPED_SHARE = 1e-3  # of the samples, in runs of at least CLIPPED_RUN at full scale
CLIPPED_RUN = 4
FULL_SCALE = 0.999
SILENT_RMS = 10 ** (-65 / 20)  # of full scale; a quiet studio recording is above -50 dB
CHARACTERS_A_SECOND = 40.0  # fast speech has about 20
SPARE_SECONDS = 0.5  # a word may be cut at either end
LIST_SECONDS = 0.1  # allowed difference between a length and the list's
LABEL_COLUMNS, PART_COLUMNS = ("label", "raw_label", "emotion"), ("split", "fold", "test_fold")
ALIASES = {"valid": "dev", "validation": "dev"}
SHOWN_SPEAKERS = 8


@dataclass(frozen=True)
class Finding:
    kind: str
    detail: str
    is_error: bool = True


def check(data: Path, corpus: str | None, listed: Path | None, nj: int) -> list[Finding]:
    """The findings of a data directory.

    listed: a TSV with utt_id (or key), seconds and, if it has them, label and fold.
    """
    utterances = datadir.originals(datadir.read(data))
    record = _record(data / prepare.PREPARE_RECORD)
    module = _module(corpus or record.get("corpus"))
    facts = published(module)
    rejected = rejections.read(data)
    findings = list(_rejections(rejected, facts))
    if record.get("settings", {}).get("turns", "all") == "all":
        findings += _counts(utterances, facts)
    else:
        reason = "not compared: the data has only improvised turns"
        findings.append(Finding("counts", reason, False))
    findings += check_folds(data, corpus)
    findings += _identities(utterances, module)
    if listed:
        rejected_ids = {utt_id for utt_id, _, _ in rejected}
        findings += _compare_list(utterances, rejected_ids, listed, module, record)
    findings += _check_audio(utterances, facts, record.get("duplicates", []), nj)
    return findings


def missing_files(data: Path, utterances: Iterable[Utterance]) -> Iterator[Finding]:
    """Recordings of wav.scp that do not exist."""
    for wav in sorted({utt.wav for utt in utterances}):
        if not Path(wav).exists():
            where = "" if Path(wav).is_absolute() else f", looked for in {Path.cwd()}"
            yield Finding("no such file", f"{wav}{where} ({data / 'wav.scp'})")


def check_folds(folder: Path, corpus: str | None) -> Iterator[Finding]:
    """Findings of the folds of `serdesc annotate`: speakers in two parts, and published sizes."""
    record = _record(folder / datadir.LABELS_RECORD)
    facts = published(_module(corpus or record.get("corpus")))
    sizes = {}
    for fold in sorted(folder.glob("fold[0-9]*")):
        parts = {}
        for name in annotate.PARTS:
            if (fold / name / "wav.scp").exists():
                parts[name] = datadir.originals(datadir.read(fold / name))
        sizes[fold.name] = {name: len(part) for name, part in parts.items()}
        test_speakers = {utt.spk for utt in parts.get("test", [])}
        for name in ("train", "dev"):
            shared = sorted({utt.spk for utt in parts.get(name, [])} & test_speakers)
            if shared:
                more = " ..." if len(shared) > SHOWN_SPEAKERS else ""
                names = " ".join(shared[:SHOWN_SPEAKERS]) + more
                detail = f"{fold.name}: {len(shared)} speakers in {name} and in test: {names}"
                yield Finding("speaker overlap", detail, not facts.speakers_in_several_parts)
    if sizes and facts.sessions:
        yield from _compare_sizes(sizes, facts, record)


def _compare_sizes(
    sizes: Mapping[str, Mapping[str, int]], facts: Published, record: Mapping[str, Any]
) -> Iterator[Finding]:
    published_sizes = _published_sizes(facts, record)
    if not published_sizes:
        yield Finding(
            "sizes of folds",
            "not compared: no sizes are published for the rule, labels, turns and protocol of these"
            " folds",
            False,
        )
    for fold, parts in published_sizes.items():
        for part, size in parts.items():
            actual = sizes.get(fold, {}).get(part, 0)
            if actual != size:
                detail = f"{fold}/{part}: {actual} utterances, {size} are published"
                yield Finding("sizes of folds", detail)


def _published_sizes(
    facts: Published, record: Mapping[str, Any]
) -> Mapping[str, Mapping[str, int]]:
    """Fold -> part -> utterances, if sizes are published for the settings of the folds."""
    prepared, folds = record.get("settings", {}), record.get("folds", {})
    labels = set(facts.labels)
    if "excited" in labels:
        labels.remove("excited")
        labels.add(prepared.get("excited", "happy"))
    if set(folds.get("labels", ())) != labels:
        return {}
    if not folds.get("protocol") == prepared.get("turns", "all") == "all":
        return {}
    if folds.get("rule") == "split":
        return {"fold1": facts.sessions}
    if folds.get("rule") == "session":
        sessions = enumerate(sorted(facts.sessions), start=1)
        return {f"fold{k}": {"test": facts.sessions[session]} for k, session in sessions}
    return {}


def _record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = read_json(path) if path.exists() else {}
    return record


def _module(corpus: str | None) -> ModuleType | None:
    return prepare.corpus_module(corpus) if corpus else None


# ---- counts and identities -----------------------------------------------------------------------


def _rejections(rejected: Sequence[tuple[str, str, str]], facts: Published) -> Iterator[Finding]:
    for utt_id, path, reason in rejected:
        if utt_id in facts.broken_clips:
            detail = f"{utt_id}: {facts.broken_clips[utt_id]}; excluded here ({reason})"
            yield Finding("known bad clip", detail, False)
        else:
            is_error = reason not in facts.reasons_of_subsets
            yield Finding("rejected", f"{utt_id}: {reason} ({path})", is_error)


def _counts(utterances: Sequence[Utterance], facts: Published) -> Iterator[Finding]:
    counted = [utt for utt in utterances if not facts.labels or utt.emotion in facts.labels]
    emotions = dict(facts.emotions)
    if "excited" in emotions and not any(utt.emotion == "excited" for utt in utterances):
        emotions["happy"] += emotions.pop("excited")
    yield from _compare_counts("session", facts.sessions, [str(utt.session) for utt in counted])
    yield from _compare_counts("class", emotions, [str(utt.emotion) for utt in counted])
    if facts.total not in (None, len(utterances)):
        is_subset = bool(facts.reasons_of_subsets) and len(utterances) < (facts.total or 0)
        detail = f"{len(utterances)} utterances, {facts.total} are published"
        yield Finding("counts", detail, not is_subset)
    speakers = len({utt.spk for utt in utterances})
    if facts.speakers is not None and speakers != facts.speakers:
        yield Finding("counts", f"{speakers} speakers, {facts.speakers} are published")


def _compare_counts(
    what: str, expected: Mapping[str, int], values: Sequence[str]
) -> Iterator[Finding]:
    if expected:
        counts = Counter(values)
        for value in sorted({*expected, *counts}):
            if counts[value] != expected.get(value, 0):
                detail = f"{counts[value]} utterances, {expected.get(value, 0)} are published"
                yield Finding("counts", f"{what} {value}: {detail}")


def _identities(utterances: Sequence[Utterance], module: ModuleType | None) -> Iterator[Finding]:
    """Emotions that the corpus does not have; sessions, speakers and sexes unlike the id's."""
    emotions = _emotions(module)
    allowed = {*emotions.values(), None}
    identity = getattr(module, "identity", lambda utt_id: None)
    for utt in utterances:
        if emotions and utt.emotion not in allowed:
            yield Finding("labels outside the map", f"{utt.utt_id}: {utt.emotion}")
        if of_id := identity(utt.utt_id):
            differences = []
            values = (utt.session, utt.spk, utt.gender)
            for what, value, expected in zip(("session", "speaker", "sex"), values, of_id):
                if value not in (None, expected):
                    differences.append(f"{what} {value}, its id has {expected}")
            if differences:
                detail = f"{utt.utt_id}: {'; '.join(differences)}"
                yield Finding("speaker or session", detail)


def _emotions(module: ModuleType | None) -> dict[str, str | None]:
    """The release's labels -> serdesc's."""
    emotions = getattr(module, "EMOTIONS", {})
    return dict(emotions) if isinstance(emotions, dict) else dict(zip(emotions, emotions))


# ---- a published list ----------------------------------------------------------------------------


def _compare_list(
    utterances: Sequence[Utterance],
    rejected: set[str],
    path: Path,
    module: ModuleType | None,
    record: Mapping[str, Any],
) -> Iterator[Finding]:
    emotions = _emotions(module)
    if "exc" in emotions:
        emotions["exc"] = record.get("settings", {}).get("excited", "happy")
    sessions = enumerate(sorted({utt.session or "" for utt in utterances}), start=1)
    numbers = {session: str(k) for k, session in sessions}
    by_id = {utt.utt_id: utt for utt in utterances}
    for row in _read_list(path):
        utt_id = row.get("utt_id") or row["key"]
        utt = by_id.get(utt_id)
        if utt:
            yield from _compare_row(utt, row, path.name, emotions, numbers)
        elif utt_id not in rejected:
            yield Finding("not in the data", f"{utt_id} is in {path.name}")


def _read_list(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        raise UserError(
            f"{path}: no such list. Name a TSV with the columns utt_id (or key) and seconds, or"
            " omit --list"
        )
    rows = list(release.rows(path, (), "\t"))
    columns = set(rows[0]) if rows else set()
    if not {"utt_id", "key"} & columns or "seconds" not in columns:
        raise UserError(
            f"{path}: a TSV with the columns utt_id (or key) and seconds is expected; found"
            f" {', '.join(rows[0]) if rows else 'nothing'}"
        )
    return rows


def _compare_row(
    utt: Utterance,
    row: Mapping[str, str],
    name: str,
    emotions: Mapping[str, str | None],
    numbers: Mapping[str, str],
) -> Iterator[Finding]:
    """Compare an utterance with its row of the list `name`; numbers: session -> fold."""
    seconds = release.number(row["seconds"])
    if seconds is None:
        detail = f"{utt.utt_id}: {name} has '{row['seconds']}', where seconds are expected"
        yield Finding("duration", detail)
    elif utt.seconds is not None and abs(utt.seconds - seconds) > LIST_SECONDS:
        detail = f"{utt.utt_id}: {utt.seconds:.2f} s, {name} has {seconds:.2f} s"
        yield Finding("duration", detail)
    for column in LABEL_COLUMNS:
        label = row.get(column)
        if label and utt.emotion != emotions.get(label, label):
            yield Finding("label", f"{utt.utt_id}: {utt.emotion}, {name} has {label}")
    for column in PART_COLUMNS:
        part = row.get(column)
        if part and utt.session:
            if ALIASES.get(part, part) not in (utt.session, numbers[utt.session]):
                detail = f"{utt.utt_id}: session {utt.session}, {name} has {part}"
                yield Finding("fold", detail)


# ---- audio ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Statistics:
    """Of one audio file; clipped and rms of the first channel."""

    digest: str
    channels: int
    channels_differ: bool
    clipped: float  # share of the samples
    rms: float


def _check_audio(
    utterances: Sequence[Utterance], facts: Published, duplicates: Sequence[Sequence[str]], nj: int
) -> Iterator[Finding]:
    """Findings of the utterances that are files of their own.

    Segments are not read, nor clips of a corpus with too much audio (prepared_only). duplicates:
    groups of ids for which the release itself has the same audio.
    """
    statistics = {} if facts.prepared_only else _all_statistics(utterances, nj)
    same = defaultdict(list)  # digest -> ids
    for utt in utterances:
        result = statistics.get(utt.wav)
        if isinstance(result, str):
            yield Finding("not readable", f"{utt.utt_id}: {result} ({utt.wav})")
        elif result:
            same[result.digest].append(utt.utt_id)
            yield from _check_statistics(utt, result)
        if utt.text and utt.seconds:
            if len(utt.text) > CHARACTERS_A_SECOND * (utt.seconds + SPARE_SECONDS):
                detail = f"{utt.utt_id}: {len(utt.text)} characters in {utt.seconds:.2f} s"
                is_error = not facts.loose_boundaries
                yield Finding("transcript longer than the audio allows", detail, is_error)
    sessions = {utt.utt_id: str(utt.session) for utt in utterances}
    for ids in same.values():
        if len(ids) > 1:
            if any(set(group).issuperset(ids) for group in duplicates):
                names = sorted({sessions[utt_id] for utt_id in ids})
                across = f" across {' and '.join(names)}" if len(names) > 1 else ""
                detail = f"{' = '.join(ids)}: the release has this stretch twice"
                yield Finding(f"known duplicate{across}", detail, False)
            else:
                yield Finding("duplicated audio", f"{' = '.join(ids)}: the same samples")


def _all_statistics(utterances: Sequence[Utterance], nj: int) -> dict[str, _Statistics | str]:
    """Path -> statistics, or the reason why it cannot be read."""
    paths = sorted({utt.wav for utt in utterances if not utt.span})
    statistics: dict[str, _Statistics | str] = {}
    with (
        progress("check audio", len(paths), "files") as advance,
        ProcessPoolExecutor(max(1, nj)) as pool,
    ):
        for path, result in zip(paths, pool.map(_statistics, paths, chunksize=32)):
            statistics[path] = result
            advance(1)
    return statistics


def _statistics(path: str) -> _Statistics | str:
    try:
        samples, _ = recording.read(path)  # (samples, channels)
    except audio.AudioError as error:
        return str(error)
    first = samples[:, 0]
    return _Statistics(
        digest=hashlib.blake2b(samples.tobytes(), digest_size=16).hexdigest(),
        channels=samples.shape[1],
        channels_differ=bool((samples != samples[:, :1]).any()),
        clipped=_clipped_share(first),
        rms=float(np.sqrt(np.mean(first**2))),
    )


def _clipped_share(wave: np.ndarray) -> float:
    """Share of the samples that are in runs at full scale."""
    clipped = np.flatnonzero((wave >= FULL_SCALE) | (wave <= -FULL_SCALE))
    if len(clipped) < CLIPPED_RUN:
        return 0.0
    runs = np.split(clipped, np.flatnonzero(np.diff(clipped) > 1) + 1)
    return sum(len(run) for run in runs if len(run) >= CLIPPED_RUN) / len(wave)


def _check_statistics(utt: Utterance, statistics: _Statistics) -> Iterator[Finding]:
    if statistics.channels > 1 and statistics.channels_differ:
        detail = f"{statistics.channels} different channels would be averaged: keep the one with"
        yield Finding("channels", f"{utt.utt_id}: {detail} the speaker ({utt.wav})")
    if statistics.clipped > CLIPPED_SHARE:
        detail = f"{100 * statistics.clipped:.1f} % of the samples are at full scale"
        yield Finding("clipped", f"{utt.utt_id}: {detail} ({utt.wav})")
    if statistics.rms < SILENT_RMS:
        detail = f"{20 * np.log10(statistics.rms + 1e-10):.0f} dB below full scale on average"
        yield Finding("silent", f"{utt.utt_id}: {detail} ({utt.wav})")


# ---- output --------------------------------------------------------------------------------------


def summary(findings: Iterable[Finding], shown: int = 20) -> list[str]:
    """Lines to print: errors, then notes; at most `shown` of a kind."""
    groups: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for finding in findings:
        groups[not finding.is_error, finding.kind].append(finding.detail)
    lines = []
    for (is_note, kind), details in sorted(groups.items(), key=lambda group: group[0][0]):
        lines.append(f"{'note' if is_note else 'error'}: {kind} ({len(details)})")
        lines += [f"  {detail}" for detail in details[:shown]]
        if len(details) > shown:
            lines.append(f"  ... and {len(details) - shown} more")
    return lines
