"""The training tasks of hubert-mini: masked prediction, and supervised targets.

A task is called with recordings and a generator, and returns the loss and the figures to log.
"""

from __future__ import annotations

import math
import os
from multiprocessing import Pool

import jiwer
import numpy as np
import torch
from hubert_model import (
    CHARACTERS,
    CONFIG,
    CROP_SECONDS,
    HOP,
    SPREAD_LAYERS,
    frame_count,
    hidden_states,
    layer_states,
    pad,
    random_gains,
    spread,
)
from recordings import (
    BANDS,
    LEVEL,
    SEED,
    UTTERANCE_MEASURES,
    Recording,
    mfcc,
    targets,
    targets_with_pitch,
)
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from transformers import HubertModel

from serdesc.data import descriptors
from serdesc.data.acting import EMOTIONS

CODES = {"units-mfcc": 100, "units-layer": 250}  # k-means units
TEACHER_LAYER = 4  # whose states are clustered for units-layer
CENTRE = 385  # samples from a frame's first one to the middle of its receptive field
Figures = dict[str, float]


# ---- masked prediction ---------------------------------------------------------------------------


class UnitHead(nn.Module):
    """Cosine similarity to an embedding of each unit over 0.1 (Hsu et al. 2021, Eq. 3)."""

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.proj, self.codes = nn.Linear(width, width), nn.Parameter(torch.randn(codes, width))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.normalize(self.proj(x), dim=-1)
        return x @ nn.functional.normalize(self.codes, dim=-1).T / 0.1


def mask_spans(frames: list[int], length: int, rng: np.random.Generator) -> Tensor:
    """(B, T) mask: each frame is the first of ten masked frames with probability 0.08."""
    mask = torch.zeros(len(frames), length, dtype=torch.bool)
    for row, n in enumerate(frames):
        for start in np.flatnonzero(rng.random(n) < 0.08):
            mask[row, start : min(n, start + 10)] = True
    return mask


