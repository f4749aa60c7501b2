"""Does a trained model listen to the voice or read the words? Its two branches, taken apart.

swap      content tokens of one utterance with descriptor tokens of another: what the caption takes
          from each. Descriptor tokens are repeated or left out to be as many as content tokens.
silence   the latents of one branch are zero, the mean of their prior: what the other does alone
latents   mean and standard deviation over time of z = mu of each branch and of the encoder's
          layers, for linear probes; KL of every latent dimension

Pairs for the swap have different speakers; the second of a pair is drawn by a hash of the first's
id, once with the same emotion and once with another. Pairs and utterances do not depend on the
model, so that several are compared on the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from serdesc import config as configs
from serdesc import runtime
from serdesc.captions import reader
from serdesc.captions.fields import Fields
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.features import batches
from serdesc.features.live import Features
from serdesc.features.store import open_features
from serdesc.files import digest
from serdesc.inference.counterfactual import first_by_hash
from serdesc.models import checkpoint
from serdesc.models.bottleneck import latent_use
from serdesc.models.describer import Describer
from serdesc.models.speech import SpeechTokens, frame_mask
from serdesc.progress import progress

BRANCHES = ("content", "descriptor")
ENCODER = "encoder"  # the vectors of the encoder's layers
SPEECH = "speech tokens"  # of a model without branches
SILENCED = tuple(f"{name} silenced" for name in BRANCHES)


@dataclass(frozen=True)
class Pair:
    """Content tokens of the first utterance with descriptor tokens of the second."""

    content: Utterance
    descriptor: Utterance
    same_emotion: bool


@dataclass
class Tested:
    """What a model answered: captions' fields, by kind of input, and what its latents are."""

    answers: dict[str, dict[str, Fields]] = field(default_factory=dict)  # input -> utterance
    swapped: list[tuple[Pair, Fields]] = field(default_factory=list)
    vectors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # name -> utterance
    kl: dict[str, list[float]] = field(default_factory=dict)  # branch -> KL a frame, by dimension
    active: dict[str, int] = field(default_factory=dict)  # branch -> active dimensions


def pairs(utterances: Sequence[Utterance]) -> list[Pair]:
    """Up to two partners of each utterance by another speaker: of its emotion, and of another."""
    found = []
    for utt in utterances:
        for same in (True, False):
            others = [o for o in utterances if o.spk != utt.spk and _alike(utt, o) is same]
            if others:
                other = min(others, key=lambda o: digest("partner", utt.utt_id, o.utt_id))
                found.append(Pair(utt, other, same))
    return found


def _alike(utt: Utterance, other: Utterance) -> bool | None:
    """Whether two utterances have the same emotion; None if one has none."""
    emotions = [u.labels.emotion if u.labels else None for u in (utt, other)]
    return None if None in emotions else emotions[0] == emotions[1]


