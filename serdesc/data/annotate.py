"""Folds from a corpus's data directory: measurements, thresholds, labels and reference captions.

data/X/utt2measure.jsonl, utt2curves.jsonl (report.curves), rejected.tsv
OUT/labelled.json                the settings that made the folds
OUT/fold<k>/thresholds.json      of the training part; not with measure.source corpus
OUT/fold<k>/{train,dev,test}/    data directories with utt2sed.jsonl and utt2cap

OUT is data/X, or a folder for one of several label sets.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from serdesc.captions import writer
from serdesc.config import Config, EncoderConfig, MeasureConfig
from serdesc.data import audio, curves, datadir, descriptors, folds, prepare, rejections
from serdesc.data.datadir import Utterance
from serdesc.data.descriptors import Measured, Thresholds
from serdesc.errors import UserError
from serdesc.files import read_json, write_json, write_text
from serdesc.progress import progress

PARTS = ("train", "dev", "test")
ADJUSTED = "adjusted.tsv"  # utterances that the encoder receives cropped or padded
BLOCK = 200  # utterances; measurements are saved after each block


def annotate(data: Path, config: Config, nj: int, out: Path | None = None) -> list[folds.Fold]:
    """Measure the utterances of `data` that have no measurements, then label every fold in `out`.

    out: `data` by default. With measure.source corpus nothing is measured: labels and captions are
    the corpus's. Returns the folds.
    """
    out = out or data
    record = _prepare_record(data, config)
    from_corpus = config.measure.source == "corpus"
    read = datadir.read(data) if from_corpus else _measured(data, config, nj)
    utterances = datadir.with_seconds(read)
    _write_adjusted(utterances, config.encoder, out)
    if not from_corpus:
        print_without_pitch(data, datadir.originals(utterances), config.measure)
    split = folds.split(utterances, config.folds, config.seed)
    _remove_stale(out, split)
    settings = {
        "folds": asdict(config.folds),
        "measure": asdict(config.measure),
        "seed": config.seed,
    }
    write_json(out / datadir.LABELS_RECORD, {**record, **settings})
    labelled = []
    for unlabelled in split:
        thresholds, fold = label_fold(unlabelled, config)
        folder = out / f"fold{fold.number}"
        if not from_corpus:
            write_json(folder / "thresholds.json", thresholds.to_dict())
        for name, part in fold.parts().items():
            datadir.write(folder / name, part)
        labelled.append(fold)
    return labelled


def label_fold(fold: folds.Fold, config: Config) -> tuple[Thresholds, folds.Fold]:
    """A fold with labels and captions: the corpus's, or by the thresholds of its training part."""
    from_corpus = config.measure.source == "corpus"
    thresholds = descriptors.NO_THRESHOLDS
    if not from_corpus:
        thresholds = descriptors.fit(datadir.originals(fold.train))
    parts: dict[str, list[Utterance]] = {name: [] for name in PARTS}
    for name, part in fold.parts().items():
        for utt in part:
            if from_corpus:
                parts[name].append(with_corpus_labels(utt, config.prepare.text))
            else:
                parts[name].append(label(utt, thresholds))
    return thresholds, folds.Fold(fold.number, **parts)


def label(utt: Utterance, thresholds: Thresholds) -> Utterance:
    """The utterance with labels by the thresholds, and a caption that states them."""
    fields = descriptors.labels(utt, thresholds)
    return replace(utt, labels=fields, caption=writer.render(fields, utt.utt_id))


def with_corpus_labels(utt: Utterance, text: str) -> Utterance:
    """The utterance with the corpus's labels and caption; from its metadata if it has none.

    text: prepare.text; descriptions contain no transcript.
    """
    fields = utt.labels or descriptors.labels(utt, descriptors.NO_THRESHOLDS)
    fields = replace(fields, transcript=None if text == "description" else utt.text)
    return replace(utt, labels=fields, caption=utt.caption or writer.render(fields, utt.utt_id))


def print_without_pitch(data: Path, utterances: list[Utterance], config: MeasureConfig) -> None:
    """Print how many utterances have no pitch label, and how many an unknown sex."""
    unvoiced = sum("pitch" not in (utt.measure or {}) for utt in utterances)
    if unvoiced:
        why = f"less than {config.voiced_seconds:g} s are voiced"
        if config.pitch == "piptrack":
            why = "they have no spectral peak"
        share = 100 * unvoiced / len(utterances)
        print(f"{data}: {unvoiced} utterances ({share:.1f} %) get no pitch label: {why}")
    unknown = sum(utt.gender is None for utt in utterances)
    if unknown:
        print(
            f"{data}: {unknown} utterances of unknown sex: their pitch is compared with that of all"
            " speakers"
        )


def _prepare_record(data: Path, config: Config) -> dict[str, Any]:
    """Corpus and settings of `serdesc prepare`; empty if it did not make the data.

    Raises UserError if the configuration has other settings.
    """
    path = data / prepare.PREPARE_RECORD
    record: dict[str, Any] = read_json(path) if path.exists() else {}
    configured = asdict(config.prepare)
    recorded = record.get("settings", {})
    differences = []
    for key in (*datadir.PREPARE_KEYS, "speeds"):
        value = recorded.get(key, configured[key])
        if value != configured[key]:
            differences.append(f"prepare.{key} {value}, the configuration has {configured[key]}")
    if differences:
        raise UserError(
            f"{data} was prepared with {'; '.join(differences)}. Prepare it again with this"
            " configuration, in a separate folder if both are needed"
        )
    return record


