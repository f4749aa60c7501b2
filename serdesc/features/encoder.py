"""Frozen SSL encoders (HuBERT, WavLM, wav2vec2): waves in, the outputs of all transformer layers out."""

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
    """`auto.from_pretrained`, with the ways out named where the model cannot be had."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        return auto.from_pretrained(resolve(model), **options)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"model '{model}' could not be loaded: {first}\n  On a node without internet, fetch it first where there is some "
            f"(huggingface-cli download {model}), point HF_HOME to that cache, and set HF_HUB_OFFLINE=1; or give its folder."
        ) from error


class Encoder:
    """Calls give, for each wave, x (L, T, D) in float32 on the CPU. Padding changes nothing: see `batchable`."""

    def __init__(
        self, model: Any, extractor: Any, config: EncoderConfig, device: torch.device
    ) -> None:
        if model.config.model_type not in FAMILIES:
            raise UserError(
                f"encoder.model: '{config.model}' is a {model.config.model_type} model; known are {', '.join(FAMILIES)}"
            )
        self.model = (
            model.to(device=device, dtype=DTYPES[config.dtype]).eval().requires_grad_(False)
        )
        self.extractor, self.config, self.device = extractor, config, device
        self.layers: int = model.config.num_hidden_layers + (config.layers == "0..n")
        self.width: int = model.config.hidden_size
        self.hop = int(np.prod(model.config.conv_stride))
        # A group norm in the convolutions spans the whole padded wave, so those models hear one wave at a time, and those that do not say.
        self.batchable: bool = getattr(model.config, "feat_extract_norm", "unknown") == "layer"
        self._hidden_states: list[Tensor] = []
        if config.layers == "0..n":
            model.encoder.layers[0].register_forward_pre_hook(
                lambda _, inputs: self._hidden_states.append(inputs[0])
            )
        for layer in model.encoder.layers:
            layer.register_forward_hook(
                lambda _, inputs, out: self._hidden_states.append(
                    out[0] if isinstance(out, tuple) else out
                )
            )

    @classmethod
    def load(cls, config: EncoderConfig, device: torch.device) -> Encoder:
        from transformers import AutoFeatureExtractor, AutoModel

        model = load_pretrained(AutoModel, config.model, dtype=torch.float32)
        return cls(model, load_pretrained(AutoFeatureExtractor, config.model), config, device)

    def frames(self, samples: int) -> int:
        """T for a wave of so many samples, by the model's own length function."""
        return self.lengths([samples])[0]

    def lengths(self, samples: Sequence[int]) -> list[int]:
        """T of each of many waves."""
        least, most = (
            int(seconds * SAMPLE_RATE)
            for seconds in (self.config.min_seconds, self.config.max_seconds)
        )
        frames: list[int] = self.model._get_feat_extract_output_lengths(
            torch.tensor(list(samples), dtype=torch.long).clamp(least, most)
        ).tolist()
        return frames

    def _crop_and_pad(self, wave: np.ndarray) -> np.ndarray:
        """The wave cut to what is heard of it, with silence behind a short one."""
        cut = wave[: int(self.config.max_seconds * SAMPLE_RATE)]
        return np.pad(cut, (0, max(0, int(self.config.min_seconds * SAMPLE_RATE) - len(cut))))

    @torch.no_grad()  # not inference mode: training takes these features as its input
    def __call__(self, waves: Sequence[np.ndarray]) -> list[Tensor]:
        assert (
            self.batchable or len(waves) == 1
        ), f"{self.config.model} hears one wave at a time, got {len(waves)}"
        heard = [self._crop_and_pad(wave) for wave in waves]
        batch = self.extractor(
            heard,
            sampling_rate=SAMPLE_RATE,
            padding=True,
            return_tensors="pt",
            return_attention_mask=self.batchable,
        )
        x = self.hidden_states(
            batch["input_values"].to(self.device, DTYPES[self.config.dtype]),
            batch["attention_mask"].to(self.device) if self.batchable else None,
        ).cpu()
        assert x.shape[1] == self.layers, f"heard {x.shape[1]} layers of {self.layers}"
        return [x[i, :, : self.frames(len(wave))] for i, wave in enumerate(heard)]

    def hidden_states(self, values: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Outputs of all layers, x (B, L, T, D) in float32, of normalised waves (B, samples)."""
        self._hidden_states.clear()
        self.model(values, attention_mask=attention_mask)
        x = torch.stack(self._hidden_states, dim=1).float()
        self._hidden_states.clear()
        return x

    def identity(self) -> dict[str, Any]:
        """What a store must have been made with to stand for this encoder."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return {
            "encoder": self.config.model,
            "weights": digest.hexdigest()[:16],
            "precision": self.config.dtype,
            "layers": self.config.layers,
            "layer_count": self.layers,
            "width": self.width,
            "meaning": MEANING,
            "min_seconds": self.config.min_seconds,
            "max_seconds": self.config.max_seconds,
            "frame_rate": SAMPLE_RATE / self.hop,
        }
