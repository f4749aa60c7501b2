"""hubert-mini by HuBERT's own recipe, then taught what an hour of masked prediction on two cores cannot teach it.

Part 1 predicts k-means units of MFCCs, masked and (with half the weight) unmasked, part 2 units of part 1's middle layer (Hsu et
al. 2021, Section II). Part 3 fine-tunes on characters by CTC, as hubert-large-ls960-ft was, and on what the waves are known or
measured to be: layer 2 tells mel bands, energy and F0 around each frame, layer 4 those of the whole utterance with pitch, energy
and speed by SpeechCraft's measures, and the last layer, for made speech, the phoneme at each frame and whether its word is
stressed. After units and characters alone a linear probe found the sex of an unseen voice in 64 % of cases. Part 4 adds what a
describer asks for. Layer 5 tells, at every frame, the emotion that made speech was acted in, and how much the states of layers
1, 3 and 5 of the model before this part vary over the whole utterance: on real acted speech a linear probe finds more of the
emotion in these deviations than in any mean, and a describer that reads frame by frame cannot take them itself. Layer 2 tells
SpeechCraft's pitch around the frame, and errors of pitch, energy and speed weigh as much as a speaker's own changes of them are
small. Each part is written when it is done, and a second call goes on with the next one.

    python local/pretrain_hubert.py data/train data/heldout exp/hubert-mini
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Iterator

import jiwer
import numpy as np
import torch
from recordings import BANDS, LEVEL, MEASURES, SEED, Recording, describe, describe_more, load, mfcc
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from serdesc.data import descriptors
from serdesc.data.acting import EMOTIONS

BF16 = False  # --bf16
BATCH_SECONDS, CROP_SECONDS = 20.0, 6.0
PARTS = {"units-mfcc": 300, "units-layer": 500, "speech": 7000, "manner": 4500}  # optimiser steps
SPOKEN = ("speech", "manner")  # parts with labels
CODES = {"units-mfcc": 100, "units-layer": 250}
PEAK_RATE = 1e-3
SPREAD_OF = (1, 3, 5)  # layers whose deviation over time is told in part 4
CENTRE = 385  # samples from a frame's first one to the middle of what it hears
CHARACTERS = "-' abcdefghijklmnopqrstuvwxyz"  # the hyphen is CTC's blank
CONFIG = HubertConfig(
    hidden_size=192, num_hidden_layers=6, num_attention_heads=4, intermediate_size=768,
    conv_dim=(64, 128, 192, 192), conv_kernel=(20, 8, 6, 4), conv_stride=(10, 4, 4, 2), num_feat_extract_layers=4, conv_bias=True,
    feat_extract_norm="layer", do_stable_layer_norm=True, num_conv_pos_embeddings=32, num_conv_pos_embedding_groups=4,
    hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, feat_proj_dropout=0.0, layerdrop=0.0,
    mask_time_prob=0.65, mask_time_length=10, vocab_size=len(CHARACTERS),
)  # fmt: skip


def batches(seconds: list[float], rng: np.random.Generator) -> Iterator[list[int]]:
    """Endless batches of about BATCH_SECONDS of neighbours in length, in random order."""
    while True:
        order = sorted(range(len(seconds)), key=lambda i: seconds[i] + rng.uniform(0, 0.3))
        made: list[list[int]] = [[]]
        for i in order:
            if made[-1] and seconds[i] * (len(made[-1]) + 1) > BATCH_SECONDS:
                made.append([])
            made[-1].append(i)
        yield from (made[int(i)] for i in rng.permutation(len(made)))


def pad(waves: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """(B, S) samples and their mask."""
    length = max(map(len, waves))
    x, mask = torch.zeros(len(waves), length), torch.zeros(len(waves), length, dtype=torch.long)
    for row, wave in enumerate(waves):
        x[row, : len(wave)] = torch.from_numpy(wave)
        mask[row, : len(wave)] = 1
    return x, mask


def frame_count(model: HubertModel, samples: int) -> int:
    return int(model._get_feat_extract_output_lengths(torch.tensor(samples)))


def hidden_states(model: HubertModel, x: Tensor, **settings: Any) -> tuple[Tensor, ...]:
    """The hidden states of all layers (B, T, D), in bfloat16 inside where --bf16 was given; the last one normalised."""
    with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
        out = model(x, output_hidden_states=True, **settings)
    return (*(h.float() for h in out.hidden_states[:-1]), out.last_hidden_state.float())


@torch.no_grad()
def hidden(model: HubertModel, wave: np.ndarray, layer: int) -> np.ndarray:
    model.eval()
    return np.asarray(hidden_states(model, torch.from_numpy(wave)[None])[layer][0])


@torch.no_grad()
def spread(model: HubertModel, wave: np.ndarray) -> np.ndarray:
    """Deviation over time of the normalised states of layers SPREAD_OF, side by side."""
    model.eval()
    states = hidden_states(model, torch.from_numpy(wave)[None])
    return np.concatenate(
        [
            nn.functional.layer_norm(states[i][0], (CONFIG.hidden_size,)).std(dim=0).numpy()
            for i in SPREAD_OF
        ]
    )


class UnitHead(nn.Module):
    """Cosine similarity to one embedding a unit, over a temperature of 0.1 (Hsu et al. 2021, Eq. 3)."""

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.proj, self.codes = nn.Linear(width, width), nn.Parameter(torch.randn(codes, width))

    def forward(self, x: Tensor) -> Tensor:
        return (
            nn.functional.normalize(self.proj(x), dim=-1)
            @ nn.functional.normalize(self.codes, dim=-1).T
            / 0.1
        )


def spans(frames: list[int], length: int, rng: np.random.Generator) -> Tensor:
    """(B, T) of spans to mask: each frame starts one of ten frames with probability 0.08."""
    mask = torch.zeros(len(frames), length, dtype=torch.bool)
    for row, n in enumerate(frames):
        for start in np.flatnonzero(rng.random(n) < 0.08):
            mask[row, start : min(n, start + 10)] = True
    return mask


def louder(
    waves: list[np.ndarray], rng: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray]:
    """The waves at other levels, and by how much (natural logarithm): level is heard, and must not change the rest."""
    gains = rng.uniform(-4.0, 0.7, len(waves))
    return [wave * np.float32(math.exp(gain)) for wave, gain in zip(waves, gains)], gains


class Units:
    """Masked prediction of k-means units on random crops."""

    def __init__(
        self, part: str, model: HubertModel, train: list[Recording], dev: list[Recording]
    ) -> None:
        teacher = HubertModel(CONFIG)
        teacher.load_state_dict(model.state_dict())

        def features(wave: np.ndarray) -> np.ndarray:
            return (
                mfcc(wave, frame_count(model, len(wave)))
                if part == "units-mfcc"
                else hidden(teacher, wave, 4)
            )

        rng = np.random.default_rng(SEED)
        waves = [r.wave for r in train]
        sample = np.concatenate(
            [features(waves[i]) for i in rng.permutation(len(waves))[: max(200, len(waves) // 10)]]
        )
        kmeans = MiniBatchKMeans(CODES[part], batch_size=10_000, n_init=3, random_state=SEED).fit(
            sample
        )
        self.units = {id(r): kmeans.predict(features(r.wave)) for r in [*train, *dev]}
        self.model, self.head = model, UnitHead(CONFIG.hidden_size, CODES[part])

    def __call__(
        self, recordings: list[Recording], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss, and the share of masked frames that were right."""
        crops, wanted = [], []
        for recording in recordings:
            wave, target = recording.wave, self.units[id(recording)]
            limit = int(CROP_SECONDS * 16_000)
            start = (
                int(rng.integers(0, (len(wave) - limit) // 320 + 1)) * 320
                if len(wave) > limit
                else 0
            )
            crops.append(wave[start : start + limit])
            wanted.append(
                target[start // 320 : start // 320 + frame_count(self.model, len(crops[-1]))]
            )
        x, mask = pad(louder(crops, rng)[0])
        masked = spans([len(w) for w in wanted], frame_count(self.model, x.shape[1]), rng)
        logits = self.head(hidden_states(self.model, x, attention_mask=mask, mask_time_indices=masked)[-1])
        truth = torch.full(masked.shape, -1)
        for row, w in zip(truth, wanted):
            row[: len(w)] = torch.from_numpy(w)
        if not masked.any():
            masked = truth >= 0
        open_frames = ~masked & (truth >= 0)
        loss = nn.functional.cross_entropy(logits[masked], truth[masked])
        if open_frames.any():
            loss = loss + 0.5 * nn.functional.cross_entropy(logits[open_frames], truth[open_frames])
        return loss, {"units": float((logits[masked].argmax(-1) == truth[masked]).float().mean())}


class SpeechHead(nn.Module):
    def __init__(self, width: int, local: int, overall: int, sounds: int) -> None:
        super().__init__()
        self.characters, self.sounds, self.stress = (
            nn.Linear(width, len(CHARACTERS)),
            nn.Linear(width, sounds),
            nn.Linear(width, 1),
        )
        self.local, self.overall = nn.Linear(width, local), nn.Linear(width, overall)
        self.emotion, self.spread = nn.Linear(width, len(EMOTIONS)), nn.Linear(
            width, len(SPREAD_OF) * width
        )


class Speech:
    """Characters, phonemes and stress from the last layer, the surroundings from layer 2, the whole from layer 4."""

    describe = staticmethod(describe)

    def __init__(self, model: HubertModel, train: list[Recording], dev: list[Recording]) -> None:
        descriptors.compile_librosa()
        with Pool(os.cpu_count(), threadpool_limits, (1,)) as pool:
            for part in (train, dev):
                for recording, (local, overall) in zip(
                    part, pool.map(self.describe, part, chunksize=50)
                ):
                    recording.local, recording.overall = local, overall
        every, wholes = np.concatenate([r.local for r in train]), np.stack(
            [r.overall for r in train]
        )
        mean, spread = every.mean(axis=0), every.std(axis=0)
        whole_mean, whole_spread = np.nanmean(wholes, axis=0), np.nanstd(wholes, axis=0)
        for recording in [*train, *dev]:
            recording.local = (recording.local - mean) / spread
            recording.overall = (recording.overall - whole_mean) / whole_spread
        self.level_spread = float(whole_spread[LEVEL])
        self.weights = torch.ones(len(MEASURES))
        self.sounds = {
            name: i
            for i, name in enumerate(sorted({name for r in train for _, name, _ in r.phones}))
        }
        self.model, self.head = model, SpeechHead(
            CONFIG.hidden_size, every.shape[1], wholes.shape[1], len(self.sounds)
        )
        model.config.mask_time_prob = 0.05

    def more(
        self, states: tuple[Tensor, ...], recordings: list[Recording], frames: list[int]
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Further losses, and what else is to be printed."""
        return {}, {}

    def frames_of(self, recording: Recording, frames: int) -> np.ndarray:
        """(T, 2): phoneme and stress at the middle of each frame, -1 where they are not known."""
        out = np.full((frames, 2), -1)
        if recording.phones:
            starts = [start for start, _, _ in recording.phones]
            at = (
                np.searchsorted(starts, (np.arange(frames) * 320 + CENTRE) / 16_000, side="right")
                - 1
            )
            known = np.array(
                [(self.sounds.get(name, -1), int(stress)) for _, name, stress in recording.phones]
            )
            out[at >= 0] = known[at[at >= 0]]
        return out

    def __call__(
        self, recordings: list[Recording], rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The sum of five losses; the losses, and the shares of characters and phonemes that are right."""
        waves, gains = louder([r.wave for r in recordings], rng)
        x, mask = pad(waves)
        states = hidden_states(self.model, x, attention_mask=mask)
        frames = [frame_count(self.model, len(wave)) for wave in waves]
        last, width = states[-1], (CONFIG.hidden_size,)

        log_probs = self.head.characters(last).log_softmax(-1).transpose(0, 1)  # (T, B, characters)
        labels = [[CHARACTERS.index(c) for c in r.text if c in CHARACTERS[1:]] for r in recordings]
        lengths = torch.tensor([len(c) for c in labels])
        ctc = nn.functional.ctc_loss(
            log_probs,
            torch.tensor(sum(labels, [])),
            torch.tensor(frames),
            lengths,
            zero_infinity=True,
        )

        known = torch.full((*last.shape[:2], 2), -1)
        for row, recording, n in zip(known, recordings, frames):
            row[:n] = torch.from_numpy(self.frames_of(recording, n))
        made = known[..., 0] >= 0
        sound = stress = torch.zeros(())
        right = math.nan
        if made.any():
            logits = self.head.sounds(last[made])
            sound = nn.functional.cross_entropy(logits, known[made][:, 0])
            right = float((logits.argmax(-1) == known[made][:, 0]).float().mean())
            stress = nn.functional.binary_cross_entropy_with_logits(
                self.head.stress(last[made])[:, 0], known[made][:, 1].float()
            )

        near = self.head.local(nn.functional.layer_norm(states[2], width))
        whole = self.head.overall(nn.functional.layer_norm(states[4], width))
        local, overall, scales = [], [], []
        for i, recording in enumerate(recordings):
            n = min(frames[i], len(recording.local))
            local.append(nn.functional.mse_loss(near[i, :n], torch.from_numpy(recording.local[:n])))
            target = torch.from_numpy(recording.overall.astype(np.float32)).clone()
            target[LEVEL] += gains[i] / self.level_spread
            errors = (whole[i, : frames[i]] - target.nan_to_num()).square().mean(
                dim=0
            ) * ~target.isnan()
            overall.append(
                errors[:BANDS].mean() + (self.weights * errors[BANDS:]).mean()
            )  # the few measures weigh as much as the many bands
            scales.append(torch.where(target[BANDS:].isnan(), math.nan, errors[BANDS:].detach()))
        losses = {
            "ctc": ctc,
            "sound": sound,
            "stress": stress,
            "local": torch.stack(local).mean(),
            "overall": torch.stack(overall).mean(),
        }
        more, told = self.more(states, recordings, frames)
        losses |= more

        best = log_probs.detach().argmax(-1).T.tolist()
        read = [
            "".join(CHARACTERS[c] for c, before in zip(row[:n], [0] + row) if c and c != before)
            for row, n in zip(best, frames)
        ]
        said = {name: float(loss.detach()) for name, loss in losses.items()}
        said |= dict(zip(MEASURES, torch.stack(scales).nanmean(dim=0).tolist()))
        said |= told
        return sum(losses.values(), torch.zeros(())), said | {
            "characters": 1 - jiwer.cer([r.text or " " for r in recordings], read),
            "sounds": right,
        }


class Manner(Speech):
    """Speech, with the emotion that it was acted in from layer 5, and pitch, energy and speed as a speaker changes them."""

    describe = staticmethod(describe_more)

    def __init__(self, model: HubertModel, train: list[Recording], dev: list[Recording]) -> None:
        super().__init__(model, train, dev)
        own: dict[str, list[np.ndarray]] = {}
        for recording in train:
            own.setdefault(recording.speaker, []).append(recording.overall[BANDS:])
        for i, name in enumerate(MEASURES):
            if name in (
                "pitch",
                "energy",
                "speed",
            ):  # errors in units of the variance within a speaker
                within = np.mean(
                    [np.nanvar(np.stack(rows)[:, i]) for rows in own.values() if len(rows) > 5]
                )
                self.weights[i] = float(np.clip(1 / within, 1, 8))
        for recording in [*train, *dev]:
            recording.spread = spread(model, recording.wave)
        every = np.stack([recording.spread for recording in train])
        for recording in [*train, *dev]:
            recording.spread = (recording.spread - every.mean(axis=0)) / every.std(axis=0)

    def more(
        self, states: tuple[Tensor, ...], recordings: list[Recording], frames: list[int]
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        heard = nn.functional.layer_norm(states[5], (CONFIG.hidden_size,))
        scores, spreads = self.head.emotion(heard), self.head.spread(heard)
        errors = [
            (spreads[i, :n] - torch.from_numpy(r.spread)).square().mean()
            for i, (r, n) in enumerate(zip(recordings, frames))
        ]
        losses, told = {"spread": torch.stack(errors).mean()}, {}
        if acted := [i for i, recording in enumerate(recordings) if recording.emotion >= 0]:
            truth = torch.tensor([recordings[i].emotion for i in acted])
            each = [
                nn.functional.cross_entropy(scores[i, : frames[i]], t.expand(frames[i]))
                for i, t in zip(acted, truth)
            ]
            guess = torch.stack([scores[i, : frames[i]].mean(dim=0).argmax() for i in acted])
            losses["emotion"] = torch.stack(each).mean()
            told["emotions"] = float((guess == truth).float().mean())
        return losses, told


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure, over the rows that have it."""
    columns = {
        key: [row[key] for row in rows if not math.isnan(row.get(key, math.nan))]
        for row in rows
        for key in row
    }
    return {key: round(float(np.mean(values)), 4) for key, values in columns.items() if values}


def train_part(
    part: str, model: HubertModel, train: list[Recording], dev: list[Recording], steps: int
) -> dict[str, Any]:
    start = time.time()
    torch.manual_seed(SEED + 1)  # each part by itself, so that a run in pieces is the same
    rng = np.random.default_rng(SEED)
    task = (
        {"speech": Speech, "manner": Manner}[part](model, train, dev)
        if part in SPOKEN
        else Units(part, model, train, dev)
    )
    if part == "units-layer":  # starts afresh on the new units
        model.load_state_dict(HubertModel(CONFIG).state_dict())
    params = [p for p in [*model.parameters(), *task.head.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    cap = 60.0 if part in SPOKEN else CROP_SECONDS
    stream = batches([min(len(r.wave) / 16_000, cap) for r in train], rng)
    recent: list[dict[str, float]] = []
    model.train()
    for step in range(1, steps + 1):
        warm = 0.08 * steps
        rate = PEAK_RATE * (
            step / warm if step < warm else max(0.02, (steps - step) / (steps - warm))
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, said = task([train[i] for i in next(stream)], rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 5.0)
        optimizer.step()
        recent.append({"loss": float(loss.detach())} | said)
        if step % 100 == 0:
            print(
                f"{part} {step}/{steps} {means(recent[-100:])} {(time.time() - start) / step:.2f} s/step",
                flush=True,
            )
    if part in SPOKEN:
        model.eval()  # the units' masks are laid in training mode only; there is no dropout
    rng = np.random.default_rng(SEED)
    with torch.no_grad():
        results = [task([recording], rng) for recording in dev]
    heldout = means([{"loss": float(loss)} | said for loss, said in results])
    return {
        "part": part,
        "steps": steps,
        "bf16": BF16,
        "seconds": round(time.time() - start),
        "heldout": heldout,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every part's steps")
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="compute in bfloat16: faster where the processor has AVX512-BF16, many times slower elsewhere",
    )
    args = parser.parse_args()
    global BF16
    BF16 = args.bf16
    torch.manual_seed(SEED)
    train, heldout = load(args.train, other_voices=True), load(args.heldout, other_voices=False)
    hours = [sum(len(r.wave) for r in part) / 57.6e6 for part in (train, heldout)]
    print(f"{hours[0]:.2f} h to train on, {hours[1]:.2f} h held out", flush=True)
    model = HubertModel(CONFIG)
    log = []
    for part, steps in PARTS.items():
        folder = args.out / part
        if (folder / "done.json").exists():
            model = HubertModel.from_pretrained(folder, dtype=torch.float32)
            log.append(json.loads((folder / "done.json").read_text()))
            continue
        log.append(train_part(part, model, train, heldout, math.ceil(steps * args.scale)))
        model.save_pretrained(folder)
        Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(
            folder
        )
        (folder / "done.json").write_text(json.dumps(log[-1]) + "\n")
        print(log[-1], flush=True)
    model.to(torch.bfloat16).save_pretrained(args.out / "final")
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(
        args.out / "final"
    )
    (args.out / "final" / "training.json").write_text(json.dumps(log, indent=1) + "\n")


if __name__ == "__main__":
    main()
