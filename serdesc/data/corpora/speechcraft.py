"""SpeechCraft's GigaSpeech-m part: labels and captions of 670,070 segments of GigaSpeech; Jin et al., ACM MM 2024.

`src` holds the downloads Labels, Descriptions and Instructions as files or folders that are so named, JSON or TSV:
    Labels         {"<id>": {"labels": "age:Elderly<TAB>gender:male<TAB>...<TAB>transcription: ...", "llama-instruction": "..."}}
    Descriptions   {"<id>": "caption"}, {"<id>": {"<key>": "caption"}} or <id><TAB>caption; they quote no transcript
    Instructions   likewise, with transcript; without such a file the captions are the Labels' `llama-instruction`
Times and paths come from GigaSpeech.json (https://github.com/SpeechColab/GigaSpeech), read as a stream. GigaSpeech knows no speakers:
the recording stands for the speaker, so the sex and the age group, which the labels give for each segment, lie in the labels alone.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Iterator

import ijson

from serdesc.captions.fields import AGES, EMOTIONS, ENERGY, GENDERS, PITCH, SPEED, Fields
from serdesc.config import PrepareConfig
from serdesc.data.corpora import Known, Rejected
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_text

NO_SEGMENT, OTHER_CORPUS = (
    "no such segment in it",
    "the id has no GigaSpeech segment (AUD0000000001_S0000001) in it",
)
KNOWN = Known(
    total=670_070, loose_times=True, not_at_hand=(NO_SEGMENT, OTHER_CORPUS, "no such file")
)
KINDS = ("label", "description", "instruction")
SEGMENT = re.compile(r"(?:AUD|POD|YOU)\d{10}_S\d{7}")
# key of a label string -> our field, and the values that it takes, in lower case
VOCABULARY: dict[str, tuple[str, dict[str, str]]] = {
    "age": ("age", {**{age: age for age in AGES}, "youth adult": "young adult"}),
    "gender": ("gender", {gender: gender for gender in GENDERS}),
    "pitch": ("pitch", {value: value for value in PITCH}),
    "volume": ("energy", {value: value for value in ENERGY}),
    "speed": ("speed", {value: value for value in SPEED}),
    "emotion": ("emotion", {emotion: emotion for emotion in EMOTIONS}),
}
MARKS = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTIONMARK>": "?", "<EXCLAMATIONPOINT>": "!"}
_TAG = re.compile(r"\s*<[A-Z]+>")
# To the end, or to the next key: the words themselves may hold a TAB.
_KEYS = "|".join((*VOCABULARY, "emphasis", "category", "topic"))
_TRANSCRIPTION = re.compile(
    rf"(?:^|\t)\s*transcription:([^\t]*(?:\t(?!\s*(?:{_KEYS}):)[^\t]*)*)", re.I
)


def label(text: str) -> tuple[Fields, str]:
    """What a label string says: its fields without transcript, and its transcription, empty where there is none.

    `age:Elderly<TAB>gender:male<TAB>pitch:low<TAB>volume:normal<TAB>speed:fast<TAB>emotion:sad<TAB>transcription: He went ...`:
    any order and case, any of the keys may be absent; `emphasis:word` is read too. Other keys are passed over, for a caption has no
    field for them. Raises ValueError for a value that is not of the vocabulary, and where no key is known.
    """
    said = _TRANSCRIPTION.search(text)
    head = text[: said.start()] + text[said.end() :] if said else text
    return _fields(head.strip()), said[1].strip() if said else ""


@lru_cache(
    maxsize=4096
)  # of all 670,070 there are some hundreds of combinations: equal ones share one object
def _fields(head: str) -> Fields:
    found: dict[str, Any] = {}
    for part in head.strip().split("\t"):
        key, _, value = part.partition(":")
        key, value = key.strip().lower(), value.strip()
        if key == "emphasis":
            found["emphasis"] = tuple(value.split()) or None
        elif key in VOCABULARY:
            name, values = VOCABULARY[key]
            if value.lower() not in values:
                raise ValueError(f"label {key} is '{value}', which is none of {', '.join(values)}")
            found[name] = values[value.lower()]
    if not found:
        raise ValueError(
            f"label '{head.strip()[:60]}' has none of the keys {', '.join(VOCABULARY)}"
        )
    return Fields(**found)


def spoken(text_tn: str) -> str:
    """GigaSpeech's normalised text in lower case; punctuation tags become their marks, noise tags (<SIL>, <MUSIC> ...) go."""
    return _TAG.sub(lambda tag: MARKS.get(tag[0].strip(), ""), text_tn).strip().lower()


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Id and value of a JSON object {id: value}, or of lines `id<TAB>text`. Raises UserError that shows what else was found."""
    with path.open("rb") as file:
        start = file.read(200).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"{"):
        with _json(path) as file:
            yield from ijson.kvitems(file, "", use_float=True, buf_size=1 << 20)
    elif b"\t" in start.split(b"\n")[0]:
        for line in read_text(path).split("\n"):
            utt_id, _, text = line.partition("\t")
            if utt_id:
                yield utt_id, text
    else:
        raise UserError(
            f"{path}: begins with {start[:60]!r}, which is neither a JSON object {{id: text}} or {{id: {{key: text}}}} nor a line "
            "`id<TAB>text`: write it as one of these"
        )


@contextmanager
def _json(path: Path) -> Iterator[BinaryIO]:
    """A JSON file, open behind its byte order mark. What the block finds wrong with it is a UserError."""
    with path.open("rb") as file:
        file.seek(3 if file.read(3) == b"\xef\xbb\xbf" else 0)
        try:
            yield file
        except (ijson.JSONError, UnicodeDecodeError) as error:
            file.seek(0)
            first = file.readline(1 << 20)
            raise UserError(
                f"{path}: begins with {first[:60]!r} but is no JSON object to its end ({error}): {_remedy(first)}"
            ) from error


def _remedy(line: bytes) -> str:
    try:
        json.loads(line)
    except ValueError:  # of which a wrong encoding is one
        return "fetch it again"
    return "its first line is a JSON value of its own (JSON lines): write all of them as one object"


def utterances(
    src: Path, config: PrepareConfig = PrepareConfig()
) -> Iterator[Utterance | Rejected]:
    """The labelled segments in GigaSpeech's order, then the labels that GigaSpeech.json has no segment for."""
    labels, captions = _annotations(src, config.text)
    gigaspeech = Path(config.gigaspeech) if config.gigaspeech else src / "GigaSpeech.json"
    folder = Path(config.recordings) if config.recordings else gigaspeech.parent
    for recording in _recordings(gigaspeech):
        wav = str(folder / recording["path"])
        for segment in recording["segments"]:
            try:
                text = labels.pop(segment["sid"], None)
                span = (float(segment["begin_time"]), float(segment["end_time"]))
            except (KeyError, TypeError, ValueError) as error:
                told = f"segment {str(segment)[:80]} of {recording['aid']}"
                raise UserError(
                    f"{gigaspeech}: {told} has no sid, begin_time and end_time in seconds ({error!r}): not GigaSpeech's form"
                ) from error
            if text is not None:
                caption = captions.pop(segment["sid"], "") if captions is not None else None
                yield _utterance(segment, span, recording["aid"], wav, text, caption)
    for utt_id in labels:
        yield Rejected(
            utt_id, str(gigaspeech), NO_SEGMENT if SEGMENT.fullmatch(utt_id) else OTHER_CORPUS
        )


