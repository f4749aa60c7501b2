"""Synthetic speech for the built-in models: 300 speakers and sentences that mini does not have.

Speakers are espeak-ng variants in five accents with vocal tracts of many lengths. Sentences are
parts of transcripts of the real training speakers, and phrases of a small grammar.

    python local/make_speech.py data/librispeech data/speechocean downloads/made data/made
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from serdesc.data import acting, datadir, espeak
from serdesc.data.acting import EMOTIONS, Line
from serdesc.data.corpora import mini

SEED = 7
SPEAKERS, UTTERANCES = 300, 22
FEMALE = "f3 f5 Alicia Andrea belinda steph anika grandma aunty shelby".split()
MALE = (
    "Andy Gene Lee Mario Michael Reed adam antonio david ed edward iven john klatt3 m2 m3 m4 m5 m7"
    " m8 norbert pablo paul robert sandro travis"
).split()
ACCENTS = ("en-us", "en-us", "en-us", "en-us-nyc", "en", "en-gb-x-rp", "en-gb-scotland")
STOP = frozenset(
    "a an the and or but of to in on at by for with from is are was were be been it its he she they"
    " we you i his her their our my your this that these those as so not no do did does had has"
    " have will would shall should could can".split()
)
WORDS = {
    "who": "the doctor,a student,my mother,her father,the old sailor,our neighbour,the children,"
    "a stranger,the captain,his uncle,the nurse,two workers,the singer,a clever girl,the boy,"
    "my friend,the teacher,the farmer,his sister,maria,peter,anna",
    "did": "opened,carried,painted,forgot,found,followed,counted,borrowed,dropped,washed,"
    "remembered,repaired,sold,watched,finished,measured,delivered,bought,cleaned,moved",
    "what": "the window,a broken chair,seven apples,the heavy box,a little mirror,his silver ring,"
    "the letters,twenty candles,the empty bottle,a purple hat,the engine,forty flowers,"
    "the yellow basket,an old camera,the papers,thirty tickets,the modern lamp,a simple button,"
    "the hammer,several pictures,her story,the horses,eleven boxes,ninety pages,the pillow",
    "where": "near the station,in the kitchen,behind the garden,at the market,by the river,"
    "on the mountain,in the hospital,under the bridge,at school,in the village,near the harbour,"
    "beside the road",
    "when": "this morning,yesterday,later,tonight,again,on monday,before lunch,tomorrow,"
    "last winter,always,slowly,quietly",
    "doing": "waiting,running,sleeping,talking,working,singing,laughing,reading,dancing,shouting",
}
TEMPLATES = (
    "{who} {did} {what} {where}",
    "{when} {who} {did} {what}",
    "{who} is still {doing} {where}",
    "please bring {what} {when}",
    "why was {who} {doing} {when}",
    "{what} and {what} are {where}",
    "we never saw {what} {where}",
    "{who} and {who} were {doing} {where}",
)


def phrases(texts: list[str], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Texts cut into runs of three to eight words."""
    runs = []
    for text in texts:
        words, start = text.lower().split(), 0
        while start < len(words):
            n = int(rng.integers(3, 9))
            if len(words) - start >= 3:
                runs.append(tuple(words[start : start + n]))
            start += n
    return runs


def draw_sentence(rng: np.random.Generator) -> tuple[str, ...]:
    """A sentence of the grammar."""
    text = str(rng.choice(TEMPLATES))
    for slot, choices in WORDS.items():
        while "{" + slot + "}" in text:
            text = text.replace("{" + slot + "}", str(rng.choice(choices.split(","))), 1)
    return tuple(text.split())


def lines(texts: list[str]) -> list[Line]:
    """All utterances: odd ones from the grammar, even ones parts of `texts`."""
    rng = np.random.default_rng(SEED)
    forbidden = {line.words for line in mini.lines()}
    runs = phrases(texts, rng)
    drawn: list[Line] = []
    for number in range(SPEAKERS):
        gender = ("female", "male")[number % 2]
        variant = rng.choice(FEMALE if gender == "female" else MALE)
        voice = f"{rng.choice(ACCENTS)}+{variant}"
        tract, level = round(float(rng.uniform(0.9, 1.13)), 3), acting.voice_level(rng)
        for u in range(UTTERANCES):
            words = draw_sentence(rng) if u % 2 else runs[int(rng.integers(len(runs)))]
            while words in forbidden:
                words = draw_sentence(rng)
            emotion = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
            drawn.append(
                Line(
                    utt_id=f"made{number:03d}{gender[0].upper()}-{u:02d}",
                    voice=voice,
                    gender=gender,
                    words=words,
                    emphasis=draw_stressed(words, rng),
                    emotion=emotion,
                    knobs=acting.draw_knobs(emotion, level, rng),
                    tract=tract,
                )
            )
    return drawn


def draw_stressed(words: tuple[str, ...], rng: np.random.Generator) -> int:
    """Index of a content word that occurs once; of the last word if there is none."""
    content = []
    for i, word in enumerate(words):
        if word not in STOP and words.count(word) == 1:
            content.append(i)
    return int(rng.choice(content)) if content else len(words) - 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sources",
        nargs="+",
        type=Path,
        help="data directories with the texts, then the wav folder and the new data directory",
    )
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args()
    *sources, wavs, out = args.sources
    texts = [utt.text for source in sources for utt in datadir.read(source) if utt.text]
    drawn = lines(texts)
    wavs.mkdir(parents=True, exist_ok=True)
    missing = [line for line in drawn if not (wavs / f"{line.utt_id}.wav").exists()]

    def synthesise(i: int) -> None:
        acting.write(missing[i], wavs / f"{missing[i].utt_id}.wav", with_phones=True)

    espeak.run_forked(synthesise, range(len(missing)), args.nj)
    datadir.write(out, [acting.utterance(line, wavs / f"{line.utt_id}.wav") for line in drawn])


if __name__ == "__main__":
    main()
