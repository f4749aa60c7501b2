"""hubert-mini's architecture, and its inputs and outputs during pretraining.

Shapes: B recordings, S samples, T frames, D width.
"""

from __future__ import annotations

import math
from typing import Any, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel

BF16 = False  # compute in bfloat16; pretrain_hubert.py sets it from --bf16
BATCH_SECONDS, CROP_SECONDS = 20.0, 6.0
HOP = 320  # samples from frame to frame
CHARACTERS = "-' abcdefghijklmnopqrstuvwxyz"  # the hyphen is CTC's blank
SPREAD_LAYERS = (1, 3, 5)  # layers whose deviation over time is a target in part 4
CONFIG = HubertConfig(
    hidden_size=192,
    num_hidden_layers=6,
    num_attention_heads=4,
    intermediate_size=768,
    conv_dim=(64, 128, 192, 192),
    conv_kernel=(20, 8, 6, 4),
    conv_stride=(10, 4, 4, 2),
    num_feat_extract_layers=4,
    conv_bias=True,
    feat_extract_norm="layer",
    do_stable_layer_norm=True,
    num_conv_pos_embeddings=32,
    num_conv_pos_embedding_groups=4,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    feat_proj_dropout=0.0,
    layerdrop=0.0,
    mask_time_prob=0.65,
    mask_time_length=10,
    vocab_size=len(CHARACTERS),
)


def batches(seconds: list[float], rng: np.random.Generator) -> Iterator[list[int]]:
    """Endless batches of about BATCH_SECONDS: recordings of similar length, in random order."""
    while True:
        order = sorted(range(len(seconds)), key=lambda i: seconds[i] + rng.uniform(0, 0.3))
        groups: list[list[int]] = [[]]
        for i in order:
            if groups[-1] and seconds[i] * (len(groups[-1]) + 1) > BATCH_SECONDS:
                groups.append([])
            groups[-1].append(i)
        for i in rng.permutation(len(groups)):
            yield groups[int(i)]


def pad(waves: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """(B, S) samples and their mask."""
    length = max(map(len, waves))
    x, mask = torch.zeros(len(waves), length), torch.zeros(len(waves), length, dtype=torch.long)
    for row, wave in enumerate(waves):
        x[row, : len(wave)] = torch.from_numpy(wave)
        mask[row, : len(wave)] = 1
    return x, mask


def random_gains(
    waves: list[np.ndarray], rng: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray]:
    """The waves at random levels, and their gains (B,), natural logarithms."""
    gains = rng.uniform(-4.0, 0.7, len(waves))
    return [wave * np.float32(math.exp(gain)) for wave, gain in zip(waves, gains)], gains


def frame_count(model: HubertModel, samples: int) -> int:
    return int(model._get_feat_extract_output_lengths(torch.tensor(samples)))


def hidden_states(model: HubertModel, x: Tensor, **settings: Any) -> tuple[Tensor, ...]:
    """The hidden states of all layers (B, T, D), float32; the last one normalised."""
    with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
        output = model(x, output_hidden_states=True, **settings)
    states = [state.float() for state in output.hidden_states[:-1]]
    return (*states, output.last_hidden_state.float())


@torch.no_grad()
def layer_states(model: HubertModel, wave: np.ndarray, layer: int) -> np.ndarray:
    """(T, D) hidden states of one layer and one wave."""
    model.eval()
    return np.asarray(hidden_states(model, torch.from_numpy(wave)[None])[layer][0])


@torch.no_grad()
def spread(model: HubertModel, wave: np.ndarray) -> np.ndarray:
    """(3 D,) deviation over time of the normalised hidden states of SPREAD_LAYERS."""
    model.eval()
    states = hidden_states(model, torch.from_numpy(wave)[None])
    deviations = []
    for layer in SPREAD_LAYERS:
        normalised = nn.functional.layer_norm(states[layer][0], (CONFIG.hidden_size,))
        deviations.append(normalised.std(dim=0).numpy())
    return np.concatenate(deviations)
