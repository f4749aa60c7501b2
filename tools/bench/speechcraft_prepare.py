"""Time and memory of `serdesc prepare speechcraft`, and of a naive join by json.load.

    tools/venv/bin/python tools/bench/speechcraft_prepare.py --utterances 670070 --nj 2
    tools/venv/bin/python tools/bench/speechcraft_prepare.py --form parquet

Metadata of that size are generated in a temporary folder: Labels, Instructions, and GigaSpeech with
a third more segments than are labelled, like its M subset. The audio has one of three forms:

    recordings   GigaSpeech.json, and links to one Opus file of 600 s
    parquet      Parquet files of 3600 rows in row groups of 100, no GigaSpeech.json; unpacked
    clips        a link for each segment to one of 25 FLAC files of its length, and GigaSpeech.json

The clips are faint tones in FLAC, of few bytes, so that little but metadata is read. Each
recording or clip is opened. Memory is the largest sum over the processes of their shares (PSS),
sampled once a second, and the largest of one process by getrusage.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, TextIO

import numpy as np
import soundfile

SEGMENTS = 45  # of a recording; every fourth of them is not labelled
STEP = 0.25  # seconds between the lengths of the clips
ROWS, GROUP = 80 * SEGMENTS, 100  # of a Parquet file, of a row group
WORDS = (
    "the of and we to a that was he for it with people before through another because government"
    " something morning question against"
).split()
LABELS = "age:{}\tgender:{}\tpitch:{}\tvolume:{}\tspeed:{}\temotion:{}\ttranscription: {}"
# Typographic quotation marks double the bytes of each character in memory, as in the published
# captions.
CAPTION = (
    "In the quiet setting of an audiobook, a calm young woman with low pitch and high volume speaks"
    " at a fast pace, saying, \u201c{}\u201d Her words carry a sense of joy and excitement, which"
    " is evident in the woman\u2019s voice."
)
COLUMNS = {
    "segment_id": "string",
    "speaker": "string",
    "text": "string",
    "audio": "struct of bytes (binary) and path (string)",
    "begin_time": "float32",
    "end_time": "float32",
    "audio_id": "string",
    "title": "string",
    "url": "string",
    "source": "int64",
    "category": "int64",
    "original_full_path": "string",
}  # of speechcolab/gigaspeech: name -> Arrow type
VALUES = (
    ("Child", "Teenager", "Youth adult", "Middle-aged", "Elderly"),
    ("male", "female"),
    ("low", "normal", "high"),
    ("low", "normal", "high"),
    ("slow", "normal", "fast"),
    ("Fearful", "Happy", "Disgusted", "Sad", "Surprised", "Angry", "Neutral"),
)


class Recordings:
    """Links to one long recording."""

    def __init__(self, src: Path) -> None:
        self.src, self.long = src, src / "long.opus"
        noise = np.random.default_rng(1).normal(0, 0.01, 16_000 * 600).astype(np.float32)
        soundfile.write(self.long, noise, 16_000, format="OGG", subtype="OPUS")

    def add(self, recording: dict[str, Any]) -> None:
        path = self.src / recording["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(self.long, path)

    def close(self) -> None:
        pass


class Clips:
    """Links to clips of the length of each segment."""

    def __init__(self, src: Path) -> None:
        self.src = src

    def add(self, recording: dict[str, Any]) -> None:
        folder = self.src / "audio" / recording["aid"]
        folder.mkdir(parents=True)
        for row in recording["segments"]:
            first = self.src / f"length{steps(row)}.flac"
            if not first.exists():
                first.write_bytes(tone(row))
            os.link(first, folder / f"{row['sid']}.flac")

    def close(self) -> None:
        pass


class ParquetFiles:
    """Parquet files with the columns of speechcolab/gigaspeech."""

    def __init__(self, src: Path) -> None:
        self.src, self.files = src, 0
        self.rows: list[dict[str, Any]] = []

    def add(self, recording: dict[str, Any]) -> None:
        for row in recording["segments"]:
            audio = {"bytes": tone(row), "path": f"{row['sid']}.flac"}
            values = (row["sid"], "N/A", row["text_tn"], audio, row["begin_time"], row["end_time"])
            rest = (recording["aid"], "N/A", "N/A", 0, 24, recording["path"])
            self.rows.append(dict(zip(COLUMNS, (*values, *rest))))
        if len(self.rows) >= ROWS:
            self.write()

    def close(self) -> None:
        if self.rows:
            self.write()

    def write(self) -> None:
        import pyarrow
        from pyarrow import parquet

        audio = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        fields = [(name, audio if name == "audio" else kind) for name, kind in COLUMNS.items()]
        path = self.src / f"train-{self.files:05d}.parquet"
        table = pyarrow.Table.from_pylist(self.rows, pyarrow.schema(fields))
        parquet.write_table(table, path, row_group_size=GROUP)
        self.rows, self.files = [], self.files + 1


FORMS = {"recordings": Recordings, "parquet": ParquetFiles, "clips": Clips}


def make(src: Path, utterances: int, form: str) -> None:
    """Write Labels.json, Instructions.json and GigaSpeech in a form."""
    rng = random.Random(1)
    src.mkdir()
    audio = FORMS[form](src)
    labelled = recordings = 0
    with (
        (src / "Labels.json").open("w") as labels,
        (src / "Instructions.json").open("w") as captions,
        (src / "GigaSpeech.json").open("w") as gigaspeech,
    ):
        for file in (labels, captions):
            file.write("{\n")
        gigaspeech.write(
            '{"dataset": "GigaSpeech", "language": "EN", "version": "v1.0.0", "audios": [\n'
        )
        while labelled < utterances:
            recordings += 1
            recording = empty_recording(recordings)
            for i, (row, words) in enumerate(segments(rng, recording["aid"])):
                recording["segments"].append(row)
                if i % 4 != 3 and labelled < utterances:
                    write_labels(labels, captions, row["sid"], words, rng, not labelled)
                    labelled += 1
            audio.add(recording)
            gigaspeech.write((",\n" if recordings > 1 else "") + json.dumps(recording))
        for file in (labels, captions):
            file.write("\n}\n")
        gigaspeech.write("\n]}\n")
    audio.close()
    size = sum(file.stat().st_size for file in src.glob("*.json")) / 1e6
    print(
        f"made {labelled} labelled segments, {recordings * SEGMENTS} in all, of {recordings}"
        f" recordings; {size:.0f} MB of JSON",
        flush=True,
    )


def empty_recording(number: int) -> dict[str, Any]:
    """A recording of GigaSpeech.json without segments."""
    aid = f"{('AUD', 'POD', 'YOU')[number % 3]}{number:010d}"
    return {
        "title": "N/A",
        "url": "N/A",
        "path": f"audio/youtube/P{number // 500:04d}/{aid}.opus",
        "aid": aid,
        "source": "audiobook",
        "segments": [],
    }


def segments(rng: random.Random, aid: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """The segments of a recording, and their words."""
    end = 0.0
    for i in range(SEGMENTS):
        begin = end + rng.random()
        end = begin + 1 + 6 * rng.random()
        words = rng.choices(WORDS, k=int(3 * (end - begin)))
        yield segment(f"{aid}_S{i:07d}", begin, end, words), words


def segment(sid: str, begin: float, end: float, words: list[str]) -> dict[str, Any]:
    """A segment of GigaSpeech.json."""
    return {
        "sid": sid,
        "speaker": "N/A",
        "begin_time": round(begin, 3),
        "end_time": round(end, 3),
        "text_tn": " ".join(words).upper() + " <COMMA> OH <PERIOD>",
        "subsets": ["{XL}", "{L}", "{M}"],
    }


def steps(row: dict[str, Any]) -> int:
    """The length of a segment in steps of STEP seconds."""
    return round((row["end_time"] - row["begin_time"]) / STEP)


def tone(row: dict[str, Any]) -> bytes:
    """A FLAC file of a faint tone, about as long as a segment."""
    return tone_of(steps(row))


@lru_cache
def tone_of(length: int) -> bytes:
    buffer = io.BytesIO()
    tone = np.resize([1e-3, -1e-3], int(length * STEP * 16_000))
    soundfile.write(buffer, tone, 16_000, format="FLAC")
    return buffer.getvalue()


def write_labels(
    labels: TextIO, captions: TextIO, sid: str, words: list[str], rng: random.Random, first: bool
) -> None:
    """Write an entry of Labels.json and one of Instructions.json."""
    comma, text = "" if first else ",\n", " ".join(words).capitalize() + ", oh."
    label = {"labels": LABELS.format(*map(rng.choice, VALUES), text)}
    caption = json.dumps(CAPTION.format(text), ensure_ascii=False)
    labels.write(f'{comma}"{sid}": {json.dumps(label)}')
    captions.write(f'{comma}"{sid}": {caption}')


def naive(src: Path) -> int:
    """Load the three files by json.load and join them to a dict an utterance; returns their number.

    Nothing is checked or written, and no audio is opened.
    """
    labels = json.loads((src / "Labels.json").read_text())
    captions = json.loads((src / "Instructions.json").read_text())
    gigaspeech = json.loads((src / "GigaSpeech.json").read_text())
    segments = {}
    for recording in gigaspeech["audios"]:
        for row in recording["segments"]:
            segments[row["sid"]] = {**row, "wav": recording["path"]}
    joined = {}
    for utt_id, row in labels.items():
        joined[utt_id] = {**segments[utt_id], **row, "caption": captions[utt_id]}
    return len(joined)


def measure(command: list[str], name: str, utterances: int) -> None:
    """Run a command; print seconds, utterances a second and memory."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    peak, status = 0, 0
    while not status:
        time.sleep(1)
        peak = max(peak, sum(map(_share, _family(process.pid))))
        status, code, usage = os.wait4(process.pid, os.WNOHANG)
    if code:
        sys.exit(f"{name}: ended with status {code}")
    seconds = time.perf_counter() - start
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{name}: {seconds:.1f} s ({cpu:.1f} s of CPU), {utterances / seconds:.0f} utterances/s,"
        f" {peak / 1e6:.2f} GB in all processes, {usage.ru_maxrss / 1e6:.2f} GB in the largest",
        flush=True,
    )


def _family(pid: int) -> list[int]:
    """The process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    descendants = []
    for child in children:
        descendants += _family(int(child))
    return [pid, *descendants]


def _share(pid: int) -> int:
    """PSS in kB; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--utterances", type=int, default=670_070)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--form", choices=FORMS, default="recordings")
    parser.add_argument("--naive", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.naive:
        print(f"naive: {naive(args.naive)} joined", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        src, data = Path(folder) / "src", Path(folder) / "data"
        make(src, args.utterances, args.form)
        python = sys.executable
        command = [python, "-m", "serdesc.cli", "prepare", "speechcraft", str(src), str(data)]
        command += ["--nj", str(args.nj)]
        if args.form == "parquet":
            (src / "GigaSpeech.json").unlink()
            command += ["--set", f"prepare.unpacked={folder}/unpacked"]
        measure(command, f"serdesc prepare, {args.form}", args.utterances)
        if args.form == "parquet":
            measure(command, "serdesc prepare, again", args.utterances)
            return
        measure([python, __file__, "--naive", str(src)], "naive json.load", args.utterances)


if __name__ == "__main__":
    main()
