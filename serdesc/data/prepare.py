"""A data directory from a downloaded corpus; rejected.tsv lists unusable utterances and reasons."""

from __future__ import annotations

import importlib
import pkgutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Iterable, Iterator

from serdesc.config import PrepareConfig
from serdesc.data import audio, corpora, datadir, perturb
from serdesc.data.corpora import Rejected
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import write_json, write_lines
from serdesc.progress import progress

PREPARE_RECORD = "prepare.json"  # corpus of a data directory, and the settings that prepared it
LENGTHS = "reco2dur"  # Kaldi's name: recording, seconds by its header
CHUNK = 64  # headers that a thread reads at a time
CLIP_TOLERANCE = 0.5  # seconds that a clip may differ from its metadata: cuts are rounded
Convert = Callable[[Utterance, Path], Utterance]


def corpus_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(corpora.__path__))


def corpus_module(corpus: str) -> ModuleType:
    """The module of a corpus. Raises UserError if there is none."""
    if corpus not in corpus_names():
        raise UserError(f"corpus '{corpus}' is not known; known are {', '.join(corpus_names())}")
    return importlib.import_module(f"{corpora.__name__}.{corpus}")


def prepare(
    corpus: str, src: Path, data: Path, config: PrepareConfig, nj: int
) -> tuple[list[Utterance], list[Rejected]]:
    """Write the data directory. Returns its utterances, and the rejected ones."""
    module = corpus_module(corpus)
    src = src.expanduser().absolute()  # paths in wav.scp must not depend on the working directory
    config = replace(
        config,
        gigaspeech=_absolute(config.gigaspeech),
        recordings=_absolute(config.recordings),
        unpacked=_absolute(config.unpacked),
    )
    if hasattr(module, "make"):
        module.make(src, config, nj)
    if not src.is_dir():
        raise UserError(f"{src}: no such folder. Give the folder that holds the corpus {corpus}")
    rejected: list[Rejected] = []
    listed = list(_usable(_selected(module.utterances(src, config), config), rejected))
    if hasattr(module, "unpack"):
        module.unpack(listed, config, (data / "audio").absolute(), nj)
    checked = _check_audio(listed, config, module, data, nj)
    accepted = list(_usable(checked, rejected))
    datadir.write_rejected(data, ((r.utt_id, r.path, r.reason) for r in rejected))
    if not accepted:
        raise UserError(
            f"{src}: none of {len(rejected)} utterances can be used; the reasons are in"
            f" {data / datadir.REJECTED}"
        )
    write_json(data / PREPARE_RECORD, _record(corpus, module, src, config))
    copies: list[Utterance] = []
    if config.speeds:
        copies = perturb.copies(accepted, config.speeds, (data / "perturbed").absolute(), nj)
    return datadir.originals(datadir.write(data, accepted + copies)), rejected


def _record(corpus: str, module: ModuleType, src: Path, config: PrepareConfig) -> dict[str, Any]:
    duplicates = module.duplicates(src) if hasattr(module, "duplicates") else []
    return {"corpus": corpus, "settings": asdict(config), "duplicates": duplicates}


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path else ""


def _usable(
    stream: Iterable[Utterance | Rejected], rejected: list[Rejected]
) -> Iterator[Utterance]:
    """The utterances of the stream; rejections are appended to `rejected`."""
    for item in stream:
        if isinstance(item, Rejected):
            rejected.append(item)
        else:
            yield item


# ---- audio ---------------------------------------------------------------------------------------


def _check_audio(
    utterances: list[Utterance], config: PrepareConfig, module: ModuleType, data: Path, nj: int
) -> Iterator[Utterance | Rejected]:
    """The utterances with their lengths, or rejected if their audio is unusable.

    Of segments, and of clips of a corpus with too much audio to read, only the header of the file
    is read, once a file. The list of utterances is empty at the end.
    """
    headers_only = corpora.published(module).headers_only
    files: list[Utterance] = []
    if not headers_only:
        files = [utt for utt in utterances if not utt.span]
    headers = _header_files(utterances, headers_only)
    name, total = module.__name__.rpartition(".")[2], len(headers) + len(files)
    with (
        progress(f"prepare {name}", total, "files") as advance,
        ProcessPoolExecutor(max(1, nj)) as pool,
    ):
        lengths = _lengths(headers, data / LENGTHS, nj, advance) if headers else {}
        headers.clear()
        utterances.reverse()
        while utterances:  # each is freed at once: a large corpus is not in memory twice
            utt = utterances.pop()
            if utt.span or headers_only:
                yield _check_header(utt, lengths[utt.recording or utt.utt_id], config)
        convert, folder = getattr(module, "convert", None), (data / "audio").absolute()
        for result in pool.map(
            _check_file, files, repeat(config), repeat(convert), repeat(folder), chunksize=16
        ):
            yield result
            advance(1)


def _header_files(utterances: list[Utterance], headers_only: bool) -> dict[str, str]:
    """Recording, or clip, -> its file, of which the header is read."""
    headers: dict[str, str] = {}
    for utt in utterances:
        if utt.span or headers_only:
            headers[utt.recording or utt.utt_id] = utt.wav
    return headers


