"""Frozen SSL encoders (HuBERT, WavLM, wav2vec2): waves to the outputs of all transformer layers."""

from __future__ import annotations

import hashlib
from typing import Any, Sequence

import numpy as np
import torch
from torch import Tensor

from serdesc.builtin import resolve
from serdesc.config import EncoderConfig
from serdesc.data.audio import SAMPLE_RATE
from serdesc.errors import UserError
from serdesc.runtime import DTYPES

FAMILIES = ("hubert", "wavlm", "wav2vec2")
MEANING = "output of each transformer layer, before the encoder's final layer norm where it has one"


def load_pretrained(auto: Any, model: str, **options: Any) -> Any:
    """`auto.from_pretrained` of a Hugging Face id, folder or built-in model.

    Raises UserError that explains how to get the model on a node without internet.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        return auto.from_pretrained(resolve(model), **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"model '{model}' could not be loaded: {reason}\n  For a node without internet,"
            f" download it on one with internet (huggingface-cli download {model}), set HF_HOME to"
            " that cache and HF_HUB_OFFLINE=1; or give the model's folder."
        ) from error


def weights_digest(model: torch.nn.Module) -> str:
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
        family = model.config.model_type
        if family not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise UserError(
                f"encoder.model: '{config.model}' is a {family} model; known are {known}"
            )
        model.to(device=device, dtype=DTYPES[config.dtype]).eval().requires_grad_(False)
        self.model, self.extractor, self.config, self.device = model, extractor, config, device
        self.layers: int = model.config.num_hidden_layers + (config.layers == "0..n")
        self.width: int = model.config.hidden_size
        self.hop = int(np.prod(model.config.conv_stride))  # samples per frame
        # A group norm in the convolutions spans the padding, so those models cannot be batched.
        self.batchable: bool = getattr(model.config, "feat_extract_norm", "unknown") == "layer"
        self._hidden_states: list[Tensor] = []
        self._register_hooks()

    @classmethod
    def load(cls, config: EncoderConfig, device: torch.device) -> Encoder:
        from transformers import AutoFeatureExtractor, AutoModel

        model = load_pretrained(AutoModel, config.model, dtype=torch.float32)
        return cls(model, load_pretrained(AutoFeatureExtractor, config.model), config, device)

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
        batch = self.extractor(
            inputs,
            sampling_rate=SAMPLE_RATE,
            padding=True,
            return_tensors="pt",
            return_attention_mask=self.batchable,
        )
        values = batch["input_values"].to(self.device, DTYPES[self.config.dtype])
        mask = batch["attention_mask"].to(self.device) if self.batchable else None
        x = self.hidden_states(values, mask).float().cpu()  # (B, L, T, D)
        assert x.shape[1] == self.layers, f"{x.shape[1]} of {self.layers} layers"
        return [x[i, :, : self.frames(len(wave))] for i, wave in enumerate(inputs)]

    def hidden_states(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, L, T, D) of padded waves (B, samples), in the encoder's precision."""
        self._hidden_states.clear()
        self.model(values, attention_mask=mask)
        x = torch.stack(self._hidden_states, dim=1)
        self._hidden_states.clear()
        return x

    def identity(self) -> dict[str, Any]:
        """Values of a store's header: model, weights, layers, lengths and their meaning."""
        return {
            "encoder": self.config.model,
            "weights": weights_digest(self.model),
            "precision": self.config.dtype,
            "layers": self.config.layers,
            "layer_count": self.layers,
            "width": self.width,
            "meaning": MEANING,
            "min_seconds": self.config.min_seconds,
            "max_seconds": self.config.max_seconds,
            "frame_rate": SAMPLE_RATE / self.hop,
        }
