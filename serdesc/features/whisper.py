"""Whisper's encoder (Radford et al., 2022) over recordings of up to 30 s, 50 frames a second.

transformers' encoder takes 30 s and nothing else: what is shorter is followed by silence, which
costs as much as speech. Here the convolutions and the layers run over the recording alone:

    log-mel      WhisperFeatureExtractor's, of the recording followed by silence up to 30 s
    convolutions their outputs for the recording, equal to transformers': the last frames see the
                 silence that follows
    layers       a frame attends to the frames of the recording, and not to the silence

So 30 s have transformers' outputs, the clamp of the log-mel 8 below the maximum of the recording
is Whisper's own (silence has no maximum), and neither padding nor other recordings of a batch have
an effect. B recordings, M mel bins, T frames, D width.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from serdesc.data.audio import SAMPLE_RATE
from serdesc.errors import UserError
from serdesc.features.pretrained import load_pretrained

MEANING = (
    "output of each transformer layer, before the encoder's final layer norm; log-mel of the"
    " recording followed by silence up to 30 s, attention to the recording alone"
)
MEL_HOP = 160  # samples per frame of the log-mel
FRAME = 2  # frames of the log-mel per frame
PREFIX = r"^(?:model\.)?encoder\."  # of the encoder's weights in a model with a decoder


class WhisperFrames(nn.Module):
    """transformers' WhisperEncoder for inputs of any length, with the interface of HuBERT."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder  # WhisperEncoder: conv1, conv2, embed_positions, layers
        self.config = encoder.config

    def forward(self, mel: Tensor, attention_mask: Tensor) -> Tensor:
        """Outputs (B, T, D) of the last layer, without the final layer norm.

        mel: (B, M, 2 T + 1), or (B, M, 2 T) for the longest input. attention_mask: (B, same), 1
        for frames of the recording. Frames after a recording's end have no meaning.
        """
        count = mel.shape[2] // FRAME  # T
        x: Tensor = functional.gelu(self.encoder.conv1(mel))[:, :, : FRAME * count]
        x = functional.gelu(self.encoder.conv2(x)).transpose(1, 2)  # (B, T, D)
        x = x + self.encoder.embed_positions.weight[:count]
        absent = attention_mask[:, : FRAME * count : FRAME] == 0  # (B, T)
        mask = torch.zeros(absent.shape, dtype=x.dtype, device=x.device)
        mask = mask.masked_fill(absent, torch.finfo(x.dtype).min)[:, None, None]
        mask = mask.expand(-1, -1, count, -1)  # (B, 1, T, T)
        for layer in self.encoder.layers:
            output = layer(x, mask)
            x = output[0] if isinstance(output, tuple) else output
        return x

    def _get_feat_extract_output_lengths(self, samples: Tensor) -> Tensor:
        """T of recordings of these numbers of samples; transformers' name."""
        return (samples + hop(self.config) - 1) // hop(self.config)


def load(model: str) -> nn.Module:
    """The encoder of a Whisper model in float32, without its decoder. Raises UserError."""
    from transformers.models.whisper.modeling_whisper import WhisperEncoder
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # no list of the decoder's weights
    try:
        encoder, report = load_pretrained(
            WhisperEncoder,
            model,
            dtype=torch.float32,
            key_mapping={PREFIX: ""},
            output_loading_info=True,
        )
    finally:
        logging.set_verbosity(verbosity)
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"model '{model}': {len(missing)} weights of Whisper's encoder are missing, the first"
            f" is {missing[0]}: give a folder or an id of a whole Whisper model"
        )
    return WhisperFrames(encoder)


def build(configuration: Any) -> nn.Module:
    """The encoder with new weights, on torch's default device."""
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperFrames(WhisperEncoder(configuration))


def extractor(configuration: Any) -> Any:
    """A feature extractor of the family, for an encoder without files."""
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=configuration.num_mel_bins)


def hop(configuration: Any) -> int:
    """Samples per frame."""
    return MEL_HOP * FRAME


def longest(configuration: Any) -> float:
    """Seconds of the longest input, for which the encoder has positions: 30."""
    return float(configuration.max_source_positions * hop(configuration) / SAMPLE_RATE)


def batchable(configuration: Any) -> bool:
    """Whether padding has no effect."""
    return True


def inputs(
    configuration: Any, extract: Any, waves: Sequence[np.ndarray]
) -> tuple[Tensor, Tensor | None]:
    """Log-mel (B, M, 2 T + 1) of waves of up to 30 s, and the mask (B, same) of their frames.

    The frame after the longest wave is silence, or absent at the end of 30 s.
    """
    batch = extract(
        list(waves), sampling_rate=SAMPLE_RATE, return_tensors="pt", return_attention_mask=True
    )
    width = _mel_frames(max(map(len, waves)), configuration)
    return batch["input_features"][:, :, :width], batch["attention_mask"][:, :width]


def blank_inputs(
    configuration: Any, waves: int, samples: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """Inputs of the shapes of `waves` waves of equal length."""
    width = _mel_frames(samples, configuration)
    mask = torch.ones(waves, width, dtype=torch.long)
    return torch.empty(waves, configuration.num_mel_bins, width, dtype=dtype), mask


def _mel_frames(samples: int, configuration: Any) -> int:
    """Frames of the log-mel that T frames need: 2 T, and the one after them."""
    count = -(-samples // hop(configuration))
    return min(FRAME * count + 1, FRAME * int(configuration.max_source_positions))
