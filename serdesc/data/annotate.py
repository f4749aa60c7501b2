"""From a corpus's data directory to its folds: measures, thresholds of each training part, labels and reference captions.

data/X/utt2measure.jsonl
OUT/fold<k>/thresholds.json           not with measure.source corpus. OUT: data/X itself, or a folder for one of several label sets
OUT/fold<k>/{train,dev,test}/         data directories of their own, with utt2sed.jsonl and utt2cap
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from serdesc import tasks
from serdesc.config import Config, EncoderConfig, MeasureConfig
from serdesc.data import audio, datadir, descriptors, folds
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, write_json, write_text
from serdesc.progress import progress


def annotate(data: Path, config: Config, nj: int, out: Path | None = None) -> list[folds.Fold]:
    """Measure what is not measured yet in `data`, then label every fold in `out` (`data` by default). Returns the folds.

    With measure.source corpus nothing is measured: labels and captions are those that the corpus brought.
    """
    own = config.measure.source == "corpus"
    utterances = datadir.read(data) if own else _measured(data, config.measure, nj)
    _list_unusual(utterances, config.encoder, out or data)
    labelled = []
    for fold in folds.split(utterances, config.folds, config.seed):
        thresholds = descriptors.NONE if own else descriptors.fit(datadir.originals(fold.train))
        if not own:
            write_json((out or data) / f"fold{fold.number}" / "thresholds.json", thresholds.to_dict())
        parts = {}
        for name, part in fold.parts().items():
            parts[name] = [brought(utt, config.prepare.text) if own else label(utt, thresholds) for utt in part]
            datadir.write((out or data) / f"fold{fold.number}" / name, parts[name])
        labelled.append(folds.Fold(fold.number, parts.get("train", []), parts.get("dev", []), parts.get("test", [])))
    return labelled


def label(utt: Utterance, thresholds: descriptors.Thresholds) -> Utterance:
    fields = descriptors.labels(utt, thresholds)
    return replace(utt, labels=fields, caption=tasks.render(fields, utt.utt_id))


def _list_unusual(utterances: list[Utterance], config: EncoderConfig, out: Path) -> None:
    """adjusted.tsv: what is heard otherwise than it was recorded. Nothing is dropped for it."""
    lines = []
    for utt in utterances:
        if (seconds := utt.seconds or 0.0) > config.max_seconds:
            lines.append(f"{utt.utt_id}\t{seconds:.3f}\tthe first {config.max_seconds:g} s are heard\n")
        elif 0 < seconds < config.min_seconds:
            lines.append(f"{utt.utt_id}\t{seconds:.3f}\tfollowed by silence up to {config.min_seconds:g} s\n")
    if lines:
        write_text(out / "adjusted.tsv", "utt_id\tseconds\twhat\n" + "".join(lines))
        print(f"{out}: {len(lines)} utterances are longer or shorter than what is heard of them; they stay, and adjusted.tsv lists them")


def brought(utt: Utterance, text: str) -> Utterance:
    """With the corpus's own labels and caption; what it did not bring is made of its metadata. `text` is prepare.text."""
    known = utt.labels or descriptors.labels(utt, descriptors.NONE)
    fields = replace(known, transcript=None if text == "description" else utt.text)
    return replace(utt, labels=fields, caption=utt.caption or tasks.render(fields, utt.utt_id))


def _measured(data: Path, config: MeasureConfig, nj: int) -> list[Utterance]:
    """The utterances with their measures; measures taken before under the same settings are kept."""
    utterances = datadir.read(data)
    used = asdict(config)
    settings = data / "measure.json"
    known = settings.exists() and read_json(settings) == used
    todo = [utt for utt in utterances if not (known and utt.measure)]
    if todo:
        descriptors.compile_librosa(config)
        with progress("measure", len(todo), "utterances") as advance, ProcessPoolExecutor(max(1, nj)) as pool:
            taken = {}
            for utt, result in zip(todo, pool.map(_measure, todo, [config] * len(todo), chunksize=16)):
                if isinstance(result, str):
                    raise UserError(f"{utt.wav} ({utt.utt_id}): {result}. Run `serdesc prepare` again: it sets unusable audio aside.")
                taken[utt.utt_id] = result
                advance(1)
        utterances = [replace(utt, measure=taken.get(utt.utt_id, utt.measure)) for utt in utterances]
        datadir.write(data, utterances)
        write_json(settings, used)
    return utterances


def _measure(utt: Utterance, config: MeasureConfig) -> dict[str, float] | str:
    try:
        return descriptors.measure(audio.load(utt.wav, span=utt.span), utt.text, config)
    except audio.AudioError as error:
        return str(error)
