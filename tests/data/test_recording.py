"""Recordings whose header and content differ, and formats that libsndfile does not read.

Right lengths are known from the samples that were written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from serdesc.data import audio, recording

SECONDS = 3
SWEEP = 0.3 * np.sin(np.cumsum(np.linspace(0.05, 0.4, SECONDS * 16_000)))
WAVE = (SWEEP + np.random.default_rng(0).normal(0, 0.01, len(SWEEP))).astype(np.float32)


def encode(path: Path, codec: str, container: str, rate: int = 16_000, **options: str) -> Path:
    """WAVE in a format that FFmpeg writes."""
    with av.open(str(path), "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(stream.codec_context.format.name, "mono", rate)
        fifo = av.AudioFifo()
        frame = av.AudioFrame.from_ndarray(WAVE[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            part.pts = None
            fifo.write(part)
        while part := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def pitch_at_end(wave: np.ndarray) -> float:
    """Hz; the sweep of WAVE ends at 1019 Hz."""
    tail = wave[-4000:-800]
    return float(np.abs(np.fft.rfft(tail * np.hanning(len(tail)))).argmax() * 16_000 / len(tail))


@pytest.mark.parametrize(
    "name, codec, container, delay",
    [
        ("a.m4a", "aac", "ipod", 0.1),
        ("a.m4a", "alac", "ipod", 0.0),
        ("a.aac", "aac", "adts", 0.2),
        ("a.mp4", "aac", "mp4", 0.1),
        ("a.webm", "libopus", "webm", 0.02),
        ("a.mka", "flac", "matroska", 0.0),
        ("a.ac3", "ac3", "ac3", 0.05),
        ("a.amr", "libopencore_amrnb", "amr", 0.05),
    ],
)
def test_formats_of_telephones_and_browsers(
    tmp_path: Path, name: str, codec: str, container: str, delay: float
) -> None:
    rate = {"libopus": 48_000, "ac3": 48_000, "libopencore_amrnb": 8000}.get(codec, 16_000)
    path = encode(tmp_path / name, codec, container, rate)
    wave = audio.load(path)
    assert len(wave) / 16_000 == pytest.approx(SECONDS, abs=delay + 1e-3)
    assert audio.seconds(path) == pytest.approx(len(wave) / 16_000, abs=1e-3)
    middle = audio.load(path, span=(1.0, 1.5))
    np.testing.assert_allclose(middle[100:-100], wave[16_100:23_900], atol=2e-3)
    assert len(audio.load(path, max_seconds=0.5)) == 8000
    assert len(audio.load(path, max_seconds=0.5, span=(1.0, 2.0))) == 8000
    with pytest.raises(audio.AudioError, match="before the end of the segment at 4.00 s"):
        audio.load(path, span=(2.0, 4.0))


FLAC, WAV = {"subtype": "PCM_16"}, {"subtype": "PCM_16", "format": "WAV"}


def written(path: Path, **options: Any) -> bytes:
    soundfile.write(path, WAVE, 16_000, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    "name, options, within",
    [
        ("a.flac", FLAC, 0.0),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}, 0.001),
        ("a.ogg", {"format": "OGG", "subtype": "VORBIS"}, 0.05),
        ("a.mp3", {"format": "MP3"}, 0.2),
    ],
)
def test_joined_files_are_read_to_their_end(
    tmp_path: Path, name: str, options: dict[str, str], within: float
) -> None:
    """As `cat a.opus a.opus` makes them; libsndfile reads the first."""
    once = written(tmp_path / name, **options)
    (tmp_path / f"joined-{name}").write_bytes(once + once)
    wave = audio.load(tmp_path / f"joined-{name}")
    assert len(wave) / 16_000 == pytest.approx(2 * SECONDS, abs=within)
    assert pitch_at_end(wave) == pytest.approx(1000, abs=30)
    assert recording.seconds(tmp_path / f"joined-{name}") == pytest.approx(
        2 * SECONDS, abs=max(within, 1e-4)
    )


def test_mp3_with_tags_between_joined_files(tmp_path: Path) -> None:
    once = encode(tmp_path / "a.mp3", "libmp3lame", "mp3").read_bytes()
    assert once.startswith(b"ID3")
    (tmp_path / "b.mp3").write_bytes(once + once)
    assert audio.seconds(tmp_path / "b.mp3") == pytest.approx(2 * SECONDS, abs=0.2)


def test_joined_wav_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.wav").write_bytes(2 * written(tmp_path / "a.wav", **WAV))
    with pytest.raises(audio.AudioError, match="2 WAV files in one: split them"):
        audio.load(tmp_path / "b.wav")


def test_flac_without_length_and_wav_with_an_unfinished_header(tmp_path: Path) -> None:
    flac = bytearray(written(tmp_path / "a.flac", **FLAC))
    flac[21] &= 240
    flac[22:26] = bytes(4)
    (tmp_path / "b.flac").write_bytes(flac)
    wav = bytearray(written(tmp_path / "a.wav", **WAV))
    wav[40:44] = bytes(4)
    (tmp_path / "b.wav").write_bytes(wav)
    for name in ("b.flac", "b.wav"):
        assert audio.seconds(tmp_path / name) == SECONDS
        np.testing.assert_allclose(audio.load(tmp_path / name), WAVE, atol=1e-4)


def test_variable_bitrate_mp3_without_xing_header(tmp_path: Path) -> None:
    """libsndfile guesses its length from the first frame."""
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w", format="mp3", options={"write_xing": "0"}) as file:
        options = {"global_quality": "300", "flags": "+qscale"}
        stream = file.add_stream("libmp3lame", rate=16_000, layout="mono", options=options)
        noise = np.random.default_rng(0).normal(0, 0.3, 160_000)
        samples = np.concatenate([WAVE, 1e-4 * noise, noise]).astype(np.float32)
        for start in range(0, len(samples), 576):
            frame = av.AudioFrame.from_ndarray(
                samples[None, start : start + 576], format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 16_000, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    expected = len(samples) / 16_000
    assert abs(soundfile.info(path).duration - expected) > 2
    assert audio.seconds(path) == pytest.approx(expected, abs=0.2)


def test_gsm_cannot_seek(tmp_path: Path) -> None:
    path = tmp_path / "gsm.wav"
    soundfile.write(path, WAVE[::2], 8000, subtype="GSM610")
    whole = audio.load(path)
    assert len(whole) / 16_000 == pytest.approx(SECONDS, abs=0.05)
    part = audio.load(path, span=(1.0, 2.0))
    np.testing.assert_allclose(part[100:-100], whole[16_100:31_900], atol=1e-3)


def test_a_header_that_declares_more_than_memory_holds(tmp_path: Path) -> None:
    flac = bytearray(written(tmp_path / "a.flac", **FLAC))
    flac[21] |= 15
    flac[22:26] = b"\xff" * 4  # 2^36 - 1 samples, 1193 hours
    (tmp_path / "b.flac").write_bytes(flac)
    with pytest.raises(audio.AudioError, match="cut off|not readable|longer than"):
        audio.load(tmp_path / "b.flac")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "0 bytes"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n",
            "Git LFS pointer: .* pull",
        ),
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page: download the file again"),
        (b"utt1 a transcript\n", "not readable as audio: text"),
        (
            (WAVE * 32767).astype("<i2").tobytes(),
            "Samples without a header need one, .* sox -t raw",
        ),
    ],
)
def test_files_that_are_no_audio_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    for read in (audio.load, audio.seconds):
        with pytest.raises(audio.AudioError, match=message):
            read(path)


def test_truncated_files(tmp_path: Path) -> None:
    cases = [
        ("a.m4a", encode(tmp_path / "m.m4a", "aac", "ipod"), -3000, "its index .moov. is missing"),
        ("a.aac", encode(tmp_path / "m.aac", "aac", "adts"), -3100, "broken after 2.[0-9]+ s"),
        ("a.mka", encode(tmp_path / "m.mka", "flac", "matroska"), -30_000, "cut off|broken after"),
    ]
    written(tmp_path / "m.opus", format="OGG", subtype="OPUS")
    cases.append(("a.opus", tmp_path / "m.opus", -1500, "cut off: the last page is missing"))
    written(tmp_path / "m.flac", **FLAC)
    cases.append(("a.flac", tmp_path / "m.flac", -9000, "not readable"))
    for name, path, end, message in cases:
        (tmp_path / name).write_bytes(path.read_bytes()[:end])
        with pytest.raises(audio.AudioError, match=message):
            audio.load(tmp_path / name)
            pytest.fail(f"{name} was accepted")


def test_bytes_after_the_end_are_no_sound(tmp_path: Path) -> None:
    for name, options in (("a.flac", FLAC), ("a.wav", WAV)):
        content = written(tmp_path / name, **options)
        (tmp_path / f"b-{name}").write_bytes(content + bytes(5000))
        assert len(audio.load(tmp_path / f"b-{name}")) == len(WAVE)


def test_pictures_without_sound(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            picture = np.zeros((32, 32, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    with pytest.raises(audio.AudioError, match="no sound in it, only pictures"):
        audio.load(tmp_path / "a.mp4")
