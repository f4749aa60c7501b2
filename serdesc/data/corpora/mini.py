"""mini: a synthetic corpus of five sessions with two voices each, small enough for a laptop.

250 sentences of a closed vocabulary, 50 a session and 25 a voice, in four emotions: 1000
utterances. Every word of a session occurs in another session, no sentence does. `fingerprint()`
is a hash of all utterances; the recipe's conf/mini.yaml has the expected value.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Iterator

import numpy as np

from serdesc.config import PrepareConfig
from serdesc.data import acting, audio, espeak
from serdesc.data.acting import EMOTIONS, Line
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.progress import progress

SEED = 20250817
SENTENCES_PER_VOICE = 25
# one female and one male voice a session
VOICES = (("f1", "m1"), ("f2", "max"), ("f4", "m6"), ("linda", "victor"), ("Annie", "boris"))

Sentence = tuple[tuple[str, ...], tuple[int, ...]]  # words, indices of the content words

WORDS = {
    "person": (
        "farmer teacher doctor sister brother captain neighbour"
        " driver baker singer soldier painter"
    ).split(),
    "name": "anna peter maria oliver helen martin".split(),
    "adj": (
        "green heavy broken little golden empty famous" " hungry purple simple modern silver"
    ).split(),
    "object": (
        "bottle window basket letter camera hammer pillow" " ticket candle engine button mirror"
    ).split(),
    "objects": "apples boxes flowers papers horses tables stories pictures".split(),
    "verb": "carry follow open finish borrow measure remember deliver".split(),
    "verbed": "carried followed opened finished borrowed measured remembered delivered".split(),
    "verbing": "waiting working singing sleeping talking running".split(),
    "place": "river station garden kitchen market village hospital mountain".split(),
    "number": "seven eleven twenty thirty forty ninety".split(),
    "time": "today tomorrow tonight yesterday again later".split(),
    "adverb": "always often never still quietly slowly".split(),
}
TEMPLATES = (
    "the {adj} {person} {verbed} the {object}",
    "{name} {verbed} a {adj} {object} near the {place}",
    "please {verb} the {object} at the {place}",
    "we should {verb} {number} {objects} {time}",
    "my {person} is {adverb} {verbing} in the {place}",
    "the {object} and the {objects} are in the {place}",
    "our {person} {verbed} {number} {objects} {time}",
    "did the {person} {verb} the {adj} {object}",
    "{name} and the {person} are {adverb} {verbing} {time}",
    "there were {number} {adj} {objects} behind the {place}",
)


def _draw_sentence(template: str, rng: np.random.Generator) -> Sentence:
    words, content = [], []
    for i, slot in enumerate(template.split()):
        if slot.startswith("{"):
            content.append(i)
            slot = str(rng.choice(WORDS[slot[1:-1]]))
        words.append(slot)
    return tuple(words), tuple(content)


def _draw_sessions(seed: int) -> list[list[Sentence]]:
    """The sentences of each session; no sentence occurs twice."""
    rng = np.random.default_rng(seed)
    seen: set[tuple[str, ...]] = set()
    sessions: list[list[Sentence]] = []
    for _ in VOICES:
        session: list[Sentence] = []
        while len(session) < 2 * SENTENCES_PER_VOICE:
            words, content = _draw_sentence(TEMPLATES[len(session) % len(TEMPLATES)], rng)
            if words not in seen and len({words[i] for i in content}) == len(content):
                seen.add(words)
                session.append((words, content))
        sessions.append(session)
    return sessions


def _every_word_elsewhere(sessions: list[list[Sentence]]) -> bool:
    """Whether each word of a session occurs in another session."""
    vocabularies: list[set[str]] = []
    for session in sessions:
        vocabularies.append({word for words, _ in session for word in words})
    for i, vocabulary in enumerate(vocabularies):
        others: set[str] = set().union(*vocabularies[:i], *vocabularies[i + 1 :])
        if not vocabulary <= others:
            return False
    return True


@cache
def lines() -> tuple[Line, ...]:
    """All utterances, sorted by id: <session><sex>-<sentence>-<emotion>."""
    seed = SEED
    while not _every_word_elsewhere(sessions := _draw_sessions(seed)):
        seed += 1
    rng = np.random.default_rng(seed + 1_000_000)
    drawn: list[Line] = []
    for number, (session, variants) in enumerate(zip(sessions, VOICES), start=1):
        for v, variant in enumerate(variants):
            sentences = []
            for i, sentence in enumerate(session):
                # The voices alternate in each round of templates: words do not predict the sex.
                if (i + i // len(TEMPLATES)) % 2 == v:
                    sentences.append(sentence)
            drawn += _lines_of_voice(number, ("female", "male")[v], variant, sentences, rng)
    return tuple(sorted(drawn, key=lambda line: line.utt_id))


def _lines_of_voice(
    session: int, gender: str, variant: str, sentences: list[Sentence], rng: np.random.Generator
) -> Iterator[Line]:
    level = acting.voice_level(rng)
    for n, (words, content) in enumerate(sentences, start=1):
        for emotion in EMOTIONS:
            yield Line(
                utt_id=f"{session:02d}{gender[0].upper()}-{n:02d}-{emotion}",
                voice=f"en-us+{variant}",
                gender=gender,
                words=words,
                emphasis=int(rng.choice(content)),
                emotion=emotion,
                knobs=acting.draw_knobs(emotion, level, rng),
            )


def fingerprint() -> str:
    """sha256 of all utterances: words, voice, emotion, knobs, SSML and prosody."""
    rows = []
    for line in lines():
        rows.append([*astuple(line), acting.ssml(line), *astuple(acting.prosody(line.knobs))])
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def make(folder: Path, config: PrepareConfig, nj: int) -> None:
    """Synthesise the missing utterances into `folder`.

    Raises UserError if `config.fingerprint` is set and differs from the generator's.
    """
    expected = config.fingerprint
    if expected and expected != fingerprint():
        raise UserError(
            f"mini's generator is {fingerprint()}, but prepare.fingerprint in the configuration is"
            f" {expected}: scores would not be comparable. Use the version of serdesc that the"
            " recipe belongs to."
        )
    folder.mkdir(parents=True, exist_ok=True)
    missing = [line for line in lines() if not audio.seconds_or_none(_wav(folder, line))]
    if missing:

        def synthesise(i: int) -> None:
            acting.write(missing[i], _wav(folder, missing[i]))

        with progress("synthesise", len(missing), "utterances") as advance:
            espeak.run_forked(synthesise, range(len(missing)), nj, done=lambda: advance(1))


def utterances(folder: Path, config: PrepareConfig = PrepareConfig()) -> Iterator[Utterance]:
    for line in lines():
        yield acting.utterance(line, _wav(folder, line), session=f"session{line.utt_id[:2]}")


def word_times(folder: Path) -> Iterator[str]:
    """Lines of a CTM with the words that espeak-ng timed, of the utterances that have them."""
    for line in lines():
        path = _wav(folder, line).with_suffix(".ctm")
        if path.exists():
            yield path.read_text()


def _wav(folder: Path, line: Line) -> Path:
    return folder / f"{line.utt_id}.wav"
