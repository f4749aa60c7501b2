"""SSL baselines, systems 1 to 3 of Table 2: a frozen encoder with two heads, trained jointly.

    x (B, L, T, D) -> weighted sum of layers -> (B, T, D)
    emotion     mean over frames, Linear ReLU Linear      cross-entropy
    transcript  per frame, Linear ReLU Linear             CTC loss per character (Graves et al.
    2006)

The loss is cross-entropy + `baseline.ctc` * CTC. The interface is the describer's: targets and
answers are captions with a transcript and an emotion, so training, decoding and scoring are the
same code.
"""

from __future__ import annotations

from typing import Any, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from serdesc.captions import reader, writer
from serdesc.captions.fields import EMOTIONS, Fields
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.models.bottleneck import weighted_sum
from serdesc.models.describer import Loss, Phase
from serdesc.models.speech import frame_mask

IGNORE = -1  # label of a target without emotion
CHARACTERS = "_' abcdefghijklmnopqrstuvwxyz"  # the first one is CTC's blank


class SslBaseline(nn.Module):
    llm = None  # no LoRA to save

    def __init__(self, layers: int, width: int, config: Config) -> None:
        super().__init__()
        self.config = config
        hidden = config.baseline.hidden
        # The classes: EMOTIONS, and those of folds.labels that are not among them.
        self.emotions = tuple(dict.fromkeys([*EMOTIONS, *config.folds.labels]))
        self.layer_weights = nn.Parameter(torch.zeros(layers))
        self.emotion = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, len(self.emotions))
        )
        self.characters = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, len(CHARACTERS))
        )

    @property
    def device(self) -> torch.device:
        return self.layer_weights.device

    def sampled_branches(self, phase: Phase) -> tuple[str, ...]:
        return ()

    def weights_of_layers(self, phase: Phase) -> dict[str, Tensor]:
        """Weights (L,) of the encoder's layers."""
        return {"speech": self.layer_weights.detach().softmax(0)}

    def kl_per_frame(self, x: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """Nothing: no branch has a bottleneck."""
        return {}

    def label_count(self, target: str) -> int:
        """One per utterance: the loss is a mean over utterances."""
        return 1

    def trained(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        return list(self.named_parameters())

    def train_phase(self, phase: Phase) -> None:
        self.train()

    def log_probs(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """log p of the emotions (B, emotions) and characters per frame (B, T, characters)."""
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
        """Sum over utterances of both losses; a target without emotion or transcript has none of
        it.
        """
        emotions, characters = self.log_probs(x, frames)
        fields = [reader.read(target) for target in targets]
        labels = [IGNORE if f.emotion is None else self._label(f.emotion) for f in fields]
        emotion_loss = functional.nll_loss(
            emotions,
            torch.tensor(labels, device=self.device),
            ignore_index=IGNORE,
            reduction="sum",
        )
        texts = [_indices(f.transcript or "") for f in fields]
        spoken = torch.tensor([len(text) > 0 for text in texts])
        ctc_loss = (ctc_per_character(characters, frames, texts) * spoken).sum().to(self.device)
        loss = emotion_loss + self.config.baseline.ctc * ctc_loss
        return Loss(loss, x.new_zeros(()), len(fields), 0, len(fields))

    @torch.inference_mode()
    def generate(self, x: Tensor, frames: Tensor, max_new_tokens: int) -> list[str]:
        """Captions of the most probable emotion and the characters of CTC's best path."""
        self.eval()
        emotions, characters = self.log_probs(x, frames)
        captions = []
        paths = zip(characters.argmax(-1).tolist(), frames.tolist(), emotions.argmax(-1).tolist())
        for path, count, emotion in paths:
            fields = Fields(transcript=collapse(path[:count]), emotion=self.emotions[emotion])
            captions.append(writer.render(fields, ""))
        return captions

    @torch.inference_mode()
    def log_likelihoods(
        self, x: Tensor, frames: Tensor, answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """log p of the emotion in each answer."""
        self.eval()
        emotions = self.log_probs(x, frames)[0].tolist()
        results = []
        for row, candidates in zip(emotions, answers):
            named = [reader.read(answer).emotion or "" for answer in candidates]
            results.append([row[self._label(emotion)] for emotion in named])
        return results

    def _label(self, emotion: str) -> int:
        """The class of an emotion. Raises UserError if the model has none."""
        if emotion not in self.emotions:
            raise UserError(
                f"'{emotion}' is no class of this model: it has {', '.join(self.emotions)}. Train"
                " with folds.labels that lists the emotions of the data"
            )
        return self.emotions.index(emotion)


def ctc_per_character(log_probs: Tensor, frames: Tensor, texts: Sequence[list[int]]) -> Tensor:
    """CTC loss (B,) on the CPU, divided by the characters of each text; log_probs (B, T, C)."""
    lengths = torch.tensor([len(text) for text in texts])
    loss = functional.ctc_loss(
        log_probs.transpose(0, 1).cpu(),
        torch.tensor([i for text in texts for i in text]),
        frames.cpu(),
        lengths,
        reduction="none",
        zero_infinity=True,
    )
    return loss / lengths.clamp_min(1)


def _indices(text: str) -> list[int]:
    return [CHARACTERS.index(c) for c in text.lower() if c in CHARACTERS[1:]]


def collapse(path: Sequence[Any]) -> str:
    """The text of a CTC path: repetitions merged, blanks removed."""
    pairs = zip(path, [0, *path])
    characters = [CHARACTERS[i] for i, previous in pairs if i and i != previous]
    return " ".join("".join(characters).split())
