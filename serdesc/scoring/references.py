"""Reads reference captions, one or several of an utterance: the forms of hypotheses, and COCO's.

<utt_id> <caption>, hyp.jsonl, TSV ...       as hypotheses.py reads them; ids may be repeated
{"annotations": [{"image_id", "caption"}]}   COCO's annotations
{"<utt_id>": ["<caption>", ...], ...}        one JSON object
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Mapping, Sequence

from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import file_digest, read_text
from serdesc.scoring import hypotheses


@dataclass(frozen=True)
class References:
    """The reference captions of a file by utterance, and its hash."""

    name: str
    sha256: str
    captions: Mapping[str, list[str]]

    @property
    def count(self) -> str:
        """How many references an utterance of the file has: one number, or least-most."""
        counts = {len(captions) for captions in self.captions.values()}
        return "-".join(map(str, sorted({min(counts), max(counts)})))


def read(path: Path, utterances: Sequence[Utterance]) -> References:
    """The reference captions of a file; an utterance of the data must have one at least.

    Raises UserError with the file, and the line or the utterance.
    """
    captions: dict[str, list[str]] = {}
    for place, utt_id, caption in _pairs(path):
        if not isinstance(caption, str) or not caption.strip():
            raise UserError(f"{place}: the reference of '{utt_id}' is empty or no text: {caption}")
        captions.setdefault(utt_id, []).append(caption.strip())
    missing = [utt.utt_id for utt in utterances if utt.utt_id not in captions]
    if missing:
        raise UserError(
            f"{path}: no caption of {len(missing)} utterances, the first is '{missing[0]}': "
            "a line is `<utt_id> <caption>`, and an utterance may have several lines"
        )
    return References(path.name, file_digest(path), captions)


def _pairs(path: Path) -> list[tuple[str, str, Any]]:
    """(place for messages, utterance, caption) of each reference, in the order of the file."""
    tree = _object(path, read_text(path))
    if tree is None:
        rows = hypotheses.read(path)
        return [(f"{path}:{line}", row["utt_id"], row.get("response")) for line, row in rows]
    annotations = tree.get("annotations")
    if isinstance(annotations, list):
        return [(f"{path}", *_annotation(path, row)) for row in annotations]
    pairs: list[tuple[str, str, Any]] = []
    for utt_id, captions in tree.items():
        several = captions if isinstance(captions, list) else [captions]
        pairs += [(f"{path}", utt_id, caption) for caption in several]
    return pairs


def _object(path: Path, text: str) -> dict[str, Any] | None:
    """The JSON object that a text is as a whole, if it holds references; else None."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        tree = json.loads(text, object_pairs_hook=partial(_unique, path))
    except json.JSONDecodeError:  # JSON Lines
        return None
    return None if "utt_id" in tree else tree


def _unique(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key is repeated, whose last value would replace the others."""
    tree = dict(pairs)
    if len(tree) < len(pairs):
        keys = [key for key, _ in pairs]
        key = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"{path}: the key '{key}' is repeated in a JSON object: use a list")
    return tree


def _annotation(path: Path, row: Any) -> tuple[str, Any]:
    """The id, as text, and the caption of one of COCO's annotations."""
    if not isinstance(row, dict) or "image_id" not in row or "caption" not in row:
        raise UserError(f"{path}: an annotation needs image_id and caption, found {str(row)[:80]}")
    return str(row["image_id"]), row["caption"]
