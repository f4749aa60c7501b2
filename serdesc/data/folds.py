"""Folds: which utterances train and which are tested, by whole speakers, sessions or recordings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Sequence

import numpy as np

from serdesc.config import Config, FoldsConfig, rename_keys
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json

EMOBOX_SECONDS = 30.0  # EmoBox leaves longer clips out: 2608 of MELD's 2610 test clips, 1239 of the 1241 of IEMOCAP's fifth fold


@dataclass(frozen=True)
class Fold:
    number: int
    train: list[Utterance]
    dev: list[Utterance]
    test: list[Utterance]

    def parts(self) -> dict[str, list[Utterance]]:
        """The parts that have utterances."""
        return {
            name: part
            for name, part in (("train", self.train), ("dev", self.dev), ("test", self.test))
            if part
        }


def split(utterances: Sequence[Utterance], config: FoldsConfig, seed: int) -> list[Fold]:
    """The folds of a corpus, numbered from 1; speakers of a test part never train in its fold."""
    found = {utt.emotion for utt in utterances}
    if absent := [label for label in config.labels if label not in found]:
        had = ", ".join(sorted(emotion for emotion in found if emotion)) or "none"
        raise UserError(
            f"folds.labels: no utterance is {' or '.join(absent)}; the data has {had}. Prepare it as the configuration says, or mend labels"
        )
    kept = datadir.originals(labelled(utterances, config.labels))
    if config.protocol == "emobox":
        kept = [utt for utt in kept if (utt.seconds or 0.0) <= EMOBOX_SECONDS]
    if config.rule == "split":
        whole = _by_split(kept)
        return [replace(whole, train=whole.train + copies_of(whole.train, utterances))]
    folds = []
    for number, tested in enumerate(_tested(kept, config, seed), start=1):
        test = [utt for utt in kept if utt.utt_id in tested]
        train, dev = _hold_out(
            [utt for utt in kept if utt.utt_id not in tested], config, seed, number
        )
        fold = Fold(number, train + copies_of(train, utterances), dev, test)
        _check(fold)
        folds.append(fold)
    return folds


def labelled(utterances: Sequence[Utterance], labels: Sequence[str]) -> list[Utterance]:
    """Those with one of the labels (folds.labels; all where there are none), copies at other speeds among them: no fold holds others."""
    return [utt for utt in utterances if not labels or utt.emotion in labels]


def usable_utterances(
    data: Path, utterances: Sequence[Utterance], labels: Sequence[str]
) -> list[Utterance]:
    """What `extract` takes of a data directory's utterances: those with one of the labels that are not known to be unusable."""
    bad = {utt_id for utt_id, _, _ in datadir.rejected(data)}
    kept = [utt for utt in labelled(utterances, labels) if utt.utt_id not in bad]
    if not kept:
        raise UserError(
            f"{data}: nothing in it is of folds.labels {list(labels)} and can be heard: see utt2emo and rejected.tsv there"
        )
    return kept


def copies_of(train: Sequence[Utterance], utterances: Sequence[Utterance]) -> list[Utterance]:
    """The copies at other speeds of a training part's utterances; no other part has any."""
    own = {utt.utt_id for utt in train}
    return [utt for utt in utterances if utt.uniq in own]


def _by_split(utterances: list[Utterance]) -> Fold:
    """The parts as the corpus names them; its speakers may be in several of them."""
    parts = {
        name: [utt for utt in utterances if utt.session == name]
        for name in ("train", "dev", "test")
    }
    others = [utt for utt in utterances if utt.session not in parts]
    if others:
        raise UserError(
            f"folds.rule is split, but utt2session gives '{others[0].utt_id}' the part '{others[0].session}': train, dev or test is expected"
        )
    return Fold(1, **parts)


