"""From a corpus as it was downloaded to a data directory; what cannot be used is listed in rejected.tsv with its reason."""

from __future__ import annotations

import importlib
import pkgutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Iterable

from serdesc.config import PrepareConfig
from serdesc.data import audio, corpora, datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import write_text
from serdesc.progress import progress


def known() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(corpora.__path__))


def prepare(corpus: str, src: Path, data: Path, config: PrepareConfig, nj: int) -> tuple[list[Utterance], list[tuple[str, str, str]]]:
    """Write the data directory. Returns its utterances and the rejected ones as (utt_id, path, reason)."""
    if corpus not in known():
        raise UserError(f"corpus '{corpus}' is not known; known are {', '.join(known())}")
    module = importlib.import_module(f"{corpora.__name__}.{corpus}")
    if hasattr(module, "make"):  # a corpus that is made rather than downloaded
        module.make(src, config.fingerprint, nj)
    if not src.is_dir():
        raise UserError(f"{src}: no such folder. Give the folder that holds the corpus {corpus}")
    utterances = list(_chosen(module.utterances(src), config))
    accepted, rejected = [], []
    with progress(f"prepare {corpus}", len(utterances), "utterances") as advance, ProcessPoolExecutor(max(1, nj)) as pool:
        for utt, result in zip(utterances, pool.map(_check, utterances, [config] * len(utterances), chunksize=16)):
            if isinstance(result, str):
                rejected.append((utt.utt_id, utt.wav, result))
            else:
                accepted.append(replace(utt, seconds=result, text=utt.text and clean(utt.text)))
            advance(1)
    lines = [("utt_id", "path", "reason"), *sorted(rejected)]
    write_text(data / "rejected.tsv", "".join("\t".join(line) + "\n" for line in lines))
    if not accepted:
        raise UserError(f"{src}: none of {len(utterances)} utterances can be used; {data / 'rejected.tsv'} says why")
    return datadir.write(data, accepted), rejected


def clean(text: str) -> str:
    """One line, single spaces; double quotes become single ones, for a caption's double quotes enclose the transcript."""
    return " ".join(text.replace('"', "'").split())


def _chosen(utterances: Iterable[Utterance], config: PrepareConfig) -> Iterable[Utterance]:
    only, without = _speakers(config.only), _speakers(config.leave_out)
    return (utt for utt in utterances if (only is None or utt.spk in only) and utt.spk not in (without or ()))


def _speakers(path: str) -> set[str] | None:
    if not path:
        return None
    if not Path(path).exists():
        raise UserError(f"{path}: no such file; it should hold one speaker a line")
    return set(Path(path).read_text(encoding="utf-8").split())


def _check(utt: Utterance, config: PrepareConfig) -> float | str:
    """Seconds of the recording, or why it cannot be used."""
    try:
        seconds = len(audio.load(utt.wav)) / audio.SAMPLE_RATE
    except audio.AudioError as error:
        return str(error)
    if seconds < config.min_seconds:
        return f"too short: {seconds:.3f} s, at least {config.min_seconds:g} s are needed"
    if seconds > config.max_seconds:
        return f"too long: {seconds:.1f} s, at most {config.max_seconds:g} s are taken (prepare.max_seconds)"
    return seconds
