"""No disentanglement: "HuBERT+LLM-SER+SED+ASR", system 1 of Table 1 and 4 of Table 2.

One weighted sum of layers and one adapter, trained in both phases; no bottleneck and no KL. Its
speech tokens replace <Content>; the line feed before <Speech descriptor> and that group are
omitted.
"""

from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor, nn

from serdesc.config import Config
from serdesc.models.adapter import Adapter
from serdesc.models.bottleneck import weighted_sum
from serdesc.models.describer import Describer, Phase
from serdesc.models.speech import SpeechTokens, frame_mask


class Undivided(Describer):
    groups = 1

    def build_branches(self, layers: int, width: int, config: Config) -> None:
        self.layer_weights = nn.Parameter(torch.zeros(layers))
        self.adapter = Adapter(width, self.llm_width, config.adapter)

    def sampled_branches(self, phase: Phase) -> tuple[str, ...]:
        return ()

    def weights_of_layers(self, phase: Phase) -> dict[str, Tensor]:
        return {"speech": self.layer_weights.detach().softmax(0)}

    def speech_parameters(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        adapter = [(f"adapter.{name}", p) for name, p in self.adapter.named_parameters()]
        return [("layer_weights", self.layer_weights), *adapter]

    def encode_speech(
        self, x: Tensor, frames: Tensor, phase: Phase, noise: dict[str, Sequence[Tensor]]
    ) -> SpeechTokens:
        summed = weighted_sum(x, self.layer_weights, self.config.branch.layer_norm)  # (B, T, D)
        mask = frame_mask(frames, x.shape[2]).to(x.device)
        s = self.adapter(summed, mask)  # (B, U, H)
        return SpeechTokens(s, None, x.new_zeros(()))