def _remove_stale(out: Path, split: list[folds.Fold]) -> None:
    """Remove what an earlier run wrote and this run will not: parts, folds, thresholds.

    Other files stay.
    """
    parts = {fold.number: fold.parts() for fold in split}
    for folder in out.glob("fold*"):
        if folder.name[4:].isdigit():
            (folder / "thresholds.json").unlink(missing_ok=True)
            for name in PARTS:
                if name not in parts.get(int(folder.name[4:]), {}):
                    datadir.remove(folder / name)
            if not any(folder.iterdir()):
                folder.rmdir()


def _write_adjusted(utterances: list[Utterance], config: EncoderConfig, out: Path) -> None:
    """List the utterances that are longer or shorter than the audio the encoder receives."""
    lines = []
    for utt in utterances:
        seconds = utt.seconds or 0.0
        if seconds > config.max_seconds:
            change = f"the first {config.max_seconds:g} s are used"
        elif 0 < seconds < config.min_seconds:
            change = f"followed by silence up to {config.min_seconds:g} s"
        else:
            continue
        lines.append(f"{utt.utt_id}\t{seconds:.3f}\t{change}\n")
    (out / ADJUSTED).unlink(missing_ok=True)
    if lines:
        write_text(out / ADJUSTED, "utt_id\tseconds\twhat\n" + "".join(lines))
        print(
            f"{out}: the encoder crops or pads {len(lines)} utterances; they are used, and"
            f" {ADJUSTED} lists them"
        )


# ---- measurements --------------------------------------------------------------------------------


def _measured(data: Path, config: Config, nj: int) -> list[Utterance]:
    """The utterances with their measurements, without those whose audio is unusable.

    rejected.tsv lists the latter; the next run tries them again. Stored measurements of the same
    settings are used, also those of a stopped run, except its last block.
    """
    utterances = datadir.read(data)
    settings = data / "measure.json"
    measure = asdict(config.measure)
    if not (settings.exists() and read_json(settings) == measure):
        utterances = [replace(utt, measure=None) for utt in utterances]
        (data / datadir.MEASUREMENTS).unlink(missing_ok=True)
        write_json(settings, measure)
    stored = {utt.utt_id: utt.measure for utt in utterances if utt.measure is not None}
    missing = [utt for utt in utterances if not utt.measure]
    reasons: dict[str, str] = {}
    if missing:
        descriptors.compile_librosa(config.measure)
        _measure_all(data, missing, config, nj, stored, reasons)
    _write_rejected(data, utterances, reasons)
    return [replace(utt, measure=stored[utt.utt_id]) for utt in utterances if utt.utt_id in stored]


def _measure_all(
    data: Path,
    utterances: list[Utterance],
    config: Config,
    nj: int,
    stored: dict[str, Measured],
    reasons: dict[str, str],
) -> None:
    """Add each utterance to `stored` or, if its audio is unusable, to `reasons`."""
    with (
        progress("measure", len(utterances), "utterances") as advance,
        ProcessPoolExecutor(max(1, nj)) as pool,
    ):
        for start in range(0, len(utterances), BLOCK):
            block = utterances[start : start + BLOCK]
            results = pool.map(_measure, block, [config] * len(block), chunksize=16)
            drawn = []
            for utt, result in zip(block, results):
                if isinstance(result, str):
                    reasons[utt.utt_id] = result
                else:
                    stored[utt.utt_id], drawn_curves = result
                    drawn += [(utt, drawn_curves)] if drawn_curves else []
                advance(1)
            curves.append(data, drawn)
            datadir.write_rows(data / datadir.MEASUREMENTS, sorted(stored.items()))


def _measure(utt: Utterance, config: Config) -> tuple[Measured, curves.Curves] | str:
    """Measurements and, with report.curves and of an original, curves; or why the audio is
    unusable.
    """
    try:
        wave = utt.load_audio()
    except audio.AudioError as error:
        return str(error)
    measured = descriptors.measure(wave, utt.text, config.measure)
    drawn = config.report.curves and utt.uniq is None
    return measured, curves.of_wave(wave) if drawn else {}


def _write_rejected(data: Path, utterances: list[Utterance], reasons: dict[str, str]) -> None:
    """rejected.tsv: the rows of `serdesc prepare`, and the utterances that are unusable now."""
    ids = {utt.utt_id for utt in utterances}
    previous = rejections.read(data)
    rows = [row for row in previous if row[0] not in ids]
    rows += [(u.utt_id, u.wav, reasons[u.utt_id]) for u in utterances if u.utt_id in reasons]
    if sorted(rows) != previous:
        rejections.write(data, rows)
    if len(reasons) == len(utterances):
        raise UserError(
            f"{data}: none of {len(reasons)} utterances can be used; the reasons are in"
            f" {data / rejections.NAME}"
        )
    if reasons:
        print(
            f"{data}: {len(reasons)} of {len(utterances)} utterances cannot be used and are in no"
            f" fold; the reasons are in {rejections.NAME}"
        )
