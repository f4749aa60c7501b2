"""Folds: training, dev and test parts by whole speakers, sessions or recordings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from serdesc.config import Config, FoldsConfig, rename_keys
from serdesc.configfile import FORMER
from serdesc.data import datadir, rejections
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json

# EmoBox excludes longer clips: 2608 of MELD's 2610 test clips remain, and 1239 of the 1241 of
# IEMOCAP's fifth fold.
EMOBOX_SECONDS = 30.0


@dataclass(frozen=True)
class Fold:
    number: int
    train: list[Utterance]
    dev: list[Utterance]
    test: list[Utterance]

    def parts(self) -> dict[str, list[Utterance]]:
        """The parts that have utterances."""
        parts = {"train": self.train, "dev": self.dev, "test": self.test}
        return {name: part for name, part in parts.items() if part}


# ---- selection -----------------------------------------------------------------------------------


def with_labels(utterances: Sequence[Utterance], labels: Sequence[str]) -> list[Utterance]:
    """The utterances whose emotion is in `labels` (folds.labels; all if empty), copies included."""
    return [utt for utt in utterances if not labels or utt.emotion in labels]


def usable_utterances(
    data: Path, utterances: Sequence[Utterance], labels: Sequence[str]
) -> list[Utterance]:
    """The utterances that `extract` uses: with one of the labels, and not in rejected.tsv.

    Raises UserError if there are none.
    """
    rejected = {utt_id for utt_id, _, _ in rejections.read(data)}
    usable = [utt for utt in with_labels(utterances, labels) if utt.utt_id not in rejected]
    if not usable:
        raise UserError(
            f"{data}: no utterance has a label of folds.labels {list(labels)} and usable audio: see"
            " utt2emo and rejected.tsv there"
        )
    return usable


def copies_of(train: Sequence[Utterance], utterances: Sequence[Utterance]) -> list[Utterance]:
    """The speed-perturbed copies of a training part's utterances; other parts have no copies."""
    originals = {utt.utt_id for utt in train}
    return [utt for utt in utterances if utt.uniq in originals]


# ---- splitting -----------------------------------------------------------------------------------


def split(utterances: Sequence[Utterance], config: FoldsConfig, seed: int) -> list[Fold]:
    """The folds of a corpus, numbered from 1.

    No speaker of a test part is in the training part of its fold, except with folds.rule split.
    Raises UserError if the data do not fit the configuration.
    """
    _check_labels_present(utterances, config.labels)
    selected = datadir.originals(with_labels(utterances, config.labels))
    if config.protocol == "emobox":
        selected = [utt for utt in selected if (utt.seconds or 0.0) <= EMOBOX_SECONDS]
    if config.rule == "split":
        fold = _by_split(selected)
        return [replace(fold, train=fold.train + copies_of(fold.train, utterances))]
    folds = []
    for number, test_ids in enumerate(_test_ids(selected, config, seed), start=1):
        test = [utt for utt in selected if utt.utt_id in test_ids]
        rest = [utt for utt in selected if utt.utt_id not in test_ids]
        train, dev = _train_and_dev(rest, config, seed, number)
        fold = Fold(number, train + copies_of(train, utterances), dev, test)
        _check_speakers(fold)
        folds.append(fold)
    return folds


def _check_labels_present(utterances: Sequence[Utterance], labels: Sequence[str]) -> None:
    emotions = {utt.emotion for utt in utterances}
    absent = [label for label in labels if label not in emotions]
    if absent:
        present = ", ".join(sorted(emotion for emotion in emotions if emotion)) or "none"
        raise UserError(
            f"folds.labels: no utterance is {' or '.join(absent)}; the data has {present}. Prepare"
            " the data with this configuration, or correct folds.labels"
        )


def _by_split(utterances: list[Utterance]) -> Fold:
    """The corpus's own parts; a speaker may be in several of them."""
    parts: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    for utt in utterances:
        name = str(utt.session)
        if name not in parts:
            raise UserError(
                f"folds.rule is split, but utt2session has the part '{name}' for"
                f" '{utt.utt_id}': train, dev or test is expected"
            )
        parts[name].append(utt)
    return Fold(1, **parts)


def _test_ids(utterances: Sequence[Utterance], config: FoldsConfig, seed: int) -> list[set[str]]:
    """Ids of each fold's test part."""
    if config.rule == "none":
        return [set()]
    if config.rule == "test":
        return [{utt.utt_id for utt in utterances}]
    if config.rule == "recordings":
        return [_draw_recordings(utterances, config.test_utterances, seed)]
    if config.rule == "session":
        return _by_session(utterances)
    return _by_speaker(utterances, config.test_speakers)


def _by_session(utterances: Sequence[Utterance]) -> list[set[str]]:
    missing = [utt.utt_id for utt in utterances if utt.session is None]
    if missing:
        raise UserError(
            f"folds.rule is session, but '{missing[0]}' and {len(missing) - 1} more have no line in"
            " utt2session"
        )
    groups = []
    for session in sorted({str(utt.session) for utt in utterances}):
        groups.append({utt.utt_id for utt in utterances if utt.session == session})
    return groups


