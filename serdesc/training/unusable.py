"""Training utterances whose audio cannot be read: skipped and listed, up to a limit."""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor

from serdesc.data import rejections
from serdesc.data.audio import AudioError
from serdesc.errors import FailedError
from serdesc.features.live import Features
from serdesc.training.examples import Example

SHARE = 0.01  # of the training utterances may be skipped, and always one


class Unusable:
    """Skipped utterances of an experiment; rejected.tsv in its folder lists them.

    Live features are computed when a batch is loaded, so damaged audio is found while it trains.
    """

    def __init__(self, exp: Path, utterances: int) -> None:
        self.exp, self.limit = exp, max(1, int(SHARE * utterances))
        self.listed = {utt_id for utt_id, _, _ in rejections.read(exp)}
        self.found: set[str] = set()  # since this start: files may have been restored before it

    def load(self, features: Features, batch: list[Example]) -> tuple[list[Example], list[Tensor]]:
        """The usable examples of a batch, and their features x (L, T, D).

        Raises FailedError if more than the limit cannot be used.
        """
        usable: list[Example] = []
        found: list[Tensor] = []
        try:
            return batch, features.load([example.utterance for example in batch])
        except AudioError:
            pass  # which ones is found out below
        for example in batch:
            try:
                found += features.load([example.utterance])
                usable.append(example)
            except AudioError as error:
                self._skip(example.utterance.utt_id, error)
        return usable, found

    def _skip(self, utt_id: str, error: AudioError) -> None:
        path = self.exp / rejections.NAME
        self.found.add(utt_id)
        if utt_id not in self.listed:
            self.listed.add(utt_id)
            rejections.append(self.exp, (utt_id, error.place, str(error)))
            print(f"{error.place}: {error}; skipped, see {path}", file=sys.stderr, flush=True)
        if len(self.found) > self.limit:
            raise FailedError(
                f"{path}: {len(self.found)} training utterances have no usable audio, at most"
                f" {self.limit} are skipped. Restore the files and train again; or run `serdesc"
                " prepare` and `serdesc annotate` again, which exclude them, and train with another"
                " --tag"
            )
