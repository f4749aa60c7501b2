"""Features in the precision of a store, and checksums of what is stored.

int8 has a range for each layer and dimension (L, D), and a scale for each layer and frame (L, T):
one huge value takes precision from its dimension alone. L layers, T frames, D encoder width.
"""

from __future__ import annotations

import zlib
from typing import Any, Mapping

import torch
from torch import Tensor

from serdesc.errors import UserError
from serdesc.runtime import DTYPES

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
SCALE = "#scale"  # suffix of an utterance's id: the scales of its 8-bit values, one a frame
RANGE = "#range"  # and one a dimension: encoders have dimensions a thousand times the others


class Damaged(Exception):
    """Stored features are not those that were written."""


def stored(utt_id: str, x: Tensor, dtype: str) -> dict[str, Tensor]:
    """The tensors of an utterance's features x (L, T, D), by name, in the stored precision.

    Raises UserError for values that the precision cannot hold, or that are no numbers.
    """
    if not bool(x.isfinite().all()):
        raise UserError(
            f"'{utt_id}': the encoder's output has values that are no numbers: with encoder.dtype"
            " float16 use bfloat16 or float32, else check the recording and the encoder"
        )
    if dtype != "int8":
        largest, limit = float(x.abs().max()), torch.finfo(DTYPES[dtype]).max
        if largest > limit:
            raise UserError(
                f"'{utt_id}': the encoder's output reaches {largest:.3g}, and store.dtype {dtype}"
                f" holds up to {limit:.3g}: extract to another STORE with --set"
                " store.dtype=bfloat16, which has the same size, or float32"
            )
        return {utt_id: x.to(DTYPES[dtype]).clone()}  # a copy, not a view of the batch
    largest_of = x.abs().amax(dim=1).clamp_min(1e-8)  # (L, D)
    x = x / largest_of[:, None]
    scale = x.abs().amax(dim=-1).clamp_min(1e-8) / 127  # (L, T)
    values = (x / scale[..., None]).round().to(torch.int8)
    return {utt_id: values, utt_id + SCALE: scale, utt_id + RANGE: largest_of}


def restored(utt_id: str, file: Any, checksums: Mapping[str, int]) -> Tensor:
    """x (L, T, D) in float32, of an open safetensors file.

    checksums: of the utterances, by id; none in stores before 0.5.0. Raises Damaged.
    """
    of_int8 = [utt_id + suffix for suffix in (SCALE, RANGE) if utt_id + suffix in file.keys()]
    tensors = [file.get_tensor(name) for name in (utt_id, *of_int8)]
    if checksums.get(utt_id, checksum(*tensors)) != checksum(*tensors):
        raise Damaged("its checksum differs")
    x: Tensor = tensors[0].float()
    if len(tensors) > 1:
        x = x * tensors[1][..., None]
    if len(tensors) > 2:  # not in stores of version 0.4
        x = x * tensors[2][:, None]
    return x


def checksum(*tensors: Tensor) -> int:
    """CRC-32 of the bytes of tensors, one after the other."""
    value = 0
    for tensor in tensors:
        value = zlib.crc32(tensor.contiguous().view(torch.uint8).numpy().data, value)
    return value
