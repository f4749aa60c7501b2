"""SSL baselines, systems 1 to 3 of Table 2: a frozen encoder with a pooled classifier of the emotion and a CTC head, trained jointly.

    x (B, L, T, D) -> weighted sum of layers -> (B, T, D)
    emotion     mean over the frames, Linear ReLU Linear                 cross-entropy
    transcript  each frame, Linear ReLU Linear over CHARACTERS           CTC a character (Graves et al. 2006), times `baseline.ctc`

The two losses are added, so UA and WER come from one model. It has the describer's interface: its targets and answers are captions of a
transcript and an emotion, so it is trained, decoded and scored by the same code.
"""

from __future__ import annotations

from typing import Any, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from serdesc.captions import reader, writer
from serdesc.captions.fields import EMOTIONS, Fields
from serdesc.config import Config
from serdesc.models.bottleneck import weighted_sum
from serdesc.models.describer import Loss, Phase, frame_mask

CHARACTERS = "_' abcdefghijklmnopqrstuvwxyz"  # the first is CTC's blank


class SslBaseline(nn.Module):
    llm = None  # nothing for PEFT to write

    def __init__(self, layers: int, width: int, config: Config) -> None:
        super().__init__()
        self.config = config
        hidden = config.baseline.hidden
        self.layer_weights = nn.Parameter(torch.zeros(layers))
        self.emotion = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, len(EMOTIONS))
        )
        self.characters = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, len(CHARACTERS))
        )

    @property
    def device(self) -> torch.device:
        return self.layer_weights.device

    def sampled_branches(self, phase: Phase) -> tuple[str, ...]:
        return ()

    def label_count(self, target: str) -> int:
        """The loss is a mean over utterances."""
        return 1

    def trained(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        return list(self.named_parameters())

    def train_phase(self, phase: Phase) -> None:
        self.train()

    def log_probs(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """log p of the emotions (B, emotions), and of the characters at each frame (B, T, characters)."""
        x, frames = x.to(self.device), frames.to(self.device)
        summed = weighted_sum(x, self.layer_weights, self.config.branch.layer_norm)  # (B, T, D)
        pooled = (summed * frame_mask(frames, x.shape[2])[..., None]).sum(1) / frames[:, None]
        return self.emotion(pooled).log_softmax(-1), self.characters(summed).log_softmax(-1)

    def forward(
        self,
        x: Tensor,
        frames: Tensor,
        targets: Sequence[str],
        phase: Phase,
        eps: dict[str, Sequence[Tensor]] | None = None,
    ) -> Loss:
        """Sum over the utterances of both losses. A target without emotion or without transcript adds nothing for it."""
        emotions, characters = self.log_probs(x, frames)
        said = [reader.read(target) for target in targets]
        wanted = torch.tensor(
            [EMOTIONS.index(fields.emotion) if fields.emotion else -1 for fields in said],
            device=self.device,
        )
        of_emotion = functional.nll_loss(emotions, wanted, ignore_index=-1, reduction="sum")
        labels = [_indices(fields.transcript or "") for fields in said]
        lengths = torch.tensor([len(row) for row in labels])
        flat = torch.tensor([i for row in labels for i in row])
        ctc = functional.ctc_loss(
            characters.transpose(0, 1).cpu(),
            flat,
            frames.cpu(),
            lengths,
            reduction="none",
            zero_infinity=True,
        )
        of_text = (ctc / lengths.clamp_min(1) * (lengths > 0)).sum().to(self.device)
        return Loss(
            of_emotion + self.config.baseline.ctc * of_text,
            x.new_zeros(()),
            len(said),
            0,
            len(said),
        )

    @torch.inference_mode()
    def generate(self, x: Tensor, frames: Tensor, max_new_tokens: int) -> list[str]:
        """A caption of the likeliest emotion and of the best path's characters."""
        self.eval()
        emotions, characters = self.log_probs(x, frames)
        best = characters.argmax(-1).tolist()
        texts = [_collapsed(row[:n]) for row, n in zip(best, frames.tolist())]
        return [
            writer.render(Fields(transcript=text, emotion=EMOTIONS[i]), "")
            for text, i in zip(texts, emotions.argmax(-1).tolist())
        ]

    @torch.inference_mode()
    def log_likelihoods(
        self, x: Tensor, frames: Tensor, answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """log p of the emotion that each answer names."""
        self.eval()
        emotions = self.log_probs(x, frames)[0].tolist()
        return [
            [row[EMOTIONS.index(reader.read(answer).emotion or "")] for answer in said]
            for row, said in zip(emotions, answers)
        ]


def _indices(text: str) -> list[int]:
    return [CHARACTERS.index(c) for c in text.lower() if c in CHARACTERS[1:]]


def _collapsed(path: Sequence[Any]) -> str:
    """Repetitions as one, blanks left out."""
    kept = [i for i, before in zip(path, [0, *path]) if i and i != before]
    return " ".join("".join(CHARACTERS[i] for i in kept).split())
