"""Long recordings in pieces: cuts in pauses, no gap, few samples in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile

from serdesc.data import cutting
from serdesc.data.audio import AudioError

RATE = 16_000


def bursts(seconds: int, period: float = 3.0, voiced: float = 2.4) -> np.ndarray:
    """A tone of 2.4 s, and 0.6 s of silence, again and again."""
    t = np.arange(seconds * RATE) / RATE
    return np.where(t % period < voiced, 0.3 * np.sin(2 * np.pi * 200 * t), 0).astype(np.float32)


def test_pieces_end_in_pauses_and_have_every_sample(tmp_path: Path) -> None:
    wave = bursts(60)
    path = tmp_path / "long.wav"
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    pieces = list(cutting.pieces(path, 8.0))
    assert np.array_equal(np.concatenate([piece.wave for piece in pieces]), wave)  # type: ignore[misc]
    assert all(piece.end - piece.start <= 8.0 for piece in pieces)
    assert [piece.start for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    for piece in pieces[:-1]:
        assert 2.4 < piece.end % 3.0 < 3.0


def test_files_of_ffmpeg_are_cut_alike(tone: Callable[..., Path], tmp_path: Path) -> None:
    import av

    wave = bursts(30)
    path = tmp_path / "long.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    pieces = list(cutting.pieces(path, 8.0))
    assert len(pieces) >= 5 and abs(pieces[-1].end - 30) < 0.2
    assert all(isinstance(piece.wave, np.ndarray) for piece in pieces)


def test_a_piece_of_silence_has_the_reason(tmp_path: Path) -> None:
    wave = np.concatenate([bursts(6), np.zeros(20 * RATE, np.float32), bursts(6)])
    path = tmp_path / "gap.wav"
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    errors = [p for p in cutting.pieces(path, 5.0) if isinstance(p.wave, AudioError)]
    assert errors and all("silent" in str(piece.wave) for piece in errors)
    assert "gap.wav, " in errors[0].wave.place  # type: ignore[union-attr]


def test_what_is_no_sound_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"no sound at all " * 100)
    with pytest.raises(AudioError):
        list(cutting.pieces(tmp_path / "x.wav", 5.0))


def test_a_long_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "hour.wav"
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for _ in range(20):
            file.write(bursts(60))
    tracemalloc.start()
    count = sum(1 for _ in cutting.pieces(path, 10.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count >= 120 and peak < 20e6  # 77 MB as float32
