"""SpeechCraft's GigaSpeech-m part: labels and captions of 670,070 segments of GigaSpeech.

Jin et al., ACM MM 2024. `src` holds the downloads Labels, Descriptions and Instructions as files or
folders of these names, JSON or TSV:
    Labels         {"<id>": {"labels": "age:Elderly<TAB>gender:male<TAB>...<TAB>transcription: ...",
                             "llama-instruction": "..."}}
    Descriptions   {"<id>": "caption"}, {"<id>": {"<key>": "caption"}} or <id><TAB>caption; they
                   quote no transcript; targets without transcript (ser_sed) are these, if they are
                   there
    Instructions   likewise, with transcript; without such a file the captions are the
                   `llama-instruction` of the Labels

The audio is GigaSpeech's, as whole recordings or as clips (serdesc/data/gigaspeech.py). Whole
recordings give a data directory with `segments`, clips one without; the files text, utt2spk,
utt2emo, utt2emphasis, utt2cap and utt2sed.jsonl and the folds are the same, and utt2dur up to the
rounding of the clips. GigaSpeech has no speakers: the recording is used as the speaker. Sex and age
group are labels of each segment, so they are in the labels only.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator

import ijson

from serdesc.captions.fields import AGES, EMOTIONS, ENERGY, GENDERS, PITCH, SPEED, Fields
from serdesc.config import PrepareConfig
from serdesc.data import gigaspeech, parquet, release
from serdesc.data.corpora import Published, Rejected
from serdesc.data.datadir import Utterance
from serdesc.data.gigaspeech import SEGMENT, Segment
from serdesc.errors import UserError

# Reasons of rejection; serdesc check compares them with rejected.tsv.
NO_SEGMENT = "no such segment in it"
NO_CLIP = "no clip of it"
OTHER_CORPUS = "the id has no GigaSpeech segment (AUD0000000001_S0000001) in it"
PUBLISHED = Published(
    total=670_070,
    loose_boundaries=True,
    prepared_only=True,
    reasons_of_subsets=(NO_SEGMENT, OTHER_CORPUS, NO_CLIP, "no such file"),
)
KINDS = ("label", "description", "instruction")
# key of a label string -> field, and its values in lower case -> those of the field
VOCABULARY: dict[str, tuple[str, dict[str, str]]] = {
    "age": ("age", {**dict(zip(AGES, AGES)), "youth adult": "young adult"}),
    "gender": ("gender", dict(zip(GENDERS, GENDERS))),
    "pitch": ("pitch", dict(zip(PITCH, PITCH))),
    "volume": ("energy", dict(zip(ENERGY, ENERGY))),
    "speed": ("speed", dict(zip(SPEED, SPEED))),
    "emotion": ("emotion", dict(zip(EMOTIONS, EMOTIONS))),
}
PUNCTUATION = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTIONMARK>": "?", "<EXCLAMATIONPOINT>": "!"}
_TAG = re.compile(r"\s*<[A-Z]+>")
# The transcription ends at the next key or at the end; it may contain a TAB.
_KEYS = "|".join((*VOCABULARY, "emphasis", "category", "topic"))
_TRANSCRIPTION = re.compile(
    rf"(?:^|\t)\s*transcription:([^\t]*(?:\t(?!\s*(?:{_KEYS}):)[^\t]*)*)", re.I
)


def parse_labels(text: str) -> tuple[Fields, str]:
    """Fields without transcript, and transcription (or an empty string), of a label string.

    `age:Elderly<TAB>gender:male<TAB>pitch:low<TAB>...<TAB>transcription: He went ...`: keys in any
    order and case, each optional. `emphasis:word` is read too; other keys are ignored, since a
    caption has no field for them. Raises ValueError for an unknown value, or without a known key.
    """
    transcription = _TRANSCRIPTION.search(text)
    if not transcription:
        return _fields(text.strip()), ""
    rest = text[: transcription.start()] + text[transcription.end() :]
    return _fields(rest.strip()), transcription[1].strip()


@lru_cache(maxsize=4096)  # 670,070 label strings have some hundreds of combinations
def _fields(text: str) -> Fields:
    values: dict[str, Any] = {}
    for part in text.strip().split("\t"):
        key, _, value = part.partition(":")
        key, value = key.strip().lower(), value.strip()
        if key == "emphasis":
            values["emphasis"] = tuple(value.split()) or None
        elif key in VOCABULARY:
            name, allowed = VOCABULARY[key]
            if value.lower() not in allowed:
                raise ValueError(f"label {key} is '{value}', which is none of {', '.join(allowed)}")
            values[name] = allowed[value.lower()]
    if not values:
        raise ValueError(
            f"label '{text.strip()[:60]}' has none of the keys {', '.join(VOCABULARY)}"
        )
    return Fields(**values)


def normalise(text_tn: str) -> str:
    """GigaSpeech's normalised text in lower case, with punctuation marks instead of their tags.

    Noise tags (<SIL>, <MUSIC> ...) are removed.
    """
    return _TAG.sub(lambda tag: PUNCTUATION.get(tag[0].strip(), ""), text_tn).strip().lower()


# ---- reading JSON and TSV ------------------------------------------------------------------------


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Id and value of a JSON object {id: value}, or of lines `id<TAB>text`.

    Raises UserError that shows the beginning of any other file.
    """
    with path.open("rb") as file:
        start = file.read(200).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"{"):
        with gigaspeech.open_json(path) as file:
            yield from ijson.kvitems(file, "", use_float=True, buf_size=1 << 20)
    elif b"\t" in start.split(b"\n")[0]:
        for line in release.lines(path):
            utt_id, _, text = line.partition("\t")
            if utt_id:
                yield utt_id, text
    else:
        raise UserError(
            f"{path}: begins with {start[:60]!r}, which is neither a JSON object {{id: text}} or"
            " {id: {key: text}} nor a line `id<TAB>text`: write it as one of these"
        )


