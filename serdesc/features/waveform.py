"""Encoders that read waveforms: HuBERT, WavLM, wav2vec2. B waves, T frames."""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from serdesc.data.audio import SAMPLE_RATE
from serdesc.features.pretrained import load_pretrained

MEANING = "output of each transformer layer, before the encoder's final layer norm where it has one"


def load(model: str) -> nn.Module:
    """The encoder in float32. Raises UserError if it cannot be loaded."""
    from transformers import AutoModel

    loaded: nn.Module = load_pretrained(AutoModel, model, dtype=torch.float32)
    return loaded


def build(configuration: Any) -> nn.Module:
    """The encoder with new weights, on torch's default device."""
    from transformers import AutoModel

    built: nn.Module = AutoModel.from_config(configuration)
    return built


def extractor(configuration: Any) -> Any:
    """A feature extractor of the family, for an encoder without files."""
    from transformers import Wav2Vec2FeatureExtractor

    return Wav2Vec2FeatureExtractor(
        do_normalize=True, return_attention_mask=batchable(configuration)
    )


def hop(configuration: Any) -> int:
    """Samples per frame."""
    return int(np.prod(configuration.conv_stride))


def longest(configuration: Any) -> float:
    """Seconds of the longest input: no limit."""
    return math.inf


def batchable(configuration: Any) -> bool:
    """Whether padding has no effect: a group norm in the convolutions spans the padding."""
    return getattr(configuration, "feat_extract_norm", "unknown") == "layer"


def inputs(
    configuration: Any, extract: Any, waves: Sequence[np.ndarray]
) -> tuple[Tensor, Tensor | None]:
    """Normalised waves (B, samples), padded, and the mask of their samples where it is used."""
    masked = batchable(configuration)
    batch = extract(
        list(waves),
        sampling_rate=SAMPLE_RATE,
        padding=True,
        return_tensors="pt",
        return_attention_mask=masked,
    )
    return batch["input_values"], batch["attention_mask"] if masked else None


def blank_inputs(
    configuration: Any, waves: int, samples: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """Inputs of the shapes of `waves` waves of equal length."""
    mask = torch.ones(waves, samples, dtype=torch.long) if batchable(configuration) else None
    return torch.empty(waves, samples, dtype=dtype), mask
