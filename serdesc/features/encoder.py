"""Frozen encoders (HuBERT, WavLM, wav2vec2, Whisper): waves to the outputs of all layers."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from serdesc.config import EncoderConfig
from serdesc.data.audio import SAMPLE_RATE
from serdesc.errors import UserError
from serdesc.features import waveform, whisper
from serdesc.features.pretrained import load_pretrained
from serdesc.runtime import DTYPES


class Family(Protocol):
    """What differs between families of encoders; a module of this folder for each kind."""

    MEANING: str  # of the outputs, for a store's header

    def load(self, model: str) -> nn.Module: ...

    def build(self, configuration: Any) -> nn.Module: ...

    def extractor(self, configuration: Any) -> Any: ...

    def hop(self, configuration: Any) -> int: ...

    def longest(self, configuration: Any) -> float: ...

    def batchable(self, configuration: Any) -> bool: ...

    def inputs(
        self, configuration: Any, extract: Any, waves: Sequence[np.ndarray]
    ) -> tuple[Tensor, Tensor | None]: ...

    def blank_inputs(
        self, configuration: Any, waves: int, samples: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]: ...


# transformers' model_type -> the module that knows its inputs
FAMILIES: dict[str, Family] = {
    "hubert": waveform,
    "wavlm": waveform,
    "wav2vec2": waveform,
    "whisper": whisper,
}


def family_of(configuration: Any, model: str) -> Family:
    """The family of an encoder by its configuration. Raises UserError for an unknown one."""
    kind = configuration.model_type
    if kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UserError(f"encoder.model: '{model}' is a {kind} model; known are {known}")
    return FAMILIES[kind]


def weights_digest(model: nn.Module) -> str:
    """A hash of a model's weights, independent of the device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


class Encoder:
    """A frozen encoder. Calling it returns x (L, T, D) of each wave, float32 on the CPU.

    Padding has no effect: encoders for which it would have one get batches of one wave
    (`batchable`).
    """

    def __init__(
        self, model: Any, extractor: Any, config: EncoderConfig, device: torch.device
    ) -> None:
        self.family = family_of(model.config, config.model)
        if config.max_seconds > (longest := self.family.longest(model.config)):
            raise UserError(
                f"encoder.max_seconds: {config.max_seconds:g}, and {config.model} takes at most"
                f" {longest:g} s: set encoder.max_seconds={longest:g}; longer recordings are cut"
            )
        model.to(device=device, dtype=DTYPES[config.dtype]).eval().requires_grad_(False)
        self.model, self.extractor, self.config, self.device = model, extractor, config, device
        self.layers: int = model.config.num_hidden_layers + (config.layers == "0..n")
        self.width: int = model.config.hidden_size
        self.hop = self.family.hop(model.config)  # samples per frame
        self.batchable = self.family.batchable(model.config)
        self._hidden_states: list[Tensor] = []
        self._register_hooks()

    @classmethod
    def load(cls, config: EncoderConfig, device: torch.device) -> Encoder:
        from transformers import AutoConfig, AutoFeatureExtractor

        family = family_of(load_pretrained(AutoConfig, config.model), config.model)
        extractor = load_pretrained(AutoFeatureExtractor, config.model)
        return cls(family.load(config.model), extractor, config, device)

    @classmethod
    def without_weights(
        cls, configuration: Any, config: EncoderConfig, device: torch.device
    ) -> Encoder:
        """An encoder of that shape with new weights on `device`, such as the meta device."""
        family = family_of(configuration, config.model)
        with device:
            model = family.build(configuration)
        return cls(model, family.extractor(configuration), config, device)

    def _register_hooks(self) -> None:
        """Collect the layers' outputs; `hidden_states` of transformers changed its last entry."""

        def collect_input(_: Any, inputs: Any) -> None:
            self._hidden_states.append(inputs[0])

        def collect_output(_: Any, inputs: Any, output: Any) -> None:
            self._hidden_states.append(output[0] if isinstance(output, tuple) else output)

        layers = self.model.encoder.layers
        if self.config.layers == "0..n":
            layers[0].register_forward_pre_hook(collect_input)
        for layer in layers:
            layer.register_forward_hook(collect_output)

    def frames(self, samples: int) -> int:
        """T of a wave of that many samples, by the model's own length function."""
        return self.lengths([samples])[0]

    def lengths(self, samples: Sequence[int]) -> list[int]:
        """T of several waves."""
        shortest = int(self.config.min_seconds * SAMPLE_RATE)
        longest = int(self.config.max_seconds * SAMPLE_RATE)
        lengths = torch.tensor(list(samples), dtype=torch.long).clamp(shortest, longest)
        frames: list[int] = self.model._get_feat_extract_output_lengths(lengths).tolist()
        return frames

    def _crop_and_pad(self, wave: np.ndarray) -> np.ndarray:
        """The first max_seconds, padded with silence to at least min_seconds."""
        cropped = wave[: int(self.config.max_seconds * SAMPLE_RATE)]
        missing = int(self.config.min_seconds * SAMPLE_RATE) - len(cropped)
        return np.pad(cropped, (0, max(0, missing)))

    @torch.no_grad()  # not inference mode: training takes these features as its input
    def __call__(self, waves: Sequence[np.ndarray]) -> list[Tensor]:
        assert (
            self.batchable or len(waves) == 1
        ), f"{self.config.model}: {len(waves)} waves in a batch"
        inputs = [self._crop_and_pad(wave) for wave in waves]
        values, mask = self.family.inputs(self.model.config, self.extractor, inputs)
        values = values.to(self.device, DTYPES[self.config.dtype])
        if mask is not None:
            mask = mask.to(self.device)
        x = self.hidden_states(values, mask).float().cpu()  # (B, L, T, D)
        assert x.shape[1] == self.layers, f"{x.shape[1]} of {self.layers} layers"
        return [x[i, :, : self.frames(len(wave))] for i, wave in enumerate(inputs)]

    def hidden_states(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, L, T, D) of padded inputs (B, ...), in the encoder's precision."""
        self._hidden_states.clear()
        self.model(values, attention_mask=mask)
        x = torch.stack(self._hidden_states, dim=1)
        self._hidden_states.clear()
        return x

    def blank_inputs(self, waves: int, samples: int) -> tuple[Tensor, Tensor | None]:
        """Inputs of hidden_states for `waves` waves of equal length, without their values."""
        dtype = DTYPES[self.config.dtype]
        return self.family.blank_inputs(self.model.config, waves, samples, dtype)

    def identity(self) -> dict[str, Any]:
        """Values of a store's header: model, weights, layers, lengths and their meaning."""
        return {
            **({"trim": True} if self.config.trim else {}),
            "encoder": self.config.model,
            "weights": weights_digest(self.model),
            "precision": self.config.dtype,
            "layers": self.config.layers,
            "layer_count": self.layers,
            "width": self.width,
            "meaning": self.family.MEANING,
            "min_seconds": self.config.min_seconds,
            "max_seconds": self.config.max_seconds,
            "frame_rate": SAMPLE_RATE / self.hop,
        }
