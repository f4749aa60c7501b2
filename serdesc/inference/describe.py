"""Captions of single recordings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator

import numpy as np

from serdesc import config as configs
from serdesc import runtime
from serdesc.builtin import experiment, names
from serdesc.captions import reader
from serdesc.captions.fields import Fields
from serdesc.data import audio
from serdesc.errors import UserError
from serdesc.features import batches
from serdesc.features.encoder import Encoder
from serdesc.features.live import Live, encode
from serdesc.models import checkpoint


@dataclass(frozen=True)
class Description:
    """The caption of a recording."""

    audio: str  # path
    caption: str
    fields: Fields  # read from the caption
    seconds: float  # length of the described audio
    took: float  # seconds of computation
    cropped: bool  # the recording is longer: only encoder.max_seconds of it were used

    def to_dict(self) -> dict[str, Any]:
        """JSON of `serdesc describe --json`; fields without a value are omitted."""
        fields = self.fields.to_dict()
        return {
            "audio": self.audio,
            "caption": self.caption,
            "fields": {name: value for name, value in fields.items() if value is not None},
            "seconds": round(self.seconds, 3),
            "took": round(self.took, 3),
        }


class Captioner:
    """A trained or built-in model that describes recordings."""

    def __init__(self, model: str = "describer-mini", settings: list[str] | None = None) -> None:
        """Load the model. Raises UserError if there is none of that name."""
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

    def describe(self, wave: np.ndarray, name: str = "") -> Description:
        """Describe a wave (samples,) at 16 kHz."""
        start = time.perf_counter()
        x, frames = batches.pad(encode(self.encoder, [wave]))
        caption = self.model.generate(x, frames, self.config.decoding.max_new_tokens)[0]
        seconds = len(wave) / audio.SAMPLE_RATE
        return Description(
            audio=name,
            caption=caption,
            fields=reader.read(caption),
            seconds=seconds,
            took=time.perf_counter() - start,
            cropped=seconds >= self.config.encoder.max_seconds,
        )

    def describe_file(self, path: str | Path) -> Description:
        """Describe a recording. Raises AudioError if it cannot be used."""
        return self.describe(audio.load(path, self.config.encoder.max_seconds), str(path))

    def describe_files(
        self, paths: Iterable[Path]
    ) -> Iterator[tuple[Path, Description | audio.AudioError]]:
        """Each path with its description, or with the reason why it has none."""
        for path in paths:
            try:
                described = self.describe_file(path)
            except audio.AudioError as error:
                yield path, error
            else:
                yield path, described
