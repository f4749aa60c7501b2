"""How an espeak-ng voice acts an emotion and stresses a word: the maker behind `mini` and the built-in models' speech.

An emotion is a point in four knobs (rate, pitch, range, pauses), in units of the spread of one utterance around it. Every
voice has its own level on each knob, and every utterance its own draw, so the emotions overlap on each knob and only the
four together tell them apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from serdesc.data import audio
from serdesc.data.datadir import Utterance
from serdesc.data.espeak import Prosody, synthesise
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
UTTERANCE_SPREAD = 0.5  # standard deviation of an utterance's draw, on every knob
VOICE_SPREAD = 0.7  # half-width of the range in which a voice's own level lies, on every knob


@dataclass(frozen=True)
class Line:
    """What is said and how: everything that determines one made utterance."""

    utt_id: str
    voice: str  # espeak-ng voice, for example en-us+f2
    gender: str
    words: tuple[str, ...]
    emphasis: int  # index of the stressed word
    emotion: str
    knobs: tuple[float, float, float, float]  # rate, pitch, range, pauses
    tract: float = (
        1.0  # length of the vocal tract against the voice's own: formants and pitch divide by it
    )

    @property
    def text(self) -> str:
        return " ".join(self.words)


def voice_level(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-VOICE_SPREAD, VOICE_SPREAD, 4)


def draw_knobs(
    emotion: str, level: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    rate, pitch, width, pauses = (
        np.array(CENTRES[emotion]) + level + rng.normal(0, UTTERANCE_SPREAD, 4)
    )
    return round(rate, 3), round(pitch, 3), round(width, 3), round(pauses, 3)


def prosody(knobs: tuple[float, float, float, float]) -> Prosody:
    rate, pitch, width, pauses = knobs
    return Prosody(
        rate=int(np.clip(165 * math.exp(0.16 * rate), 90, 320)),
        pitch=int(np.clip(45 + 13 * pitch, 0, 99)),
        range=int(np.clip(50 + 20 * width, 0, 99)),
        word_gap=int(np.clip(3 + 3 * pauses, 0, 12)),
    )


def ssml(line: Line) -> str:
    words = [escape(word) for word in line.words]
    words[line.emphasis] = (
        f'<prosody pitch="+40%" rate="75%" volume="x-loud">{words[line.emphasis]}</prosody>'
    )
    return f"<speak>{' '.join(words)}</speak>"


def act(line: Line) -> tuple[np.ndarray, list[tuple[float, str, bool]]]:
    """The line as spoken: float32 samples at 16 kHz, peak at most 0.9; and where each phoneme starts (s) and if its word is stressed.

    Call it in a child process (see espeak.each_in_child).
    """
    import soxr

    text = ssml(line)
    wave, sample_rate, phones = synthesise(text, line.voice, prosody(line.knobs))
    wave = soxr.resample(wave, sample_rate / line.tract, SAMPLE_RATE)
    stressed = range(text.index("<prosody"), text.index("</prosody>"))
    timed = [
        (phone.start * line.tract, phone.name, phone.position - 1 in stressed) for phone in phones
    ]
    return np.asarray(wave * (0.9 / max(0.9, float(np.abs(wave).max()))), dtype=np.float32), timed


def write(line: Line, path: Path, with_phones: bool = False) -> None:
    """Act the line into a 16-bit wav file, which appears under its name only when it is complete.

    With phones, `path` with suffix .phones holds a line for each: start in seconds, name, 1 in the stressed word and 0 elsewhere.
    """
    import soundfile

    wave, phones = act(line)
    if with_phones:
        path.with_suffix(".phones").write_text(
            "".join(
                f"{start:.4f}\t{name}\t{int(stress)}\n" for start, name, stress in phones if name
            )
        )
    with atomic_path(path) as aside:
        soundfile.write(aside, wave, SAMPLE_RATE, format="WAV", subtype="PCM_16")


def utterance(line: Line, path: Path, session: str | None = None) -> Utterance:
    """The line as an entry of a data directory; the speaker is what stands before the first hyphen of its id."""
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
