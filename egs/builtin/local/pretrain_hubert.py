"""hubert-mini by HuBERT's own recipe, then CTC as hubert-large-ls960-ft had it.

Iteration 1 predicts k-means units of MFCCs in masked spans, iteration 2 units of iteration 1's middle layer (Hsu et al. 2021,
Section II). The last part fine-tunes on characters; from layer 2 it also predicts smoothed log-mel bands, energy and F0, since
with characters alone a linear probe found the sex of an unseen voice in 64 % of cases (log-mel statistics: 99 %). Each part is
written when it is done, and a second call goes on with the next one.

    python local/pretrain_hubert.py data/train data/heldout exp/hubert-mini
"""

from __future__ import annotations

import argparse
import json
import math
import time
from multiprocessing import Pool
from pathlib import Path
from typing import Iterator

import jiwer
import librosa
import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from serdesc.data import audio, datadir

SEED = 1
BATCH_SECONDS, CROP_SECONDS = 20.0, 6.0
PARTS = {"units-mfcc": 800, "units-layer": 1800, "ctc": 1400}  # optimiser steps
CODES = {"units-mfcc": 100, "units-layer": 250}
PEAK_RATE = {"units-mfcc": 1e-3, "units-layer": 1e-3, "ctc": 5e-4}
CHARACTERS = "-' abcdefghijklmnopqrstuvwxyz"  # the hyphen is CTC's blank
CONFIG = HubertConfig(
    hidden_size=192, num_hidden_layers=6, num_attention_heads=4, intermediate_size=768,
    conv_dim=(64, 128, 192, 192), conv_kernel=(20, 8, 6, 4), conv_stride=(10, 4, 4, 2), num_feat_extract_layers=4, conv_bias=True,
    feat_extract_norm="layer", do_stable_layer_norm=True, num_conv_pos_embeddings=32, num_conv_pos_embedding_groups=4,
    hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, feat_proj_dropout=0.0, layerdrop=0.0,
    mask_time_prob=0.65, mask_time_length=10, vocab_size=len(CHARACTERS),
)  # fmt: skip


def load(folder: Path) -> list[tuple[np.ndarray, str]]:
    """Waves with zero mean and unit variance, and transcripts."""
    pairs = []
    for utt in datadir.read(folder):
        wave = audio.load(utt.wav)
        pairs.append(((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7), utt.text or ""))
    return pairs


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


def mfcc(wave: np.ndarray, frames: int) -> np.ndarray:
    """(T, 39): 13 MFCCs with first and second differences, one vector for each frame of the encoder."""
    coefficients = librosa.feature.mfcc(y=wave, sr=16_000, n_mfcc=13, n_fft=400, hop_length=320, n_mels=40)
    x = np.concatenate([coefficients, librosa.feature.delta(coefficients, width=5), librosa.feature.delta(coefficients, order=2, width=5)])
    return x.T[:frames]


def frame_count(model: HubertModel, samples: int) -> int:
    return int(model._get_feat_extract_output_lengths(torch.tensor(samples)))


@torch.no_grad()
def hidden(model: HubertModel, wave: np.ndarray, layer: int) -> np.ndarray:
    model.eval()
    return model(torch.from_numpy(wave)[None], output_hidden_states=True).hidden_states[layer][0].numpy()


