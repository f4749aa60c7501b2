"""Time and memory of `serdesc prepare speechcraft`, and of a naive join by json.load.

    tools/venv/bin/python tools/bench/speechcraft_prepare.py --utterances 670070 --nj 2

Metadata of that size are generated in a temporary folder: Labels, Instructions, and a
GigaSpeech.json with a third more segments than are labelled, like its M subset. The recordings are
links to one Opus file, and each is opened. Memory is the largest sum over the processes of their
shares (PSS), sampled once a second, and the largest of one process by getrusage.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import soundfile

SEGMENTS = 45  # of a recording; every fourth of them is not labelled
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
VALUES = (
    ("Child", "Teenager", "Youth adult", "Middle-aged", "Elderly"),
    ("male", "female"),
    ("low", "normal", "high"),
    ("low", "normal", "high"),
    ("slow", "normal", "fast"),
    ("Fearful", "Happy", "Disgusted", "Sad", "Surprised", "Angry", "Neutral"),
)


def make(src: Path, utterances: int) -> None:
    """Write Labels.json, Instructions.json, GigaSpeech.json and audio/ of labelled segments."""
    rng = random.Random(1)
    src.mkdir()
    noise = np.random.default_rng(1).normal(0, 0.01, 16_000 * 600).astype(np.float32)
    soundfile.write(src / "long.opus", noise, 16_000, format="OGG", subtype="OPUS")
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
            aid = f"{('AUD', 'POD', 'YOU')[recordings % 3]}{recordings:010d}"
            path = src / "audio" / "youtube" / f"P{recordings // 500:04d}" / f"{aid}.opus"
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(src / "long.opus", path)
            segments, end = [], 0.0
            for i in range(SEGMENTS):
                begin = end + rng.random()
                end = begin + 1 + 6 * rng.random()
                words = rng.choices(WORDS, k=int(3 * (end - begin)))
                segments.append(segment(f"{aid}_S{i:07d}", begin, end, words))
                if i % 4 != 3 and labelled < utterances:
                    write_labels(labels, captions, segments[-1]["sid"], words, rng, not labelled)
                    labelled += 1
            recording = {
                "title": "N/A",
                "url": "N/A",
                "path": f"audio/youtube/{path.parent.name}/{path.name}",
                "aid": aid,
                "source": "audiobook",
                "segments": segments,
            }
            gigaspeech.write((",\n" if recordings > 1 else "") + json.dumps(recording))
        for file in (labels, captions):
            file.write("\n}\n")
        gigaspeech.write("\n]}\n")
    size = sum(file.stat().st_size for file in src.glob("*.json")) / 1e6
    print(
        f"made {labelled} labelled segments, {recordings * SEGMENTS} in all, of {recordings}"
        f" recordings; {size:.0f} MB of JSON",
        flush=True,
    )


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
    parser.add_argument("--naive", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.naive:
        print(f"naive: {naive(args.naive)} joined", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        src, data = Path(folder) / "src", Path(folder) / "data"
        make(src, args.utterances)
        python = sys.executable
        command = [python, "-m", "serdesc.cli", "prepare", "speechcraft", str(src), str(data)]
        measure([*command, "--nj", str(args.nj)], "serdesc prepare", args.utterances)
        measure([python, __file__, "--naive", str(src)], "naive json.load", args.utterances)


if __name__ == "__main__":
    main()
