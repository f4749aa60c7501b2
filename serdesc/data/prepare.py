"""From a corpus as it was downloaded to a data directory; what cannot be used is listed in rejected.tsv with its reason."""

from __future__ import annotations

import importlib
import pkgutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import repeat
from pathlib import Path
from typing import Callable, Iterable, Iterator

from serdesc.config import PrepareConfig
from serdesc.data import audio, corpora, datadir, perturb
from serdesc.data.corpora import Rejected
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import write_json, write_lines
from serdesc.progress import progress

MADE = "prepare.json"  # which corpus a data directory holds, and how it was prepared
Convert = Callable[[Utterance, Path], Utterance]
LENGTHS = "reco2dur"  # Kaldi's name: recording, seconds by its header


def known() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(corpora.__path__))


def prepare(
    corpus: str, src: Path, data: Path, config: PrepareConfig, nj: int
) -> tuple[list[Utterance], list[Rejected]]:
    """Write the data directory. Returns its utterances and what was rejected."""
    if corpus not in known():
        raise UserError(f"corpus '{corpus}' is not known; known are {', '.join(known())}")
    module = importlib.import_module(f"{corpora.__name__}.{corpus}")
    src = src.expanduser().absolute()  # the data directory is read from other folders than this one
    config = replace(
        config, gigaspeech=_from_root(config.gigaspeech), recordings=_from_root(config.recordings)
    )
    if hasattr(module, "make"):
        module.make(src, config, nj)
    if not src.is_dir():
        raise UserError(f"{src}: no such folder. Give the folder that holds the corpus {corpus}")
    rejected: list[Rejected] = []
    found = _sift(_chosen(module.utterances(src, config), config), rejected)
    accepted = list(
        _sift(
            _heard(list(found), config, getattr(module, "convert", None), data, nj, corpus),
            rejected,
        )
    )
    datadir.write_rejected(data, ((r.utt_id, r.path, r.reason) for r in rejected))
    if not accepted:
        raise UserError(
            f"{src}: none of {len(rejected)} utterances can be used; {data / datadir.REJECTED} says why"
        )
    twins = module.duplicates(src) if hasattr(module, "duplicates") else []
    write_json(data / MADE, {"corpus": corpus, "settings": asdict(config), "duplicates": twins})
    more = (
        perturb.copies(accepted, config.speeds, (data / "perturbed").absolute(), nj)
        if config.speeds
        else []
    )
    return datadir.originals(datadir.write(data, accepted + more)), rejected