def _lengths(
    recordings: dict[str, str], path: Path, nj: int, advance: Callable[[int], None]
) -> dict[str, float | str]:
    """Seconds of each recording or clip by its header, or the reason why it is unusable.

    Lengths are stored in `path` at once, so that a stopped run resumes. Remove the file if
    recordings have changed. Threads are used, not processes: each process would copy the utterances
    of a large corpus, and opening files is waiting. A thread takes several files: a local file
    opens faster than threads change.
    """
    partial = path.with_name(f".{path.name}.partial")
    lengths: dict[str, float | str] = {}
    for file in (path, partial):
        lengths.update(_stored_lengths(file, recordings))
    missing = [name for name in recordings if name not in lengths]
    advance(len(lengths))
    # Written again without a last line that is incomplete
    write_lines(partial, (f"{name} {seconds!r}\n" for name, seconds in lengths.items()))
    with (
        partial.open("a", encoding="utf-8", buffering=1) as output,
        ThreadPoolExecutor(nj) as pool,
    ):
        chunks = [missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)]
        wavs = ([recordings[name] for name in chunk] for chunk in chunks)
        for chunk, found in zip(chunks, pool.map(_seconds_or_reasons, wavs)):
            for name, length in zip(chunk, found):
                lengths[name] = length
                if isinstance(length, float):
                    output.write(f"{name} {length!r}\n")
            advance(len(chunk))
    usable = sorted((name, value) for name, value in lengths.items() if isinstance(value, float))
    write_lines(path, (f"{name} {seconds!r}\n" for name, seconds in usable))
    partial.unlink()
    return lengths


def _stored_lengths(path: Path, recordings: dict[str, str]) -> dict[str, float]:
    """Lengths of an earlier run; its last line may be incomplete and is ignored then."""
    lengths = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            name, seconds = line.split(" ")
            if name in recordings:
                lengths[name] = float(seconds)
    return lengths


def _seconds_or_reasons(paths: list[str]) -> list[float | str]:
    lengths: list[float | str] = []
    for path in paths:
        try:
            lengths.append(audio.seconds(path))
        except audio.AudioError as error:
            lengths.append(str(error))
    return lengths


def _check_header(
    utt: Utterance, length: float | str, config: PrepareConfig
) -> Utterance | Rejected:
    """length: of the recording or clip, seconds, or the reason why it is unusable.

    A clip's length must be that of its metadata (`utt.seconds`), if there are any.
    """
    if isinstance(length, str):
        return Rejected(utt.utt_id, utt.wav, length)
    if not utt.span:
        if utt.seconds is not None and abs(length - utt.seconds) > CLIP_TOLERANCE:
            reason = f"clip of {length:.2f} s, its metadata have {utt.seconds:.2f} s"
            return Rejected(utt.utt_id, utt.wav, reason)
        return _check_length(utt, length, config)
    start, end = utt.span
    if end > length + audio.TOLERANCE:
        reason = f"segment ends at {end:.2f} s, its recording at {length:.2f} s"
        return Rejected(utt.utt_id, utt.wav, reason)
    return _check_length(utt, end - start, config)


def _check_file(
    utt: Utterance, config: PrepareConfig, convert: Convert | None, folder: Path
) -> Utterance | Rejected:
    try:
        if convert:
            utt = convert(utt, folder)
        return _check_length(utt, len(audio.load(utt.wav)) / audio.SAMPLE_RATE, config)
    except audio.AudioError as error:
        return Rejected(utt.utt_id, utt.wav, str(error))


def _check_length(utt: Utterance, seconds: float, config: PrepareConfig) -> Utterance | Rejected:
    if seconds < config.min_seconds:
        reason = f"too short: {seconds:.3f} s, at least {config.min_seconds:g} s are needed"
        return Rejected(utt.utt_id, utt.wav, reason)
    if seconds > config.max_seconds:
        limit = f"at most {config.max_seconds:g} s are used (prepare.max_seconds)"
        return Rejected(utt.utt_id, utt.wav, f"too long: {seconds:.1f} s, {limit}")
    return replace(
        utt,
        seconds=seconds,
        text=utt.text and normalise_text(utt.text),
        caption=utt.caption and " ".join(utt.caption.splitlines()).strip(),
    )


def normalise_text(text: str) -> str:
    """One line, single spaces; double quotes become single ones.

    In a caption double quotes enclose the transcript.
    """
    return " ".join(text.replace('"', "'").split())


# ---- speakers ------------------------------------------------------------------------------------


def _selected(
    items: Iterable[Utterance | Rejected], config: PrepareConfig
) -> Iterator[Utterance | Rejected]:
    """The utterances of included speakers, and all rejections."""
    included, excluded = _speakers(config.include_speakers), _speakers(config.exclude_speakers)
    for item in items:
        if isinstance(item, Utterance):
            if included is not None and item.spk not in included:
                continue
            if excluded is not None and item.spk in excluded:
                continue
        yield item


def _speakers(path: str) -> set[str] | None:
    if not path:
        return None
    if not Path(path).exists():
        raise UserError(f"{path}: no such file; it should have one speaker a line")
    return set(Path(path).read_text(encoding="utf-8").split())
