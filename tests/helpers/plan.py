"""Models without weights."""

from __future__ import annotations

from serdesc.config import Config
from serdesc.features.encoder import Encoder
from serdesc.plan import lengths, shapes
from serdesc.training import trainer


def built(config: Config) -> tuple[Encoder, trainer.Describer]:
    """Encoder and model of a configuration on the meta device."""
    encoder, _ = shapes.encoder(config.encoder)
    words, _ = lengths.tokenizer(config.llm.model, "llama")
    return encoder, shapes.describer(config, encoder.layers, encoder.width, words)[0]