def _tested(utterances: Sequence[Utterance], config: FoldsConfig, seed: int) -> list[set[str]]:
    """Ids of each fold's test part."""
    if config.rule == "none":
        return [set()]
    if config.rule == "test":
        return [{utt.utt_id for utt in utterances}]
    if config.rule == "recordings":
        return [_drawn(utterances, config.test_utterances, seed)]
    if config.rule == "session":
        missing = [utt.utt_id for utt in utterances if utt.session is None]
        if missing:
            raise UserError(
                f"folds.rule is session, but '{missing[0]}' and {len(missing) - 1} more have no line in utt2session"
            )
        return [
            {u.utt_id for u in utterances if u.session == session}
            for session in sorted({str(u.session) for u in utterances})
        ]
    known = {utt.spk for utt in utterances}
    listed = [speaker for group in config.test_speakers for speaker in group]
    if len(listed) != len(set(listed)) or not listed:
        raise UserError("folds.test_speakers: list each speaker once, in one group a fold")
    absent, unlisted = sorted(set(listed) - known), sorted(known - set(listed))
    if absent:
        print(
            f"folds.test_speakers: {len(absent)} listed speakers are not in the data and are left out: {' '.join(absent)}"
        )
    if unlisted:
        raise UserError(
            f"folds.test_speakers: speakers of the data that no fold tests: {' '.join(unlisted)}"
        )
    groups = [
        {u.utt_id for u in utterances if u.spk in set(group)} for group in config.test_speakers
    ]
    return [group for group in groups if group]


def _drawn(utterances: Sequence[Utterance], wanted: int, seed: int) -> set[str]:
    """Ids of the utterances of whole recordings, drawn until there are at least `wanted`."""
    members: dict[str, list[str]] = {}
    for utt in utterances:
        if utt.recording is None:
            raise UserError(
                f"folds.rule is recordings, but '{utt.utt_id}' has no line in segments, so its recording is not known"
            )
        members.setdefault(utt.recording, []).append(utt.utt_id)
    names = sorted(members)
    drawn: set[str] = set()
    for i in np.random.default_rng(seed).permutation(len(names)):
        if len(drawn) >= wanted:
            return drawn
        drawn.update(members[names[i]])
    raise UserError(
        f"folds.test_utterances is {wanted}, but only {len(utterances)} utterances of {len(names)} recordings are there: take fewer"
    )


def _hold_out(
    rest: list[Utterance], config: FoldsConfig, seed: int, fold: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Training part and dev part."""
    if config.dev == "none":
        return rest, []
    names = sorted({utt.spk if config.dev == "speakers" else utt.utt_id for utt in rest})
    chosen = set(
        np.random.default_rng([seed, fold]).permutation(names)[
            : max(1, round(config.dev_fraction * len(names)))
        ]
    )
    held = [(utt.spk if config.dev == "speakers" else utt.utt_id) in chosen for utt in rest]
    return [u for u, h in zip(rest, held) if not h], [u for u, h in zip(rest, held) if h]


def _check(fold: Fold) -> None:
    shared = {u.spk for u in fold.train + fold.dev} & {u.spk for u in fold.test}
    if shared:
        raise UserError(
            f"fold {fold.number}: speakers {' '.join(sorted(shared))} are in training and in test: mend utt2spk or the fold rule"
        )


def check_labels(part: Path, config: Config) -> None:
    """Compare a fold's part (data/X/fold1/train) with the configuration.

    Raises UserError if `serdesc prepare` or `serdesc annotate` made its labels with other settings;
    labelled.json beside the folds records them.
    """
    record = part.parent.parent / datadir.LABELLED
    if not record.exists():
        return
    made = read_json(record)
    rename_keys(made.get("settings", {}), str(record), "prepare")
    recorded = {
        **{
            f"prepare.{key}": made.get("settings", {}).get(key)
            for key in (*datadir.CHOICES, "speeds")
        },
        **{f"folds.{key}": value for key, value in made.get("folds", {}).items()},
        **{f"measure.{key}": value for key, value in made.get("measure", {}).items()},
    }
    differ = []
    for key, value in recorded.items():
        section, name = key.split(".")
        configured = getattr(getattr(config, section), name, None)
        if value is not None and value != configured:
            differ.append(f"{key} {value}, the configuration has {configured}")
    if differ:
        raise UserError(
            f"{record}: the labels were made with {'; '.join(differ)}. Use the configuration that made them, or label again "
            f"with this one: serdesc annotate DATA --out DIR --config FILE"
        )


def fold_of(data: Path) -> int:
    """The fold that a folder such as data/X/fold3 or data/X/fold3/test belongs to; 1 where the path names none."""
    names = [
        part for part in data.resolve().parts if part.startswith("fold") and part[4:].isdigit()
    ]
    return int(names[-1][4:]) if names else 1
