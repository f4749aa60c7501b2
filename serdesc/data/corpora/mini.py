"""mini: a made corpus of five sessions of two voices, small enough to train on a laptop.

250 sentences of a closed vocabulary, 50 for each session, 25 for each voice, each spoken in four emotions: 1000 utterances.
Every word of a session is heard in another session, no sentence is. `fingerprint()` is the hash of everything the generator
decides; conf/mini.yaml of the recipe holds the value it was frozen at.
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

WORDS = {
    "person": "farmer teacher doctor sister brother captain neighbour driver baker singer soldier painter".split(),
    "name": "anna peter maria oliver helen martin".split(),
    "adj": "green heavy broken little golden empty famous hungry purple simple modern silver".split(),
    "object": "bottle window basket letter camera hammer pillow ticket candle engine button mirror".split(),
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


def _sentence(template: str, rng: np.random.Generator) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The words, and which of them are content words."""
    words, content = [], []
    for i, slot in enumerate(template.split()):
        if slot.startswith("{"):
            content.append(i)
            slot = str(rng.choice(WORDS[slot[1:-1]]))
        words.append(slot)
    return tuple(words), tuple(content)


def _draw(seed: int) -> list[list[tuple[tuple[str, ...], tuple[int, ...]]]]:
    """For each session its sentences, none of them twice."""
    rng = np.random.default_rng(seed)
    seen: set[tuple[str, ...]] = set()
    sessions: list[list[tuple[tuple[str, ...], tuple[int, ...]]]] = []
    for _ in VOICES:
        session: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
        while len(session) < 2 * SENTENCES_PER_VOICE:
            words, content = _sentence(TEMPLATES[len(session) % len(TEMPLATES)], rng)
            if words not in seen and len({words[i] for i in content}) == len(content):
                seen.add(words)
                session.append((words, content))
        sessions.append(session)
    return sessions


def _every_word_elsewhere(sessions: list[list[tuple[tuple[str, ...], tuple[int, ...]]]]) -> bool:
    vocabularies = [{word for words, _ in session for word in words} for session in sessions]
    return all(
        vocabulary <= set().union(*vocabularies[:i], *vocabularies[i + 1 :])
        for i, vocabulary in enumerate(vocabularies)
    )


@cache
def lines() -> tuple[Line, ...]:
    """All utterances, sorted by id. Ids read <voice>-<sentence>-<emotion>, the voice being <session><sex>."""
    seed = SEED
    while not _every_word_elsewhere(sessions := _draw(seed)):
        seed += 1
    rng = np.random.default_rng(seed + 1_000_000)
    out = []
    for s, (session, voices) in enumerate(zip(sessions, VOICES), start=1):
        for v, variant in enumerate(voices):
            level = acting.voice_level(rng)
            gender = ("female", "male")[v]
            # alternate with the voices at every round of templates, so that the words do not tell the sex
            own = [
                sentence for i, sentence in enumerate(session) if (i + i // len(TEMPLATES)) % 2 == v
            ]
            for n, (words, content) in enumerate(own, start=1):
                for emotion in EMOTIONS:
                    out.append(
                        Line(
                            utt_id=f"{s:02d}{gender[0].upper()}-{n:02d}-{emotion}",
                            voice=f"en-us+{variant}",
                            gender=gender,
                            words=words,
                            emphasis=int(rng.choice(content)),
                            emotion=emotion,
                            knobs=acting.draw_knobs(emotion, level, rng),
                        )
                    )
    return tuple(sorted(out, key=lambda line: line.utt_id))


def fingerprint() -> str:
    """sha256 over what every utterance is made of: words, voice, emotion, knobs and the SSML and settings they lead to."""
    made = [
        [*astuple(line), acting.ssml(line), *astuple(acting.prosody(line.knobs))]
        for line in lines()
    ]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]


def make(folder: Path, config: PrepareConfig, nj: int) -> None:
    """Speak what is not yet spoken into `folder`. `config.fingerprint` is what the recipe expects; empty: any."""
    if (frozen := config.fingerprint) and frozen != fingerprint():
        raise UserError(
            f"mini's generator is {fingerprint()}, but prepare.fingerprint in the configuration is {frozen}: scores would not be "
            "comparable. Take the version of serdesc that the recipe belongs to."
        )
    folder.mkdir(parents=True, exist_ok=True)
    missing = [line for line in lines() if not audio.length(_wav(folder, line))]
    if missing:
        with progress("speak", len(missing), "utterances") as advance:
            espeak.each_in_child(
                lambda i: acting.write(missing[i], _wav(folder, missing[i])),
                range(len(missing)),
                nj,
                lambda: advance(1),
            )


def utterances(folder: Path, config: PrepareConfig = PrepareConfig()) -> Iterator[Utterance]:
    return (
        acting.utterance(line, _wav(folder, line), session=f"session{line.utt_id[:2]}")
        for line in lines()
    )


def _wav(folder: Path, line: Line) -> Path:
    return folder / f"{line.utt_id}.wav"