def _utterance(
    segment: dict[str, Any],
    span: tuple[float, float],
    recording: str,
    wav: str,
    labels: str,
    caption: str | None,
) -> Utterance | Rejected:
    """`caption` is None where captions are to be rendered, and empty where the corpus has none of this segment."""
    utt_id = segment["sid"]
    try:
        fields, text = label(labels)
    except ValueError as error:
        return Rejected(utt_id, wav, " ".join(str(error).split()))
    text = text or spoken(segment.get("text_tn") or "")
    if not text or caption == "":
        return Rejected(
            utt_id,
            wav,
            (
                "neither labels nor GigaSpeech have words of it"
                if not text
                else "no caption of it (prepare.text)"
            ),
        )
    if not 0 <= span[0] < span[1]:
        return Rejected(utt_id, wav, f"segment goes from {span[0]:g} to {span[1]:g} s")
    return Utterance(
        utt_id, wav, recording, text=text, emotion=fields.emotion, caption=caption, labels=fields, recording=recording, span=span
    )  # fmt: skip


def _recordings(path: Path) -> Iterator[dict[str, Any]]:
    """The recordings of GigaSpeech.json, one at a time: the file of all subsets has several gigabytes."""
    if not path.exists():
        raise UserError(
            f"{path}: no such file. Give GigaSpeech's metadata with --set prepare.gigaspeech=/path/to/GigaSpeech.json"
        )
    none = True
    with _json(path) as file:
        for recording in ijson.items(file, "audios.item", use_float=True, buf_size=1 << 20):
            none = False
            missing = [
                key
                for key in ("aid", "path", "segments")
                if not isinstance(recording, dict) or key not in recording
            ]
            if missing:
                found = ", ".join(recording) if isinstance(recording, dict) else str(recording)[:60]
                raise UserError(
                    f"{path}: a recording without {' and '.join(missing)}, found {found}: not GigaSpeech's form"
                )
            yield recording
        if none:
            file.seek(0)
            raise UserError(
                f"{path}: begins with {file.read(60)!r} and has no recording in a list `audios`: not GigaSpeech's form"
            )