# ---- utterances ----------------------------------------------------------------------------------


def utterances(
    src: Path, config: PrepareConfig = PrepareConfig()
) -> Iterator[Utterance | Rejected]:
    """As `_labelled`; beside an instruction each utterance has its description, if there is one."""
    described = _descriptions(src) if config.text == "instruction" else {}
    for utt in _labelled(src, config):
        if isinstance(utt, Utterance) and utt.utt_id in described:
            utt = replace(utt, description=described.pop(utt.utt_id))
        yield utt


def _labelled(src: Path, config: PrepareConfig) -> Iterator[Utterance | Rejected]:
    """The labelled segments in GigaSpeech's order, then the labels without a segment."""
    labels, captions = _annotations(src, config)
    path = Path(config.gigaspeech or src / "GigaSpeech.json")
    folder = Path(config.recordings or path.parent)
    metadata = path if config.gigaspeech or path.exists() else None
    for segment in gigaspeech.segments(folder, metadata, labels):
        label = labels.pop(segment.sid, None)
        if label is not None:
            caption = captions.pop(segment.sid, "") if captions is not None else None
            yield _utterance(segment, label, caption, str(folder))
    for utt_id in labels:
        reason = NO_SEGMENT if SEGMENT.fullmatch(utt_id) else OTHER_CORPUS
        yield Rejected(utt_id, str(metadata or folder), reason)


def unpack(utts: list[Utterance], config: PrepareConfig, folder: Path, nj: int) -> None:
    """Unpack clips of Parquet files, to prepare.unpacked or to `folder`."""
    parquet.unpack(utts, Path(config.unpacked or folder), nj)


def _utterance(
    segment: Segment, label: str, caption: str | None, folder: str
) -> Utterance | Rejected:
    """caption: None if captions are rendered; empty if the corpus has none for this segment."""
    utt_id, recording, wav, span, text_tn, is_clip = segment
    if not wav:
        return Rejected(utt_id, folder, NO_CLIP)
    try:
        fields, text = parse_labels(label)
    except ValueError as error:
        return Rejected(utt_id, wav, " ".join(str(error).split()))
    text = text or normalise(text_tn)
    if not text:
        return Rejected(utt_id, wav, "no transcript in the labels or in GigaSpeech")
    if caption == "":
        return Rejected(utt_id, wav, "no caption of it (prepare.text)")
    if span and not 0 <= span[0] < span[1]:
        return Rejected(utt_id, wav, f"segment goes from {span[0]:g} to {span[1]:g} s")
    seconds = span[1] - span[0] if is_clip and span else None
    return Utterance(
        utt_id,
        wav,
        recording,
        text=text,
        seconds=seconds,
        emotion=fields.emotion,
        caption=caption,
        labels=fields,
        recording=None if is_clip else recording,
        span=None if is_clip else span,
    )


