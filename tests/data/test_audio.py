"""Audio of any format, segments, and audio that is rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile
from helpers.data import broken_files

from serdesc.data import audio, datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 8000}, {"rate": 48_000}, {"channels": 2}, {"subtype": "PCM_24"}, {"name": "x.flac"}, {"name": "x.ogg"}, {"subtype": "FLOAT"},
        {"rate": 44_100, "channels": 6, "subtype": "PCM_24"},
    ],
)  # fmt: skip
def test_any_audio_becomes_one_channel_at_16_khz(
    tone: Callable[..., Path], options: dict[str, object]
) -> None:
    wave = audio.load(tone(seconds=1.0, **options))
    assert wave.dtype == np.float32 and wave.ndim == 1 and abs(len(wave) - 16_000) <= 1
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    assert abs(int(spectrum.argmax()) - 220) <= 4  # still the same tone


def test_a_wav_from_a_pipe_knows_no_length_and_a_segment_before_the_cut_is_whole(
    tmp_path: Path, tone: Callable[..., Path]
) -> None:
    whole = bytearray(tone(seconds=1.0).read_bytes())
    (tmp_path / "cut.wav").write_bytes(whole[:20_044])
    assert len(audio.load(tmp_path / "cut.wav", span=(0.1, 0.5))) == 6400
    for unknown in (b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"):  # as ffmpeg and sox write it
        whole[40:44] = unknown
        (tmp_path / "piped.wav").write_bytes(whole)
        assert len(audio.load(tmp_path / "piped.wav")) == 16_000


def test_unusable_audio_is_refused_with_its_reason(
    tmp_path: Path, tone: Callable[..., Path]
) -> None:
    for kind, (path, reason) in broken_files(tmp_path).items():
        with pytest.raises(audio.AudioError, match=reason):
            audio.load(path)
            pytest.fail(f"{kind} was accepted")


def test_segments_of_long_recordings_are_heard_where_they_stand(tmp_path: Path) -> None:
    """An utterance of a recording has the recording's samples between its times, and only
    recordings stand in wav.scp.
    """
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000).astype(np.float32)
    soundfile.write(tmp_path / "long.flac", wave, 16_000, subtype="PCM_24")
    spans = {"rec_S1": (0.25, 1.0), "rec_S2": (1.5, 3.0)}
    utterances = [
        Utterance(i, str(tmp_path / "long.flac"), "a", text="x", recording="rec", span=span)
        for i, span in spans.items()
    ]
    assert datadir.write(tmp_path / "data", utterances) == datadir.read(tmp_path / "data")
    assert (tmp_path / "data" / "wav.scp").read_text() == f"rec {tmp_path}/long.flac\n"
    assert (
        tmp_path / "data" / "segments"
    ).read_text() == "rec_S1 rec 0.250 1.000\nrec_S2 rec 1.500 3.000\n"
    for utt in datadir.read(tmp_path / "data"):
        first, last = (int(16_000 * second) for second in spans[utt.utt_id])
        np.testing.assert_allclose(audio.load(utt.wav, span=utt.span), wave[first:last], atol=1e-6)
    assert len(audio.load(str(tmp_path / "long.flac"), max_seconds=0.5, span=(1.5, 3.0))) == 8000
    with pytest.raises(audio.AudioError, match="ends at 3.00 s"):
        audio.load(str(tmp_path / "long.flac"), span=(2.0, 3.1))
    (tmp_path / "data" / "segments").write_text("rec_S1 rec 0.250 0.1\nrec_S2 other 1.500 3.000\n")
    with pytest.raises(UserError, match="from 0.25 to 0.1 s") as error:
        datadir.read(tmp_path / "data")
    assert "recording 'other'" in str(error.value)


@pytest.mark.slow
def test_spans_of_a_long_opus_file_are_found_and_repeat_exactly(tmp_path: Path) -> None:
    """Random access differs from decoding it all by the codec's state alone, and an utterance never
    hears another second.
    """
    t = np.arange(120 * 16_000) / 16_000
    wave = 0.2 * np.sin(
        2 * np.pi * np.cumsum(200 + 20 * np.floor(t)) / 16_000
    )  # each second has a pitch of its own
    path = tmp_path / "long.opus"
    soundfile.write(path, wave, 16_000, format="OGG", subtype="OPUS")
    whole = audio.load(path)
    for start in np.random.default_rng(0).uniform(0, 115, 40):
        span = (float(start), float(start) + 2.5)
        part = audio.load(path, span=span)
        first = round(span[0] * 16_000)
        np.testing.assert_allclose(part, whole[first : first + 40_000], atol=0.0025)
        assert np.array_equal(part, audio.load(path, span=span))
