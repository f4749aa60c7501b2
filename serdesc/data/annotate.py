"""From a corpus's data directory to its folds: measures, thresholds of each training part, labels and reference captions.

data/X/utt2measure.jsonl, rejected.tsv
OUT/labelled.json                     what the folds were made by
OUT/fold<k>/thresholds.json           not with measure.source corpus. OUT: data/X itself, or a folder for one of several label sets
OUT/fold<k>/{train,dev,test}/         data directories of their own, with utt2sed.jsonl and utt2cap
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from serdesc.captions import writer
from serdesc.config import Config, EncoderConfig, MeasureConfig
from serdesc.data import audio, datadir, descriptors, folds, prepare
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, write_json, write_text
from serdesc.progress import progress

PARTS = ("train", "dev", "test")
BLOCK = 200  # utterances that are measured between two savings


def annotate(data: Path, config: Config, nj: int, out: Path | None = None) -> list[folds.Fold]:
    """Measure what is not measured yet in `data`, then label every fold in `out` (`data` by default). Returns the folds.

    With measure.source corpus nothing is measured: labels and captions are those that the corpus brought.
    """
    own = config.measure.source == "corpus"
    made = _prepared(data, config)
    utterances = datadir.timed(datadir.read(data) if own else _measured(data, config.measure, nj))
    _list_unusual(utterances, config.encoder, out or data)
    split = folds.split(utterances, config.folds, config.seed)
    _remove_stale(out or data, split)
    write_json(
        (out or data) / datadir.LABELLED,
        {
            **made,
            "folds": asdict(config.folds),
            "measure": asdict(config.measure),
            "seed": config.seed,
        },
    )
    done = []
    for fold in split:
        thresholds, fold = labelled(fold, config)
        if not own:
            write_json(
                (out or data) / f"fold{fold.number}" / "thresholds.json", thresholds.to_dict()
            )
        for name, part in fold.parts().items():
            datadir.write((out or data) / f"fold{fold.number}" / name, part)
        done.append(fold)
    return done


def labelled(fold: folds.Fold, config: Config) -> tuple[descriptors.Thresholds, folds.Fold]:
    """A fold with labels and captions, by the thresholds of its training part or as the corpus brought them."""
    own = config.measure.source == "corpus"
    thresholds = descriptors.NONE if own else descriptors.fit(datadir.originals(fold.train))
    parts = {
        name: [
            with_corpus_labels(utt, config.prepare.text) if own else label(utt, thresholds)
            for utt in part
        ]
        for name, part in fold.parts().items()
    }
    return thresholds, folds.Fold(
        fold.number, parts.get("train", []), parts.get("dev", []), parts.get("test", [])
    )


def _prepared(data: Path, config: Config) -> dict[str, Any]:
    """Corpus and settings of `serdesc prepare`, where it made the data. Raises UserError where the configuration would have prepared otherwise."""
    made: dict[str, Any] = read_json(data / prepare.MADE) if (data / prepare.MADE).exists() else {}
    wanted = asdict(config.prepare)
    differ = {
        key: value
        for key in (*datadir.CHOICES, "speeds")
        if (value := made.get("settings", {}).get(key, wanted[key])) != wanted[key]
    }
    if differ:
        told = "; ".join(
            f"prepare.{key} {value}, the configuration says {wanted[key]}"
            for key, value in differ.items()
        )
        raise UserError(
            f"{data} was prepared with {told}. Prepare it again with this configuration, in a folder of its own if both are needed"
        )
    return made


def _remove_stale(out: Path, split: list[folds.Fold]) -> None:
    """Take away what an earlier run made and this one will not: parts, folds, thresholds. Other people's files stay."""
    parts = {fold.number: fold.parts() for fold in split}
    for folder in out.glob("fold*"):
        if folder.name[4:].isdigit():
            (folder / "thresholds.json").unlink(missing_ok=True)
            for name in PARTS:
                if name not in parts.get(int(folder.name[4:]), {}):
                    datadir.remove(folder / name)
            if not any(folder.iterdir()):
                folder.rmdir()


def label(utt: Utterance, thresholds: descriptors.Thresholds) -> Utterance:
    fields = descriptors.labels(utt, thresholds)
    return replace(utt, labels=fields, caption=writer.render(fields, utt.utt_id))