def _by_speaker(
    utterances: Sequence[Utterance], test_speakers: Sequence[Sequence[str]]
) -> list[set[str]]:
    listed = [speaker for group in test_speakers for speaker in group]
    if len(listed) != len(set(listed)) or not listed:
        raise UserError("folds.test_speakers: list each speaker once, in one group a fold")
    speakers = {utt.spk for utt in utterances}
    absent, unlisted = sorted(set(listed) - speakers), sorted(speakers - set(listed))
    if absent:
        print(
            f"folds.test_speakers: {len(absent)} listed speakers are not in the data and are"
            f" ignored: {' '.join(absent)}"
        )
    if unlisted:
        raise UserError(
            f"folds.test_speakers: speakers of the data that no fold tests: {' '.join(unlisted)}"
        )
    groups = []
    for group in test_speakers:
        test_ids = {utt.utt_id for utt in utterances if utt.spk in group}
        if test_ids:
            groups.append(test_ids)
    return groups


def _draw_recordings(utterances: Sequence[Utterance], minimum: int, seed: int) -> set[str]:
    """Ids of the utterances of whole recordings, drawn until there are at least `minimum`.

    Utterances without a line in segments are grouped by speaker: clips of GigaSpeech have their
    recording as speaker.
    """
    members: dict[str, list[str]] = {}
    for utt in utterances:
        members.setdefault(utt.recording or utt.spk, []).append(utt.utt_id)
    recordings = sorted(members)
    drawn: set[str] = set()
    for i in np.random.default_rng(seed).permutation(len(recordings)):
        if len(drawn) >= minimum:
            return drawn
        drawn.update(members[recordings[i]])
    raise UserError(
        f"folds.test_utterances is {minimum}, but the data has only {len(utterances)} utterances of"
        f" {len(recordings)} recordings, and some must remain for training: set a smaller number"
    )


def _train_and_dev(
    rest: list[Utterance], config: FoldsConfig, seed: int, fold: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Training part and dev part: a share of the speakers or of the utterances, drawn at random."""
    if config.dev == "none":
        return rest, []

    def group(utt: Utterance) -> str:
        return utt.spk if config.dev == "speakers" else utt.utt_id

    groups = sorted({group(utt) for utt in rest})
    count = max(1, round(config.dev_fraction * len(groups)))
    dev_groups = set(np.random.default_rng([seed, fold]).permutation(groups)[:count])
    train = [utt for utt in rest if group(utt) not in dev_groups]
    return train, [utt for utt in rest if group(utt) in dev_groups]


def _check_speakers(fold: Fold) -> None:
    shared = {u.spk for u in fold.train + fold.dev} & {u.spk for u in fold.test}
    if shared:
        raise UserError(
            f"fold {fold.number}: speakers {' '.join(sorted(shared))} are in training and in test:"
            " correct utt2spk or the fold rule"
        )


# ---- folds on disk -------------------------------------------------------------------------------


def check_labels(part: Path, config: Config) -> None:
    """Compare a part of a fold (data/X/fold1/train) with the configuration.

    Raises UserError if `serdesc prepare` or `serdesc annotate` made its labels with other settings;
    labelled.json beside the folds records them.
    """
    path = part.parent.parent / datadir.LABELS_RECORD
    if not path.exists():
        return
    record = read_json(path)
    rename_keys(record.get("settings", {}), str(path), "prepare")
    differences = []
    for key, value in _recorded_settings(record).items():
        section, name = key.split(".")
        configured = getattr(getattr(config, section), name, None)
        if value is not None and value != configured:
            differences.append(f"{key} {value}, the configuration has {configured}")
    if differences:
        raise UserError(
            f"{path}: the labels were made with {'; '.join(differences)}. Use the configuration"
            " that made them, or label again with this one: serdesc annotate DATA --out DIR"
            " --config FILE"
        )


def _recorded_settings(record: dict[str, Any]) -> dict[str, Any]:
    """Key and value of each setting in labelled.json that labels depend on."""
    prepared = record.get("settings", {})
    settings = {f"prepare.{key}": prepared.get(key) for key in (*datadir.PREPARE_KEYS, "speeds")}
    for section in ("folds", "measure"):
        recorded = record.get(section, {})
        if recorded:  # by an earlier version, perhaps, with fewer keys
            recorded = FORMER.get(section, {}) | recorded
        for key, value in recorded.items():
            settings[f"{section}.{key}"] = value
    return settings


def fold_of(data: Path) -> int:
    """The fold of a path such as data/X/fold3 or data/X/fold3/test; 1 if it names none."""
    folds = []
    for part in data.resolve().parts:
        if part.startswith("fold") and part[4:].isdigit():
            folds.append(int(part[4:]))
    return folds[-1] if folds else 1