def units(waves: list[np.ndarray], features, codes: int, rng: np.random.Generator) -> tuple[list[np.ndarray], MiniBatchKMeans]:
    """The k-means unit of every frame; centres are fitted on a tenth of the utterances."""
    sample = np.concatenate([features(waves[i]) for i in rng.permutation(len(waves))[: max(200, len(waves) // 10)]])
    kmeans = MiniBatchKMeans(codes, batch_size=10_000, n_init=3, random_state=SEED).fit(sample)
    return [kmeans.predict(features(wave)) for wave in waves], kmeans


class UnitHead(nn.Module):
    """Cosine similarity to one embedding a unit, over a temperature of 0.1 (Hsu et al. 2021, Eq. 3)."""

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.proj, self.codes = nn.Linear(width, width), nn.Parameter(torch.randn(codes, width))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self.proj(x), dim=-1) @ nn.functional.normalize(self.codes, dim=-1).T / 0.1


def spans(frames: list[int], length: int, rng: np.random.Generator) -> Tensor:
    """(B, T) of spans to mask: each frame starts one of ten frames with probability 0.08."""
    mask = torch.zeros(len(frames), length, dtype=torch.bool)
    for row, n in enumerate(frames):
        for start in np.flatnonzero(rng.random(n) < 0.08):
            mask[row, start : min(n, start + 10)] = True
    return mask


def unit_loss(
    model: HubertModel, head: UnitHead, waves: list[np.ndarray], targets: list[np.ndarray], rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Masked prediction on random crops; the loss and the share of masked frames that were right."""
    crops, wanted = [], []
    for wave, target in zip(waves, targets):
        limit = int(CROP_SECONDS * 16_000)
        start = int(rng.integers(0, max(1, (len(wave) - limit) // 320))) * 320 if len(wave) > limit else 0
        crop = wave[start : start + limit]
        crops.append(crop)
        wanted.append(target[start // 320 : start // 320 + frame_count(model, len(crop))])
    x, mask = pad(crops)
    frames = [len(w) for w in wanted]
    masked = spans(frames, frame_count(model, x.shape[1]), rng)
    y = model(x, attention_mask=mask, mask_time_indices=masked).last_hidden_state
    logits = head(y[masked])
    truth = torch.cat([torch.from_numpy(w)[m[: len(w)]] for w, m in zip(wanted, masked)]).long()
    return nn.functional.cross_entropy(logits, truth), float((logits.argmax(-1) == truth).float().mean())


def smooth(x: np.ndarray, frames: int) -> np.ndarray:
    """Moving average along the first axis."""
    return uniform_filter1d(x, frames, axis=0, mode="nearest")


def prosody(wave: np.ndarray) -> np.ndarray:
    """(T, 43): 40 log-mel bands over half a second, energy and log F0 over a tenth, log F0 over half a second."""
    mel = np.log(librosa.feature.melspectrogram(y=wave, sr=16_000, n_fft=400, hop_length=320, n_mels=40).T + 1e-4)
    f0 = np.log(librosa.yin(wave, fmin=60, fmax=500, sr=16_000, frame_length=1024, hop_length=320))
    energy = mel.mean(axis=1)
    voiced = energy > np.quantile(energy, 0.4)
    times = np.arange(len(f0))
    f0 = np.interp(times, times[voiced[: len(f0)]], f0[voiced[: len(f0)]])
    n = min(len(f0), len(mel))
    columns = [smooth(mel, 25)[:n], smooth(energy, 5)[:n, None], smooth(f0, 5)[:n, None], smooth(f0, 25)[:n, None]]
    return np.concatenate(columns, axis=1).astype(np.float32)


class SpeechHead(nn.Module):
    """Characters from the last layer, prosody from the second."""

    def __init__(self, width: int, targets: int) -> None:
        super().__init__()
        self.characters, self.prosody = nn.Linear(width, len(CHARACTERS)), nn.Linear(width, targets)


def speech_loss(model: HubertModel, head: SpeechHead, waves: list[np.ndarray], texts: list[str], targets: list[np.ndarray]) -> tuple[Tensor, float]:
    """CTC over characters, plus the squared error of prosody; and the share of characters that greedy decoding gets right."""
    x, mask = pad(waves)
    out = model(x, attention_mask=mask, output_hidden_states=True)
    log_probs = head.characters(out.last_hidden_state).log_softmax(-1).transpose(0, 1)  # (T, B, characters)
    frames = [frame_count(model, len(wave)) for wave in waves]
    labels = [[CHARACTERS.index(c) for c in text if c in CHARACTERS[1:]] for text in texts]
    loss = nn.functional.ctc_loss(
        log_probs, torch.tensor(sum(labels, [])), torch.tensor(frames), torch.tensor([len(c) for c in labels]), zero_infinity=True
    )
    said = head.prosody(nn.functional.layer_norm(out.hidden_states[2], (CONFIG.hidden_size,)))
    errors = [nn.functional.mse_loss(row[:n], torch.from_numpy(t[:n])) for row, t, n in zip(said, targets, map(min, frames, map(len, targets)))]
    best = log_probs.argmax(-1).T.tolist()
    read = ["".join(CHARACTERS[c] for c, before in zip(row[:n], [0] + row) if c and c != before) for row, n in zip(best, frames)]
    return loss + torch.stack(errors).mean(), 1 - jiwer.cer([text or " " for text in texts], read)


def train_part(part: str, model: HubertModel, train: list[tuple[np.ndarray, str]], heldout: list[tuple[np.ndarray, str]], steps: int) -> dict:
    rng = np.random.default_rng(SEED)
    waves, dev = [w for w, _ in train], [w for w, _ in heldout]
    if part == "ctc":
        with Pool(2) as pool:
            train_targets, dev_targets = pool.map(prosody, waves, chunksize=50), pool.map(prosody, dev, chunksize=10)
        every = np.concatenate(train_targets)
        mean, deviation = every.mean(axis=0), every.std(axis=0)
        train_targets, dev_targets = ([(t - mean) / deviation for t in targets] for targets in (train_targets, dev_targets))
        texts = {id(train_targets): [t for _, t in train], id(dev_targets): [t for _, t in heldout]}
        head: nn.Module = SpeechHead(CONFIG.hidden_size, len(mean))
        model.config.mask_time_prob = 0.05

        def loss_of(indices, source, targets, rng):
            said = texts[id(targets)]
            return speech_loss(model, head, [source[i] for i in indices], [said[i] for i in indices], [targets[i] for i in indices])

    else:
        teacher = HubertModel(CONFIG)
        teacher.load_state_dict(model.state_dict())

        def features(wave: np.ndarray) -> np.ndarray:
            return mfcc(wave, frame_count(model, len(wave))) if part == "units-mfcc" else hidden(teacher, wave, 4)

        train_targets, kmeans = units(waves, features, CODES[part], rng)
        dev_targets = [kmeans.predict(features(wave)) for wave in dev]
        if part != "units-mfcc":  # each iteration starts afresh on the new units
            torch.manual_seed(SEED + 1)
            model.load_state_dict(HubertModel(CONFIG).state_dict())
        head = UnitHead(CONFIG.hidden_size, CODES[part])

        def loss_of(indices, source, targets, rng):
            return unit_loss(model, head, [source[i] for i in indices], [targets[i] for i in indices], rng)

    params = [p for p in [*model.parameters(), *head.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    cap = 60.0 if part == "ctc" else CROP_SECONDS
    stream = batches([min(len(w) / 16_000, cap) for w in waves], rng)
    start, running = time.time(), []
    for step in range(1, steps + 1):
        model.train()
        warm = 0.08 * steps
        rate = PEAK_RATE[part] * (step / warm if step < warm else max(0.02, (steps - step) / (steps - warm)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, right = loss_of(next(stream), waves, train_targets, rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 5.0)
        optimizer.step()
        running.append((float(loss), right))
        if step % 100 == 0:
            mean = np.mean(running[-100:], axis=0)
            print(f"{part} {step}/{steps} loss {mean[0]:.3f} right {mean[1]:.3f} {(time.time() - start) / step:.2f} s/step", flush=True)
    model.eval()
    rng = np.random.default_rng(SEED)
    with torch.no_grad():
        if part != "ctc":
            model.train()  # masks are laid in training mode only; nothing else differs, there is no dropout
        results = [loss_of([i], dev, dev_targets, rng) for i in range(len(dev))]
        model.eval()
    scores = np.mean([[float(loss), right] for loss, right in results], axis=0)
    return {
        "part": part,
        "steps": steps,
        "seconds": round(time.time() - start),
        "heldout_loss": round(float(scores[0]), 4),
        "heldout_right": round(float(scores[1]), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every part's steps")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    train, heldout = load(args.train), load(args.heldout)
    print(f"{sum(len(w) for w, _ in train) / 57.6e6:.2f} h to train on, {sum(len(w) for w, _ in heldout) / 57.6e6:.2f} h held out", flush=True)
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
        Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
        (folder / "done.json").write_text(json.dumps(log[-1]) + "\n")
        print(log[-1], flush=True)
    model.to(torch.bfloat16).save_pretrained(args.out / "final")
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(args.out / "final")
    (args.out / "final" / "training.json").write_text(json.dumps(log, indent=1) + "\n")


if __name__ == "__main__":
    main()