# ---- the three downloads -------------------------------------------------------------------------------------------------


def _annotations(src: Path, text: str) -> tuple[dict[str, str], dict[str, str] | None]:
    """Label string and caption of each id; no captions where they are to be rendered."""
    files = _files(src)
    if not files["label"]:
        raise UserError(
            f"{src}: no file or folder named Labels in it (.json, .tsv or .txt): give the folder with SpeechCraft's downloads"
        )
    own = text != "rendered" and files[text] or []
    within = "llama-instruction" if text == "instruction" and not own else ""
    labels: dict[str, str] = {}
    captions: dict[str, str] = {}
    for path in files["label"]:
        for key, value in entries(path):
            utt_id = _segment_id(key)
            if utt_id in labels:
                raise UserError(
                    f"{path}: '{key}' also stands in another file or line of the Labels: keep one of the two"
                )
            said = _text(value, "label", path, key)
            labels[utt_id] = (
                said if SEGMENT.search(key) else ""
            )  # another corpus's: known, to be listed, and not kept
            if within and isinstance(value, dict) and value.get(within):
                captions[utt_id] = _one_line(value[within])
    for path in own:
        for key, value in entries(path):
            utt_id = _segment_id(key)
            if labels.get(utt_id):
                captions[utt_id] = _one_line(_text(value, text, path, key))
    if text != "rendered" and not captions:
        raise UserError(
            f"{src}: no {text}s for prepare.text: {text}: put the download {text.title()}s there, or set prepare.text to another"
        )
    return labels, None if text == "rendered" else captions


def _files(src: Path) -> dict[str, list[Path]]:
    """Files of each download, told by the name of the file, or else of its folder."""
    files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted([*src.glob("*"), *src.glob("*/*")]):
        if path.suffix in (".json", ".tsv", ".txt") and path.is_file():
            names = [part.lower() for part in reversed(path.relative_to(src).parts)]
            kind = next((kind for name in names for kind in KINDS if kind in name), None)
            if kind:
                files[kind].append(path)
    return files


def _segment_id(key: str) -> str:
    """The segment's id in a key, which may carry a corpus's name before it (LJSpeech_LJ010-0227 does) or a file's suffix."""
    found = SEGMENT.search(key)
    return found[0] if found else key


def _text(value: Any, kind: str, path: Path, key: str) -> str:
    """The text of an entry: itself, or in an object the one value whose key names the kind, or the only one."""
    if isinstance(value, str):
        return value
    texts = (
        {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}
    )
    named = [v for k, v in texts.items() if kind in k.lower()] or list(texts.values())
    if len(named) != 1:
        found = (
            f"the keys {', '.join(value)}"
            if isinstance(value, dict)
            else f"{type(value).__name__} {str(value)[:60]}"
        )
        raise UserError(
            f"{path}: '{key}' has {found}, where a text or an object with one {kind} is expected"
        )
    return named[0]


def _one_line(text: str) -> str:
    """As it stands, but for line breaks, which a table of lines cannot hold."""
    return " ".join(text.splitlines()).strip()
