"""A data directory for other toolkits: one CSV table, or Lhotse's manifests."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Callable, Iterable, Sequence

from serdesc.data import audio, datadir, recording
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import atomic_path


def to_csv(utterances: Sequence[Utterance], out: Path) -> list[Path]:
    """out/data.csv with one row an utterance, as `serdesc prepare csv` reads it, and labels."""
    import pandas as pd

    rows = []
    for utt in utterances:
        start, end = utt.span or (None, None)
        row: dict[str, Any] = {
            "id": utt.utt_id,
            "audio": str(Path(utt.wav).absolute()),
            "start": start,
            "end": end,
            "speaker": utt.spk,
            "text": utt.text,
            "emotion": utt.emotion,
            "gender": utt.gender,
            "age": utt.age,
            "session": utt.session,
            "caption": utt.caption,
        }
        labels = utt.labels.to_dict() if utt.labels else {}
        for name, value in labels.items():
            if name not in ("transcript", "emotion", "gender", "age"):
                row[f"label_{name}"] = " ".join(value) if isinstance(value, tuple) else value
        rows.append(row)
    table = pd.DataFrame(rows).dropna(axis="columns", how="all")
    path = out / "data.csv"
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
    return [path]


def to_lhotse(utterances: Sequence[Utterance], out: Path) -> list[Path]:
    """out/recordings.jsonl.gz and out/supervisions.jsonl.gz, as Lhotse reads them.

    https://lhotse.readthedocs.io/en/latest/corpus.html. Emotion, age and caption are in `custom`.
    """
    recordings: dict[str, dict[str, Any]] = {}
    supervisions = []
    for utt in utterances:
        name = utt.recording or utt.utt_id
        if name not in recordings:
            recordings[name] = _recording(name, utt.wav)
        start, end = utt.span or (0.0, recordings[name]["duration"])
        custom: dict[str, Any] = {"emotion": utt.emotion, "age": utt.age, "caption": utt.caption}
        if utt.labels:
            custom["labels"] = {k: v for k, v in utt.labels.to_dict().items() if v is not None}
        row: dict[str, Any] = {
            "id": utt.utt_id,
            "recording_id": name,
            "start": start,
            "duration": round(end - start, 6),
            "channel": utt.channel or 0,
            "text": utt.text,
            "speaker": utt.spk,
            "gender": utt.gender and utt.gender.capitalize(),
            "custom": {key: value for key, value in custom.items() if value is not None},
        }
        supervisions.append({key: value for key, value in row.items() if value not in (None, {})})
    paths = [out / "recordings.jsonl.gz", out / "supervisions.jsonl.gz"]
    for path, rows in zip(paths, (recordings.values(), supervisions)):
        _write(path, rows)
    return paths


def _recording(name: str, wav: str) -> dict[str, Any]:
    try:
        rate, samples, channels = recording.properties(wav)
    except audio.AudioError as error:
        raise error.at(wav, name)
    source = {
        "type": "file",
        "channels": list(range(channels)),
        "source": str(Path(wav).absolute()),
    }
    return {
        "id": name,
        "sources": [source],
        "sampling_rate": rate,
        "num_samples": samples,
        "duration": samples / rate,
    }


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        # Without a time and a name in it: the same data give the same bytes.
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:
            for row in rows:
                compressed.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


FORMATS: dict[str, Callable[[Sequence[Utterance], Path], list[Path]]] = {
    "csv": to_csv,
    "lhotse": to_lhotse,
}


def export(data: Path, out: Path, to: str) -> list[Path]:
    """Write a data directory, or a part of a fold, in another format; returns the files."""
    if to not in FORMATS:
        raise UserError(f"--to {to}: not known; known are {', '.join(FORMATS)}")
    return FORMATS[to](datadir.read(data), out)