class Units:
    """Masked prediction of k-means units on random crops."""

    def __init__(
        self, part: str, model: HubertModel, train: list[Recording], dev: list[Recording]
    ) -> None:
        teacher = HubertModel(CONFIG)
        teacher.load_state_dict(model.state_dict())

        def features(wave: np.ndarray) -> np.ndarray:
            if part == "units-mfcc":
                return mfcc(wave, frame_count(model, len(wave)))
            return layer_states(teacher, wave, TEACHER_LAYER)

        rng = np.random.default_rng(SEED)
        sampled = rng.permutation(len(train))[: max(200, len(train) // 10)]
        sample = np.concatenate([features(train[i].wave) for i in sampled])
        kmeans = MiniBatchKMeans(CODES[part], batch_size=10_000, n_init=3, random_state=SEED)
        kmeans.fit(sample)
        self.units = {id(r): kmeans.predict(features(r.wave)) for r in [*train, *dev]}
        self.model, self.head = model, UnitHead(CONFIG.hidden_size, CODES[part])

    def __call__(
        self, recordings: list[Recording], rng: np.random.Generator
    ) -> tuple[Tensor, Figures]:
        """The loss, and the accuracy of masked frames."""
        crops, units = self._crops(recordings, rng)
        x, mask = pad(random_gains(crops, rng)[0])
        lengths = [len(row) for row in units]
        masked = mask_spans(lengths, frame_count(self.model, x.shape[1]), rng)
        states = hidden_states(self.model, x, attention_mask=mask, mask_time_indices=masked)
        logits = self.head(states[-1])
        labels = torch.full(masked.shape, -1)
        for row, values in zip(labels, units):
            row[: len(values)] = torch.from_numpy(values)
        if not masked.any():
            masked = labels >= 0
        unmasked = ~masked & (labels >= 0)
        loss = nn.functional.cross_entropy(logits[masked], labels[masked])
        if unmasked.any():
            loss = loss + 0.5 * nn.functional.cross_entropy(logits[unmasked], labels[unmasked])
        accuracy = (logits[masked].argmax(-1) == labels[masked]).float().mean()
        return loss, {"units": float(accuracy)}

    def _crops(
        self, recordings: list[Recording], rng: np.random.Generator
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """At most CROP_SECONDS of each wave, and their units."""
        crops, units = [], []
        limit = int(CROP_SECONDS * 16_000)
        for recording in recordings:
            wave, start = recording.wave, 0
            if len(wave) > limit:
                start = int(rng.integers(0, (len(wave) - limit) // HOP + 1))
            crops.append(wave[start * HOP : start * HOP + limit])
            frames = frame_count(self.model, len(crops[-1]))
            units.append(self.units[id(recording)][start : start + frames])
        return crops, units


# ---- supervised targets --------------------------------------------------------------------------


class SpeechHead(nn.Module):
    """Linear outputs; the order of creation decides the initial weights."""

    def __init__(self, width: int, local: int, overall: int, phonemes: int) -> None:
        super().__init__()
        self.characters = nn.Linear(width, len(CHARACTERS))
        self.sounds = nn.Linear(width, phonemes)
        self.stress = nn.Linear(width, 1)
        self.local = nn.Linear(width, local)
        self.overall = nn.Linear(width, overall)
        self.emotion = nn.Linear(width, len(EMOTIONS))
        self.spread = nn.Linear(width, len(SPREAD_LAYERS) * width)


class Speech:
    """Characters, phonemes and stress from the last layer, frame targets from layer 2, utterance
    targets from layer 4.
    """

    targets = staticmethod(targets)

    def __init__(self, model: HubertModel, train: list[Recording], dev: list[Recording]) -> None:
        self._measure(train, dev)
        overall_spread = self._standardise(train, dev)
        self.level_spread = float(overall_spread[LEVEL])
        self.weights = torch.ones(len(UTTERANCE_MEASURES))
        names = {name for recording in train for _, name, _ in recording.phones}
        self.phonemes = {name: i for i, name in enumerate(sorted(names))}
        width, local, overall = CONFIG.hidden_size, train[0].local.shape[1], len(overall_spread)
        self.model, self.head = model, SpeechHead(width, local, overall, len(self.phonemes))
        model.config.mask_time_prob = 0.05

    def _measure(self, train: list[Recording], dev: list[Recording]) -> None:
        """Set `local` and `overall` of all recordings."""
        descriptors.compile_librosa()
        with Pool(os.cpu_count(), threadpool_limits, (1,)) as pool:
            for part in (train, dev):
                measured = pool.map(self.targets, part, chunksize=50)
                for recording, (local, overall) in zip(part, measured):
                    recording.local, recording.overall = local, overall

    def _standardise(self, train: list[Recording], dev: list[Recording]) -> np.ndarray:
        """Standardise `local` and `overall` on the training part; returns `overall`'s deviation."""
        local = np.concatenate([recording.local for recording in train])
        overall = np.stack([recording.overall for recording in train])
        mean, deviation = local.mean(axis=0), local.std(axis=0)
        overall_mean, overall_spread = np.nanmean(overall, axis=0), np.nanstd(overall, axis=0)
        for recording in [*train, *dev]:
            recording.local = (recording.local - mean) / deviation
            recording.overall = (recording.overall - overall_mean) / overall_spread
        return overall_spread

    def __call__(
        self, recordings: list[Recording], rng: np.random.Generator
    ) -> tuple[Tensor, Figures]:
        """The sum of the losses; the losses, and the accuracy of characters and phonemes."""
        waves, gains = random_gains([r.wave for r in recordings], rng)
        x, mask = pad(waves)
        states = hidden_states(self.model, x, attention_mask=mask)
        frames = [frame_count(self.model, len(wave)) for wave in waves]
        log_probs = self.head.characters(states[-1]).log_softmax(-1)  # (B, T, characters)
        phonemes, stress, accuracy = self._phoneme_losses(states[-1], recordings, frames)
        local, overall, errors = self._target_losses(states, recordings, frames, gains)
        losses = {
            "ctc": ctc_loss(log_probs, recordings, frames),
            "sound": phonemes,
            "stress": stress,
            "local": local,
            "overall": overall,
        }
        further_losses, further_figures = self.further_losses(states, recordings, frames)
        losses |= further_losses
        figures = {name: float(loss.detach()) for name, loss in losses.items()}
        figures |= dict(zip(UTTERANCE_MEASURES, errors.nanmean(dim=0).tolist()))
        figures |= further_figures
        error_rate = jiwer.cer([r.text or " " for r in recordings], greedy(log_probs, frames))
        figures |= {"characters": 1 - error_rate, "sounds": accuracy}
        return sum(losses.values(), torch.zeros(())), figures

    def further_losses(
        self, states: tuple[Tensor, ...], recordings: list[Recording], frames: list[int]
    ) -> tuple[dict[str, Tensor], Figures]:
        """Losses of subclasses, and their figures."""
        return {}, {}

    def _phoneme_losses(
        self, last: Tensor, recordings: list[Recording], frames: list[int]
    ) -> tuple[Tensor, Tensor, float]:
        """Losses of phonemes and stress on synthetic speech, and the accuracy of phonemes."""
        labels = torch.full((*last.shape[:2], 2), -1)
        for row, recording, n in zip(labels, recordings, frames):
            row[:n] = torch.from_numpy(self._frame_labels(recording, n))
        labelled = labels[..., 0] >= 0
        if not labelled.any():
            zero = torch.zeros(())
            return zero, zero, math.nan
        logits, phonemes = self.head.sounds(last[labelled]), labels[labelled][:, 0]
        accuracy = float((logits.argmax(-1) == phonemes).float().mean())
        stress = nn.functional.binary_cross_entropy_with_logits(
            self.head.stress(last[labelled])[:, 0], labels[labelled][:, 1].float()
        )
        return nn.functional.cross_entropy(logits, phonemes), stress, accuracy

    def _frame_labels(self, recording: Recording, frames: int) -> np.ndarray:
        """(T, 2): phoneme and stress at the middle of each frame, -1 if unknown."""
        labels = np.full((frames, 2), -1)
        if recording.phones:
            starts = [start for start, _, _ in recording.phones]
            middles = (np.arange(frames) * HOP + CENTRE) / 16_000
            positions = np.searchsorted(starts, middles, side="right") - 1
            known = []
            for _, name, stressed in recording.phones:
                known.append((self.phonemes.get(name, -1), int(stressed)))
            labels[positions >= 0] = np.array(known)[positions[positions >= 0]]
        return labels

    def _target_losses(
        self,
        states: tuple[Tensor, ...],
        recordings: list[Recording],
        frames: list[int],
        gains: np.ndarray,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of frame and utterance targets, and the errors of the measures (B, measures).

        The few measures together have the weight of the many bands. The level target includes the
        gain; the other targets do not depend on it.
        """
        width = (CONFIG.hidden_size,)
        local_outputs = self.head.local(nn.functional.layer_norm(states[2], width))
        overall_outputs = self.head.overall(nn.functional.layer_norm(states[4], width))
        local, overall, measures = [], [], []
        for i, recording in enumerate(recordings):
            n = min(frames[i], len(recording.local))
            target = torch.from_numpy(recording.local[:n])
            local.append(nn.functional.mse_loss(local_outputs[i, :n], target))
            target = torch.from_numpy(recording.overall.astype(np.float32)).clone()
            target[LEVEL] += gains[i] / self.level_spread
            errors = (overall_outputs[i, : frames[i]] - target.nan_to_num()).square().mean(dim=0)
            errors = errors * ~target.isnan()
            overall.append(errors[:BANDS].mean() + (self.weights * errors[BANDS:]).mean())
            undefined = target[BANDS:].isnan()
            measures.append(torch.where(undefined, math.nan, errors[BANDS:].detach()))
        return torch.stack(local).mean(), torch.stack(overall).mean(), torch.stack(measures)


def ctc_loss(log_probs: Tensor, recordings: list[Recording], frames: list[int]) -> Tensor:
    labels, lengths = [], []
    for recording in recordings:
        characters = [CHARACTERS.index(c) for c in recording.text if c in CHARACTERS[1:]]
        labels += characters
        lengths.append(len(characters))
    return nn.functional.ctc_loss(
        log_probs.transpose(0, 1),
        torch.tensor(labels),
        torch.tensor(frames),
        torch.tensor(lengths),
        zero_infinity=True,
    )


def greedy(log_probs: Tensor, frames: list[int]) -> list[str]:
    """Texts of the best CTC labels (B, T, characters): repeated labels and blanks are removed."""
    texts = []
    for row, n in zip(log_probs.detach().argmax(-1).tolist(), frames):
        text = ""
        for label, previous in zip(row[:n], [0] + row):
            if label and label != previous:
                text += CHARACTERS[label]
        texts.append(text)
    return texts


class Manner(Speech):
    """Speech with the acted emotion and the spread of hidden states from layer 5.

    Errors of pitch, energy and speed are weighted by their variance within a speaker.
    """

    targets = staticmethod(targets_with_pitch)

    def __init__(self, model: HubertModel, train: list[Recording], dev: list[Recording]) -> None:
        super().__init__(model, train, dev)
        by_speaker: dict[str, list[np.ndarray]] = {}
        for recording in train:
            by_speaker.setdefault(recording.speaker, []).append(recording.overall[BANDS:])
        speakers = [np.stack(rows) for rows in by_speaker.values() if len(rows) > 5]
        for i, name in enumerate(UTTERANCE_MEASURES):
            if name in ("pitch", "energy", "speed"):
                within = np.mean([np.nanvar(rows[:, i]) for rows in speakers])
                self.weights[i] = float(np.clip(1 / within, 1, 8))
        for recording in [*train, *dev]:
            recording.spread = spread(model, recording.wave)
        spreads = np.stack([recording.spread for recording in train])
        mean, deviation = spreads.mean(axis=0), spreads.std(axis=0)
        for recording in [*train, *dev]:
            recording.spread = (recording.spread - mean) / deviation

    def further_losses(
        self, states: tuple[Tensor, ...], recordings: list[Recording], frames: list[int]
    ) -> tuple[dict[str, Tensor], Figures]:
        x = nn.functional.layer_norm(states[5], (CONFIG.hidden_size,))
        scores, spreads = self.head.emotion(x), self.head.spread(x)
        errors = []
        for i, (recording, n) in enumerate(zip(recordings, frames)):
            errors.append((spreads[i, :n] - torch.from_numpy(recording.spread)).square().mean())
        losses = {"spread": torch.stack(errors).mean()}
        acted = [i for i, recording in enumerate(recordings) if recording.emotion >= 0]
        if not acted:
            return losses, {}
        emotions = torch.tensor([recordings[i].emotion for i in acted])
        entropies, predicted = [], []
        for i, emotion in zip(acted, emotions):
            logits = scores[i, : frames[i]]
            entropies.append(nn.functional.cross_entropy(logits, emotion.expand(frames[i])))
            predicted.append(logits.mean(dim=0).argmax())
        losses["emotion"] = torch.stack(entropies).mean()
        accuracy = (torch.stack(predicted) == emotions).float().mean()
        return losses, {"emotions": float(accuracy)}
