"""Semantic similarity: cosine of the sentence embeddings of hypothesis and reference (x 100).

The mean over the references of a caption, then over the captions, as FENSE's and aac-metrics'
Sentence-BERT similarity (Zhou et al. 2022); SECap reports such a similarity too. The text is the
compared part of the caption, without tokenisation. `scoring.sentence_encoder` names the model of
sentence-transformers; without it nothing is loaded. The signature has the model and a hash of its
weights.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from serdesc.config import ScoringConfig
from serdesc.scoring.captions import Captions
from serdesc.scoring.java import NotComputed
from serdesc.scoring.metric import Counts, mean_of


@cache
def _encoder(name: str) -> Any:
    """The model, on the CPU. Raises NotComputed without the package, or if it cannot be loaded."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise NotComputed(
            "the semantic similarity needs the package sentence-transformers: "
            'pip install "serdesc[similarity]"'
        ) from None
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    try:
        return SentenceTransformer(name, device="cpu").eval()
    except Exception as error:  # of any of the libraries below it
        reason = " ".join(str(error).split())[:200]
        raise NotComputed(
            f"scoring.sentence_encoder={name}: no such model of sentence-transformers, as folder "
            f"or id ({type(error).__name__}: {reason})"
        ) from error


@cache
def _weights(name: str) -> str:
    """Eight digits of the sha256 of the model's weights, in the order of their names."""
    digest = hashlib.sha256()
    for key, tensor in sorted(_encoder(name).state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def _count(captions: Captions) -> list[Counts]:
    texts = list(dict.fromkeys([*captions.hyps, *chain.from_iterable(captions.references)]))
    encoded = _encoder(captions.config.sentence_encoder).encode(
        texts, normalize_embeddings=True, show_progress_bar=False
    )
    vectors: dict[str, np.ndarray] = dict(zip(texts, encoded.astype(np.float64)))
    rows: list[Counts] = []
    for hyp, refs in zip(captions.hyps, captions.references):
        cosines = [vectors[hyp] @ vectors[ref] for ref in refs]
        rows.append({"n": 1, "sum": float(np.mean(cosines)) if hyp else 0.0})
    return rows


def _signs(config: ScoringConfig) -> dict[str, str]:
    """The name of the model and its hash; not the path of a folder, which differs by machine."""
    name = config.sentence_encoder
    if not name:
        return {}
    try:
        weights = _weights(name)
    except NotComputed:
        weights = "none"
    shown = Path(name).name if Path(name).is_dir() else name
    return {"tokens": "raw", "punctuation": "kept", "encoder": shown, "weights": weights}


METRICS = [
    mean_of(
        "sentence_similarity",
        "sentence similarity",
        _count,
        column=27,
        signs=_signs,
        needs="sentence_encoder",
        bounds=(-100, 100),
    )
]
