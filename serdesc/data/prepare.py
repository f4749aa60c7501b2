"""A data directory from a downloaded corpus; rejected.tsv lists unusable utterances and reasons."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Iterable, Iterator

from serdesc.config import PrepareConfig
from serdesc.data import corpora, datadir, perturb, rejections, words
from serdesc.data.corpora import Rejected
from serdesc.data.datadir import Utterance
from serdesc.data.decoded import decode_all
from serdesc.errors import UserError
from serdesc.files import write_json, write_lines

PREPARE_RECORD = "prepare.json"  # corpus of a data directory, and the settings that prepared it
CLIP_TOLERANCE = 0.5  # seconds that a clip may differ from its metadata: cuts are rounded


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
    if not src.is_dir() and not (src.is_file() and hasattr(module, "OF_FILE")):
        raise UserError(f"{src}: no such folder. Give the folder that holds the corpus {corpus}")
    rejected: list[Rejected] = []
    listed = list(_usable(_selected(module.utterances(src, config), config), rejected))
    if hasattr(module, "unpack"):
        module.unpack(listed, config, (data / "audio").absolute(), nj)
    checked = _check_audio(listed, config, module, data, nj)
    accepted = list(_usable(checked, rejected))
    rejections.write(data, ((r.utt_id, r.path, r.reason) for r in rejected))
    if not accepted:
        raise UserError(
            f"{src}: none of {len(rejected)} utterances can be used; the reasons are in"
            f" {data / rejections.NAME}"
        )
    write_json(data / PREPARE_RECORD, _record(corpus, module, src, config))
    times = list(module.word_times(src)) if hasattr(module, "word_times") else []
    if times:
        write_lines(data / words.NAME, times)
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

    The list of utterances is empty at the end: a large corpus is not in memory twice.
    """
    convert, name = getattr(module, "convert", None), module.__name__.rpartition(".")[2]
    found = list(decode_all(utterances, data, nj, convert, name))
    utterances.reverse()
    for result in found:
        utt = utterances.pop()
        if result.reason:
            yield Rejected(utt.utt_id, utt.wav, result.reason)
        else:
            yield _check_metadata(replace(utt, wav=result.wav), result.seconds, config)


def _check_metadata(utt: Utterance, seconds: float, config: PrepareConfig) -> Utterance | Rejected:
    """A clip's length must be that of its metadata (`utt.seconds`), if there are any.

    A segment has the length between its times.
    """
    if utt.span:
        seconds = utt.span[1] - utt.span[0]
    elif utt.seconds is not None and abs(seconds - utt.seconds) > CLIP_TOLERANCE:
        reason = f"clip of {seconds:.2f} s, its metadata have {utt.seconds:.2f} s"
        return Rejected(utt.utt_id, utt.wav, reason)
    return _check_length(utt, seconds, config)


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