def _list_unusual(utterances: list[Utterance], config: EncoderConfig, out: Path) -> None:
    """adjusted.tsv: what is heard otherwise than it was recorded. Nothing is dropped for it."""
    lines = []
    for utt in utterances:
        if (seconds := utt.seconds or 0.0) > config.max_seconds:
            lines.append(
                f"{utt.utt_id}\t{seconds:.3f}\tthe first {config.max_seconds:g} s are heard\n"
            )
        elif 0 < seconds < config.min_seconds:
            lines.append(
                f"{utt.utt_id}\t{seconds:.3f}\tfollowed by silence up to {config.min_seconds:g} s\n"
            )
    (out / "adjusted.tsv").unlink(missing_ok=True)
    if lines:
        write_text(out / "adjusted.tsv", "utt_id\tseconds\twhat\n" + "".join(lines))
        print(
            f"{out}: {len(lines)} utterances are longer or shorter than what is heard of them; they stay, and adjusted.tsv lists them"
        )


def with_corpus_labels(utt: Utterance, text: str) -> Utterance:
    """With the corpus's own labels and caption; what it did not bring is made of its metadata. `text` is prepare.text."""
    known = utt.labels or descriptors.labels(utt, descriptors.NONE)
    fields = replace(known, transcript=None if text == "description" else utt.text)
    return replace(utt, labels=fields, caption=utt.caption or writer.render(fields, utt.utt_id))


def _measured(data: Path, config: MeasureConfig, nj: int) -> list[Utterance]:
    """The utterances with their measures, without those that cannot be heard: rejected.tsv lists them, and they are tried again next time.

    Measures taken before under the same settings are kept, and so are those of a run that was stopped, but for its last block.
    """
    utterances = datadir.read(data)
    settings = data / "measure.json"
    if not (settings.exists() and read_json(settings) == asdict(config)):
        utterances = [replace(utt, measure=None) for utt in utterances]
        (data / datadir.MEASURES).unlink(missing_ok=True)
        write_json(settings, asdict(config))
    taken = {utt.utt_id: utt.measure for utt in utterances if utt.measure is not None}
    todo = [utt for utt in utterances if not utt.measure]
    bad: dict[str, str] = {}
    if todo:
        descriptors.compile_librosa(config)
        with progress("measure", len(todo), "utterances") as advance, ProcessPoolExecutor(
            max(1, nj)
        ) as pool:
            for block in (todo[i : i + BLOCK] for i in range(0, len(todo), BLOCK)):
                for utt, result in zip(
                    block, pool.map(_measure, block, [config] * len(block), chunksize=16)
                ):
                    if isinstance(result, str):
                        bad[utt.utt_id] = result
                    else:
                        taken[utt.utt_id] = result
                    advance(1)
                datadir.write_rows(data / datadir.MEASURES, sorted(taken.items()))
    _list_unusable(data, utterances, bad)
    return [replace(utt, measure=taken[utt.utt_id]) for utt in utterances if utt.utt_id in taken]


def _list_unusable(data: Path, utterances: list[Utterance], bad: dict[str, str]) -> None:
    """rejected.tsv: what `serdesc prepare` left out, and of the data itself what cannot be heard now, by id and reason."""
    ids = {utt.utt_id for utt in utterances}
    before = datadir.rejected(data)
    listed = [row for row in before if row[0] not in ids] + [
        (u.utt_id, u.wav, bad[u.utt_id]) for u in utterances if u.utt_id in bad
    ]
    if sorted(listed) != before:
        datadir.write_rejected(data, listed)
    if len(bad) == len(utterances):
        raise UserError(
            f"{data}: none of {len(bad)} utterances can be used; {data / datadir.REJECTED} says why"
        )
    if bad:
        print(
            f"{data}: {len(bad)} of {len(utterances)} utterances cannot be used and are in no fold; {datadir.REJECTED} says why"
        )


def _measure(utt: Utterance, config: MeasureConfig) -> dict[str, float] | str:
    try:
        return descriptors.measure(audio.load(utt.wav, span=utt.span), utt.text, config)
    except audio.AudioError as error:
        return str(error)