def _from_root(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path else ""


def _sift(stream: Iterable[Utterance | Rejected], rejected: list[Rejected]) -> Iterator[Utterance]:
    for item in stream:
        if isinstance(item, Rejected):
            rejected.append(item)
        else:
            yield item


def _heard(
    utterances: list[Utterance],
    config: PrepareConfig,
    convert: Convert | None,
    data: Path,
    nj: int,
    corpus: str,
) -> Iterator[Utterance | Rejected]:
    """The utterances with their lengths, where the audio can be used. Of segments only the recordings are opened, each once."""
    recordings = {utt.recording: utt.wav for utt in utterances if utt.recording}
    whole = [utt for utt in utterances if not utt.span]
    with progress(
        f"prepare {corpus}", len(recordings) + len(whole), "files"
    ) as advance, ProcessPoolExecutor(max(1, nj)) as pool:
        ends = _lengths(recordings, data / LENGTHS, nj, advance) if recordings else {}
        yield from (
            _segment(utt, ends[utt.recording or ""], config) for utt in utterances if utt.span
        )
        folder = (data / "audio").absolute()
        for result in pool.map(
            _whole, whole, repeat(config), repeat(convert), repeat(folder), chunksize=16
        ):
            yield result
            advance(1)


def _lengths(
    recordings: dict[str, str], path: Path, nj: int, advance: Callable[[int], None]
) -> dict[str, float | str]:
    """Seconds of each recording by its header, or why it cannot be used.

    Lengths are kept in `path` as they come, so a stopped run asks for none twice; remove the file when recordings have changed.
    Threads, not processes: these would hold a copy of a large corpus's utterances each, and opening files is waiting.
    """
    partial = path.with_name(f".{path.name}.partial")
    lines = [
        line.split(" ")
        for file in (path, partial)
        if file.exists()
        for line in file.read_text(encoding="utf-8").split("\n")[:-1]
    ]
    ends: dict[str, float | str] = {
        name: float(seconds) for name, seconds in lines if name in recordings
    }
    asked = [name for name in recordings if name not in ends]
    advance(len(ends))
    write_lines(
        partial, (f"{name} {end!r}\n" for name, end in ends.items())
    )  # without a line that was cut off
    with partial.open("a", encoding="utf-8", buffering=1) as kept, ThreadPoolExecutor(nj) as pool:
        for name, end in zip(asked, pool.map(_length, [recordings[name] for name in asked])):
            ends[name] = end
            if isinstance(end, float):
                kept.write(f"{name} {end!r}\n")
            advance(1)
    write_lines(
        path, (f"{name} {end!r}\n" for name, end in sorted(ends.items()) if isinstance(end, float))
    )
    partial.unlink()
    return ends


def _length(path: str) -> float | str:
    """Seconds of a recording by its header, or why it cannot be used."""
    try:
        return audio.seconds(path)
    except audio.AudioError as error:
        return str(error)


def _segment(utt: Utterance, end: float | str, config: PrepareConfig) -> Utterance | Rejected:
    assert utt.span is not None
    if isinstance(end, str):
        return Rejected(utt.utt_id, utt.wav, end)
    if utt.span[1] > end + audio.TOLERANCE:
        return Rejected(
            utt.utt_id,
            utt.wav,
            f"segment ends at {utt.span[1]:.2f} s, its recording at {end:.2f} s",
        )
    return _fitting(utt, utt.span[1] - utt.span[0], config)


def _whole(
    utt: Utterance, config: PrepareConfig, convert: Convert | None, folder: Path
) -> Utterance | Rejected:
    try:
        if convert:
            utt = convert(utt, folder)
        return _fitting(utt, len(audio.load(utt.wav)) / audio.SAMPLE_RATE, config)
    except audio.AudioError as error:
        return Rejected(utt.utt_id, utt.wav, str(error))


def _fitting(utt: Utterance, seconds: float, config: PrepareConfig) -> Utterance | Rejected:
    if seconds < config.min_seconds:
        return Rejected(
            utt.utt_id,
            utt.wav,
            f"too short: {seconds:.3f} s, at least {config.min_seconds:g} s are needed",
        )
    if seconds > config.max_seconds:
        return Rejected(
            utt.utt_id,
            utt.wav,
            f"too long: {seconds:.1f} s, at most {config.max_seconds:g} s are taken (prepare.max_seconds)",
        )
    return replace(
        utt,
        seconds=seconds,
        text=utt.text and clean(utt.text),
        caption=utt.caption and " ".join(utt.caption.splitlines()).strip(),
    )


def clean(text: str) -> str:
    """One line, single spaces; double quotes become single ones, for a caption's double quotes enclose the transcript."""
    return " ".join(text.replace('"', "'").split())


def _chosen(
    found: Iterable[Utterance | Rejected], config: PrepareConfig
) -> Iterator[Utterance | Rejected]:
    only, without = _speakers(config.include_speakers), _speakers(config.exclude_speakers)
    for item in found:
        if (
            isinstance(item, Rejected)
            or (only is None or item.spk in only)
            and item.spk not in (without or ())
        ):
            yield item


def _speakers(path: str) -> set[str] | None:
    if not path:
        return None
    if not Path(path).exists():
        raise UserError(f"{path}: no such file; it should hold one speaker a line")
    return set(Path(path).read_text(encoding="utf-8").split())