class BranchTest:
    """A trained model with its features."""

    def __init__(self, model: Describer, features: Features) -> None:
        self.model, self.features = model, features
        self.divided = model.groups == 2

    def run(self, train: Sequence[Utterance], test: Sequence[Utterance], limit: int) -> Tested:
        """All tests; captions of the first `limit` of `test`, vectors of both parts."""
        tested = Tested()
        chosen = sorted(first_by_hash(test, limit), key=lambda utt: utt.utt_id)
        swapped = pairs(chosen) if self.divided else []
        kinds = ["whole", *(SILENCED if self.divided else ())]
        steps = len(train) + len(test) + len(kinds) * len(chosen) + len(swapped)
        with progress("take branches apart", steps, "inputs") as advance:
            self._vectors(tested, [*train, *test], advance)
            for batch in self._batches(chosen):
                speech, counts = self._encode(batch)
                for kind in kinds:
                    captions = self._captions(self._changed(speech, kind), counts)
                    of_kind = tested.answers.setdefault(kind, {})
                    of_kind.update(zip((utt.utt_id for utt in batch), captions))
                    advance(len(batch))
            by_id = {utt.utt_id: self._encode([utt]) for utt in chosen} if swapped else {}
            for pair in swapped:
                (speech, counts), (other, _) = (
                    by_id[pair.content.utt_id],
                    by_id[pair.descriptor.utt_id],
                )
                assert other.s_des is not None
                s_des = resampled(other.s_des, speech.s_con.shape[1])
                mixed = SpeechTokens(speech.s_con, s_des, speech.kl)
                tested.swapped.append((pair, self._captions(mixed, counts)[0]))
                advance(1)
        return tested

    def _batches(self, utterances: Sequence[Utterance]) -> Iterator[list[Utterance]]:
        yield from batches.decoding_batches(utterances, self.model.config.decoding.batch_size)

    @torch.inference_mode()
    def _encode(self, batch: Sequence[Utterance]) -> tuple[SpeechTokens, list[int]]:
        """Speech tokens of a batch, z = mu, and U of each utterance."""
        self.model.eval()
        x, frames = batches.pad(self.features.load(batch))
        speech = self.model.encode_speech(x.to(self.model.device), frames, "descriptor", {})
        return speech, self.model.token_counts(frames)

    @torch.inference_mode()
    def _changed(self, speech: SpeechTokens, kind: str) -> SpeechTokens:
        """The tokens with one branch silenced: what its adapter makes of zero latents."""
        if kind not in SILENCED:
            return speech
        name = BRANCHES[SILENCED.index(kind)]
        config, (count, tokens, _) = self.model.config, speech.s_con.shape
        zeros = speech.s_con.new_zeros(count, tokens * config.adapter.k, config.branch.latent)
        silent = self.model.branch(name).adapter(zeros, torch.ones_like(zeros[..., 0]))
        if name == "content":
            return SpeechTokens(silent, speech.s_des, speech.kl)
        return SpeechTokens(speech.s_con, silent, speech.kl)

    @torch.inference_mode()
    def _captions(self, speech: SpeechTokens, counts: Sequence[int]) -> list[Fields]:
        """The fields of the captions of speech tokens."""
        model = self.model
        rows = model.build_rows(model.prompt, speech, counts, [None] * len(counts), padding="left")
        answers = model.decode_rows(rows, model.config.decoding.max_new_tokens)
        return [reader.read(answer) for answer in answers]

    # ---- latents ---------------------------------------------------------------------------------

    @torch.inference_mode()
    def _vectors(self, tested: Tested, utterances: Sequence[Utterance], advance: Any) -> None:
        """Vectors for linear probes; KL and active dimensions of the branches."""
        sums: dict[str, list[Tensor]] = {}
        for batch in self._batches(utterances):
            x, frames = batches.pad(self.features.load(batch))
            x = x.to(self.model.device)
            mask = frame_mask(frames, x.shape[2]).to(x.device)
            over_time = {ENCODER: x.permute(0, 2, 1, 3).flatten(2)}  # (B, T, L * D)
            if self.divided:
                for name in BRANCHES:
                    latent = self.model.branch(name).bottleneck(x)
                    over_time[f"z of {name}"] = latent.mu
                    parts = torch.stack([latent.kl(), latent.mu, latent.mu.square()])
                    weighed = (parts * mask[..., None]).sum((1, 2))  # (3, K)
                    sums.setdefault(name, []).append(
                        torch.cat([weighed, mask.sum().expand(1, weighed.shape[1])])
                    )
            else:
                speech = self.model.encode_speech(x, frames, "descriptor", {})
                over_time[SPEECH] = speech.s_con
            for name, values in over_time.items():
                of_name = tested.vectors.setdefault(name, {})
                lengths = (
                    frames if len(values[0]) == x.shape[2] else self.model.token_counts(frames)
                )
                for utt, row, length in zip(batch, values, lengths):
                    of_name[utt.utt_id] = statistics(row[: int(length)])
            advance(len(batch))
        for name, parts_of in sums.items():
            *summed, count = torch.stack(parts_of).sum(0)
            means = torch.stack(summed) / count  # (3, K)
            tested.kl[name] = [round(value, 6) for value in means[0].tolist()]
            tested.active[name] = int(latent_use(means)[1])


def resampled(tokens: Tensor, count: int) -> Tensor:
    """(1, U, H) tokens, repeated or left out to (1, count, H)."""
    index = torch.arange(count, device=tokens.device) * tokens.shape[1] // count
    return tokens[:, index]


def statistics(values: Tensor) -> np.ndarray:
    """Mean and standard deviation over time of (T, D): (2 D,)."""
    both = torch.cat([values.mean(0), values.std(0, unbiased=False)])
    return np.asarray(both.float().cpu().numpy())


def load(exp: Path, store: str, settings: list[str]) -> BranchTest:
    """Raises UserError for a folder without a trained model, or a model without an LLM."""
    folder = checkpoint.experiment(exp)
    config = configs.load(folder / "config.yaml", settings)
    if config.model == "ssl_baseline":
        raise UserError(f"{exp}: its model is ssl_baseline, which has no branches and no captions")
    device = runtime.start(config)
    features = open_features(store, config, device, any_length=True)
    model, _ = checkpoint.load_model(folder, features, device, settings)
    assert isinstance(model, Describer)
    return BranchTest(model, features)
