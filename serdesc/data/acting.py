"""Synthetic emotional speech: espeak-ng settings for an emotion and a stressed word.

Used by `mini` and by the speech that the built-in models are trained on. An emotion is a point in
four settings (rate, pitch, range, pauses), in units of their spread. Each voice has an offset and
each utterance a random draw in every setting, so that emotions overlap in each setting and only the
four together separate them.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence
from xml.sax.saxutils import escape

import numpy as np

from serdesc.data import audio
from serdesc.data.datadir import Utterance
from serdesc.data.espeak import Phone, Prosody, synthesise
from serdesc.files import atomic_path

SAMPLE_RATE = 16_000
EMOTIONS = ("angry", "happy", "neutral", "sad")
# emotion -> (rate, pitch, range, pauses)
CENTRES = {
    "angry": (1.2, -0.5, 1.0, -1.2),
    "happy": (0.5, 1.5, 1.4, -0.1),
    "neutral": (0.0, 0.0, -0.6, -0.3),
    "sad": (-1.3, -0.9, -1.0, 1.3),
}
UTTERANCE_SPREAD = 0.5  # standard deviation of an utterance's draw, in every setting
VOICE_SPREAD = 0.7  # largest offset of a voice, in every setting


@dataclass(frozen=True)
class Line:
    """Everything that determines one synthetic utterance."""

    utt_id: str
    voice: str  # espeak-ng voice, for example en-us+f2
    gender: str
    words: tuple[str, ...]
    emphasis: int  # index of the stressed word
    emotion: str
    knobs: tuple[float, float, float, float]  # rate, pitch, range, pauses
    tract: float = 1.0  # relative length of the vocal tract: formants and pitch are divided by it

    @property
    def text(self) -> str:
        return " ".join(self.words)


def voice_level(rng: np.random.Generator) -> np.ndarray:
    """(4,) offsets of a voice."""
    return rng.uniform(-VOICE_SPREAD, VOICE_SPREAD, 4)


def draw_knobs(
    emotion: str, level: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Rate, pitch, range and pauses of one utterance."""
    knobs = np.array(CENTRES[emotion]) + level + rng.normal(0, UTTERANCE_SPREAD, 4)
    rate, pitch, width, pauses = knobs
    return round(rate, 3), round(pitch, 3), round(width, 3), round(pauses, 3)


def prosody(knobs: tuple[float, float, float, float]) -> Prosody:
    """espeak-ng's settings."""
    rate, pitch, width, pauses = knobs
    return Prosody(
        rate=int(np.clip(165 * math.exp(0.16 * rate), 90, 320)),
        pitch=int(np.clip(45 + 13 * pitch, 0, 99)),
        range=int(np.clip(50 + 20 * width, 0, 99)),
        word_gap=int(np.clip(3 + 3 * pauses, 0, 12)),
    )


def ssml(line: Line) -> str:
    """The words, the stressed one in a prosody element."""
    words = [escape(word) for word in line.words]
    words[line.emphasis] = (
        f'<prosody pitch="+40%" rate="75%" volume="x-loud">{words[line.emphasis]}</prosody>'
    )
    return f"<speak>{' '.join(words)}</speak>"


def synthesise_line(line: Line) -> tuple[np.ndarray, list[tuple[float, str, bool]]]:
    """(S,) float32 samples at 16 kHz with a peak of at most 0.9, and the phonemes.

    Of each phoneme: start in seconds, name, whether its word is stressed. Call this in a child
    process (see espeak.run_forked).
    """
    wave, phones = _synthesised(line)
    return wave, _aligned(line, phones)


def _aligned(line: Line, phones: Sequence[Phone]) -> list[tuple[float, str, bool]]:
    text = ssml(line)
    stressed = range(text.index("<prosody"), text.index("</prosody>"))
    aligned = []
    for phone in phones:
        aligned.append((phone.start * line.tract, phone.name, phone.position - 1 in stressed))
    return aligned


def _synthesised(line: Line) -> tuple[np.ndarray, list[Phone]]:
    """The samples, and the phonemes as espeak-ng times them: for a vocal tract of length 1."""
    import soxr

    wave, sample_rate, phones = synthesise(ssml(line), line.voice, prosody(line.knobs))
    wave = soxr.resample(wave, sample_rate / line.tract, SAMPLE_RATE)
    gain = 0.9 / max(0.9, float(np.abs(wave).max()))
    return np.asarray(wave * gain, dtype=np.float32), phones


def _words_of(line: Line, phones: Sequence[Phone]) -> list[int]:
    """The index of each phoneme's word."""
    text, starts = ssml(line), []
    position = len("<speak>")
    for i, word in enumerate(line.words):
        last = "</prosody>" if i == line.emphasis else escape(word)
        starts.append(position)
        position = text.index(last, position) + len(last) + 1
    return [bisect.bisect_right(starts, phone.position - 1) - 1 for phone in phones]


def word_times(line: Line, phones: Sequence[Phone], seconds: float) -> list[str]:
    """Lines of a CTM: id, channel, start and length in seconds, word."""
    named = zip(phones, _words_of(line, phones))
    spoken = [(phone, word) for phone, word in named if phone.name and word >= 0]
    lines = []
    for i, word in enumerate(line.words):
        own = [k for k, (phone, index) in enumerate(spoken) if index == i and phone.name != "_"]
        if not own:
            continue
        end = seconds
        if own[-1] + 1 < len(spoken):
            end = spoken[own[-1] + 1][0].start * line.tract
        start = spoken[own[0]][0].start * line.tract
        lines.append(f"{line.utt_id} 1 {start:.3f} {end - start:.3f} {word}\n")
    return lines


def write(line: Line, path: Path, with_phones: bool = False) -> None:
    """Synthesise the line into a 16-bit wav file, atomically; its words' times into a .ctm file.

    with_phones: also write `path` with suffix .phones, a line a phoneme: start in seconds, name,
    1 in the stressed word or 0.
    """
    import soundfile

    wave, phones = _synthesised(line)
    if with_phones:
        rows = []
        for start, name, stressed in _aligned(line, phones):
            if name:
                rows.append(f"{start:.4f}\t{name}\t{int(stressed)}\n")
        path.with_suffix(".phones").write_text("".join(rows))
    times = word_times(line, phones, len(wave) / SAMPLE_RATE)
    path.with_suffix(".ctm").write_text("".join(times))
    with atomic_path(path) as temporary:
        soundfile.write(temporary, wave, SAMPLE_RATE, format="WAV", subtype="PCM_16")


def utterance(line: Line, path: Path, session: str | None = None) -> Utterance:
    """The line as an entry of a data directory; the speaker is its id up to the first hyphen."""
    return Utterance(
        utt_id=line.utt_id,
        wav=str(path),
        spk=line.utt_id.partition("-")[0],
        text=line.text,
        seconds=audio.seconds(path),
        emotion=line.emotion,
        emphasis=(line.words[line.emphasis],),
        gender=line.gender,
        session=session,
    )
