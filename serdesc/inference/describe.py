"""Captions of single recordings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator

import numpy as np
from torch import Tensor

from serdesc import config as configs
from serdesc import runtime
from serdesc.builtin import describer, experiment, names
from serdesc.captions import reader
from serdesc.captions.fields import EMOTIONS, Fields
from serdesc.data import audio, curves, cutting
from serdesc.errors import UserError
from serdesc.features import batches
from serdesc.features.encoder import Encoder
from serdesc.features.live import Live, encode, first_frame
from serdesc.inference import branches
from serdesc.inference.decode import posteriors
from serdesc.models import checkpoint


@dataclass(frozen=True)
class Details:
    """What a page shows beside the caption."""

    kl: dict[str, np.ndarray]  # branch -> KL, 25 values a second (branches.py)
    curves: dict[str, Any]  # of the sound (data/curves.py)


@dataclass(frozen=True)
class Description:
    """The caption of a recording."""

    audio: str  # path
    caption: str
    fields: Fields  # read from the caption
    seconds: float  # length of the described audio
    took: float  # seconds of computation
    cropped: bool  # the recording is longer: only encoder.max_seconds of it were used
    start: float | None = None  # seconds, of a piece of a long recording
    # Of the emotion, over EMOTIONS; None if none is read, and without decoding.posterior.
    posterior: dict[str, float] | None = None
    details: Details | None = None  # of `describe --html`

    @property
    def confidence(self) -> float | None:
        """Probability of the emotion that the caption names."""
        return self.posterior.get(str(self.fields.emotion)) if self.posterior else None

    def to_dict(self) -> dict[str, Any]:
        """JSON of `serdesc describe --json`; fields without a value are omitted."""
        fields = self.fields.to_dict()
        times = {}
        if self.start is not None:
            times = {"start": round(self.start, 3), "end": round(self.start + self.seconds, 3)}
        return {
            "audio": self.audio,
            **times,
            "caption": self.caption,
            "fields": {name: value for name, value in fields.items() if value is not None},
            "posterior": self.posterior,
            "seconds": round(self.seconds, 3),
            "took": round(self.took, 3),
        }


class Captioner:
    """A trained or built-in model that describes recordings."""

    def __init__(self, model: str = "", settings: list[str] | None = None) -> None:
        """Load a model, by default the best that is here. Raises UserError if there is none of
        that name.
        """
        model = model or describer()
        exp = experiment(model)
        if not (exp / "config.yaml").exists():
            raise UserError(
                f"--model {model}: no experiment there (config.yaml is missing) and no built-in"
                f" model of that name; built in are {', '.join(names())}"
            )
        self.config = configs.load(exp / "config.yaml", settings)
        device = runtime.start(self.config)
        self.encoder = Encoder.load(self.config.encoder, device)
        self.model, _ = checkpoint.load_model(exp, Live(self.encoder), device, settings)

    def describe(
        self, wave: np.ndarray, name: str = "", start: float | None = None, details: bool = False
    ) -> Description:
        """Describe a wave (samples,) at 16 kHz; `start`: of a piece of a recording, seconds."""
        began = time.perf_counter()
        x, frames = batches.pad(encode(self.encoder, [wave]))
        caption = self.model.generate(x, frames, self.config.decoding.max_new_tokens)[0]
        emotions = EMOTIONS if self.config.decoding.posterior else ()
        posterior = posteriors(self.model, x, frames, [caption], emotions).get(0)
        seconds = len(wave) / audio.SAMPLE_RATE
        return Description(
            audio=name,
            caption=caption,
            fields=reader.read(caption),
            seconds=seconds,
            took=time.perf_counter() - began,
            cropped=start is None and seconds >= self.config.encoder.max_seconds,
            start=start,
            posterior=posterior,
            details=self._details(wave, x, frames) if details else None,
        )

    def describe_file(self, path: str | Path) -> Description:
        """Describe a recording. Raises AudioError if it cannot be used."""
        return self.describe(audio.load(path, self.config.encoder.max_seconds), str(path))

    def _details(self, wave: np.ndarray, x: Tensor, frames: Tensor) -> Details:
        kl = {}
        first = first_frame(wave, self.config.encoder)
        for branch, values in self.model.kl_per_frame(x, frames).items():
            kl[branch] = branches.means(values[0].float().cpu().numpy(), first)
        return Details(kl, curves.of_wave(wave))

    def describe_files(
        self, paths: Iterable[Path], details: bool = False
    ) -> Iterator[tuple[Path, Description | audio.AudioError]]:
        """Each path with its description, or with the reason why it has none.

        A recording over encoder.max_seconds has a description of each of its pieces, which
        decoding.cut_seconds limits; an error of a piece has the times in its place.
        """
        for path in paths:
            try:
                wave = audio.load(path, self.config.encoder.max_seconds)
                if self._is_cut(wave):
                    yield from self._describe_pieces(path, details)
                else:
                    yield path, self.describe(wave, str(path), details=details)
            except audio.AudioError as error:
                yield path, error

    def _is_cut(self, wave: np.ndarray) -> bool:
        longest = self.config.encoder.max_seconds
        return self.config.decoding.cut_seconds > 0 and len(wave) >= longest * audio.SAMPLE_RATE

    def _describe_pieces(
        self, path: Path, details: bool
    ) -> Iterator[tuple[Path, Description | audio.AudioError]]:
        longest = min(self.config.decoding.cut_seconds, self.config.encoder.max_seconds)
        for piece in cutting.pieces(path, longest):
            if isinstance(piece.wave, audio.AudioError):
                yield path, piece.wave
            else:
                yield path, self.describe(piece.wave, str(path), piece.start, details)
            runtime.release_memory()
