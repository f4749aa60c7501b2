"""Feature extraction: the frozen encoder over a data directory, into a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serdesc import runtime
from serdesc.config import Config
from serdesc.data import audio, datadir, folds
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.progress import progress


@dataclass(frozen=True)
class Extraction:
    hours: float  # of speech
    gb: float  # size of the features, 10^9 bytes
    live: bool  # nothing was stored: the features are computed live
    rejected: list[audio.AudioError]


def extract(
    data: Path,
    store: Path,
    config: Config,
    job: tuple[int, int] = (1, 1),
    max_disk: float | None = None,
) -> Extraction:
    """Write the shards of job i of n. Features larger than max_disk GB are not stored but live."""
    device = runtime.start(config)
    usable = folds.usable_utterances(data, datadir.read(data), config.folds.labels)
    utterances = datadir.with_seconds(usable)
    encoder = Encoder.load(config.encoder, device)
    hours = sum(utt.seconds or 0.0 for utt in utterances) / 3600
    gb = stores.size(utterances, encoder, config.store) / 1e9
    if max_disk is not None and gb > max_disk:
        stores.mark_live(store, encoder, config.store)
        return Extraction(hours, gb, True, [])
    groups = stores.shards(utterances, config.store.shard_seconds)
    total = sum(len(group) for group in groups[job[0] - 1 :: job[1]])
    with progress("extract", total, "utterances") as advance:
        rejected = stores.write(store, utterances, encoder, config.store, job, advance)
    return Extraction(hours, gb, False, rejected)