# ---- the three downloads -------------------------------------------------------------------------


def _annotations(src: Path, config: PrepareConfig) -> tuple[dict[str, str], dict[str, str] | None]:
    """Label string and caption of each id; None instead of captions if they are rendered.

    Segments outside of prepare.recordings_share are omitted. The label string is empty for an id of
    another corpus: it will be rejected.
    """
    files, text = _files(src), config.text
    if not files["label"]:
        raise UserError(
            f"{src}: no file or folder named Labels in it (.json, .tsv or .txt): give the folder"
            " with SpeechCraft's downloads"
        )
    caption_files = files[text] if text != "rendered" else []
    from_labels = text == "instruction" and not caption_files
    labels: dict[str, str] = {}
    captions: dict[str, str] = {}
    for path in files["label"]:
        for key, value in entries(path):
            utt_id = _segment_id(key)
            if not in_share(gigaspeech.recording_of(utt_id), config.recordings_share):
                continue
            if utt_id in labels:
                raise UserError(
                    f"{path}: '{key}' is also in another file or line of the Labels: remove one of"
                    " the two"
                )
            label = _text(value, "label", path, key)
            labels[utt_id] = label if SEGMENT.search(key) else ""
            if from_labels and isinstance(value, dict) and value.get("llama-instruction"):
                captions[utt_id] = _one_line(value["llama-instruction"])
    for path in caption_files:
        for key, value in entries(path):
            utt_id = _segment_id(key)
            if labels.get(utt_id):
                captions[utt_id] = _one_line(_text(value, text, path, key))
    if text == "rendered":
        return labels, None
    if not captions:
        raise UserError(
            f"{src}: no {text}s for prepare.text: {text}: put the download {text.title()}s there,"
            " or set prepare.text to another"
        )
    return labels, captions


def _descriptions(src: Path) -> dict[str, str]:
    """Description of each segment; empty without that download."""
    described: dict[str, str] = {}
    for path in _files(src)["description"]:
        for key, value in entries(path):
            if SEGMENT.search(key):
                described[_segment_id(key)] = _one_line(_text(value, "description", path, key))
    return described


def _files(src: Path) -> dict[str, list[Path]]:
    """The files of each download, identified by the name of the file, or else of its folder."""
    files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in release.visible([*src.glob("*"), *src.glob("*/*")]):
        if path.suffix in (".json", ".tsv", ".txt") and path.is_file():
            names = [part.lower() for part in reversed(path.relative_to(src).parts)]
            kinds = [kind for name in names for kind in KINDS if kind in name]
            if kinds:
                files[kinds[0]].append(path)
    return files


@lru_cache(maxsize=1 << 16)
def in_share(recording: str, share: float) -> bool:
    """Whether a recording is in this share of all recordings, by the hash of its id alone.

    The first 8 bytes of the id's SHA-256, as a fraction of 2^64, are below the share. A smaller
    share is a part of a larger one.
    """
    start = hashlib.sha256(recording.encode()).digest()[:8]
    return int.from_bytes(start, "big") < share * 2**64


def _segment_id(key: str) -> str:
    """The segment id in a key, which may have a prefix (a corpus) or a suffix (a file type).

    A key of another corpus (LJSpeech_LJ010-0227) is returned unchanged.
    """
    match = SEGMENT.search(key)
    return match[0] if match else key


def _text(value: Any, kind: str, path: Path, key: str) -> str:
    """The text of an entry: the value, or in an object the only value whose key contains `kind`."""
    if isinstance(value, str):
        return value
    texts: dict[str, str] = {}
    content = f"{type(value).__name__} {str(value)[:60]}"
    if isinstance(value, dict):
        texts = {name: text for name, text in value.items() if isinstance(text, str)}
        content = f"the keys {', '.join(value)}"
    matching = [text for name, text in texts.items() if kind in name.lower()]
    candidates = matching or list(texts.values())
    if len(candidates) != 1:
        raise UserError(
            f"{path}: '{key}' has {content}, where a text or an object with one {kind} is expected"
        )
    return candidates[0]


def _one_line(text: str) -> str:
    """The text without line breaks, which utt2cap cannot hold."""
    return " ".join(text.splitlines()).strip()
