"""Broken audio files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from serdesc.data import audio


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """For each kind of fault a file, and what is said of it."""
    rng = np.random.default_rng(0)
    files = {
        "missing": "no such file", "empty": "not readable as audio", "no samples": "empty: no samples", "text": "not readable as audio",
        "nan": "not numbers", "silent": "silent",
    }  # fmt: skip
    paths = {kind: folder / f"{kind}.wav" for kind in files}
    paths["empty"].write_bytes(b"")
    paths["text"].write_text("this is not audio\n" * 20)
    soundfile.write(paths["no samples"], np.zeros(0), 16_000)
    soundfile.write(
        paths["nan"],
        np.where(np.arange(8000) == 17, np.nan, rng.normal(0, 0.1, 8000)),
        16_000,
        subtype="FLOAT",
    )
    soundfile.write(paths["silent"], np.zeros(16_000), 16_000)
    found = {kind: (path, files[kind]) for kind, path in paths.items()}
    for name, subtype, reason in (
        ("t.flac", "PCM_16", "not readable"), ("t.wav", "PCM_16", "cut off: the header declares 160000 samples, the file holds 79989"),
        ("f.wav", "FLOAT", "cut off"), ("t.aiff", "PCM_16", "cut off"), ("t.au", "PCM_16", "cut off"), ("t.mp3", "MPEG_LAYER_III", "cut off"),
        ("v.ogg", "VORBIS", "cut off: the last page"), ("o.ogg", "OPUS", "cut off: the last page"),
    ):  # fmt: skip
        soundfile.write(
            folder / name,
            0.3 * np.sin(np.arange(160_000) / 9 + rng.normal(0, 0.1, 160_000)),
            16_000,
            subtype=subtype,
        )
        found[name] = (folder / f"cut-{name}", reason)
        assert len(audio.load(folder / name)) == pytest.approx(160_000, abs=1200), name
        found[name][0].write_bytes((whole := (folder / name).read_bytes())[: len(whole) // 2])
    return found
