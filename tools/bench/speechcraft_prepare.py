"""How long, and with how much memory, `serdesc prepare speechcraft` takes; beside it a naive join by json.load in the same run.

    tools/venv/bin/python tools/bench/speechcraft_prepare.py --utterances 670070 --nj 2

Metadata of that size are made in a temporary folder: Labels, Instructions, and a GigaSpeech.json with a third more segments than are
labelled, as its M subset has. The recordings are links to one real Opus file, and each is opened. Memory is the largest sum over the
processes of their shares (PSS), sampled once a second, and the largest of one process by getrusage.
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

import numpy as np
import soundfile

SEGMENTS = 45  # of a recording; every fourth of them is not labelled
WORDS = "the of and we to a that was he for it with people before through another because government something morning question against".split()
LABELS = "age:{}\tgender:{}\tpitch:{}\tvolume:{}\tspeed:{}\temotion:{}\ttranscription: {}"
CAPTION = (  # with quotation marks that double the bytes of each character in memory, as published captions have them
    "In the quiet setting of an audiobook, a calm young woman with low pitch and high volume speaks at a fast pace, saying, \u201c{}\u201d Her "
    "words carry a sense of joy and excitement, which is evident in the woman\u2019s voice."
)
VALUES = (
    ("Child", "Teenager", "Youth adult", "Middle-aged", "Elderly"), ("male", "female"), ("low", "normal", "high"), ("low", "normal", "high"),
    ("slow", "normal", "fast"), ("Fearful", "Happy", "Disgusted", "Sad", "Surprised", "Angry", "Neutral"),
)  # fmt: skip


def make(src: Path, utterances: int) -> None:
    """Labels.json, Instructions.json, GigaSpeech.json and audio/ of so many labelled segments."""
    rng = random.Random(1)
    src.mkdir()
    noise = np.random.default_rng(1).normal(0, 0.01, 16_000 * 600).astype(np.float32)
    soundfile.write(src / "long.opus", noise, 16_000, format="OGG", subtype="OPUS")
    labelled = recordings = 0
    with (src / "Labels.json").open("w") as labels, (src / "Instructions.json").open("w") as texts, (src / "GigaSpeech.json").open("w") as giga:
        for file in (labels, texts):
            file.write("{\n")
        giga.write('{"dataset": "GigaSpeech", "language": "EN", "version": "v1.0.0", "audios": [\n')
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
                sid = f"{aid}_S{i:07d}"
                segments.append(
                    {
                        "sid": sid, "speaker": "N/A", "begin_time": round(begin, 3), "end_time": round(end, 3),
                        "text_tn": " ".join(words).upper() + " <COMMA> OH <PERIOD>", "subsets": ["{XL}", "{L}", "{M}"],
                    }  # fmt: skip
                )
                if i % 4 != 3 and labelled < utterances:
                    comma, said = ",\n" if labelled else "", " ".join(words).capitalize() + ", oh."
                    row = {"labels": LABELS.format(*map(rng.choice, VALUES), said)}
                    caption = CAPTION.format(said)
                    labels.write(f'{comma}"{sid}": {json.dumps(row)}')
                    texts.write(f'{comma}"{sid}": {json.dumps(caption, ensure_ascii=False)}')
                    labelled += 1
            about = {"title": "N/A", "url": "N/A", "path": f"audio/youtube/{path.parent.name}/{path.name}", "aid": aid, "source": "audiobook"}
            giga.write((",\n" if recordings > 1 else "") + json.dumps({**about, "segments": segments}))
        for file in (labels, texts):
            file.write("\n}\n")
        giga.write("\n]}\n")
    size = sum(file.stat().st_size for file in src.glob("*.json")) / 1e6
    print(f"made {labelled} labelled segments, {recordings * SEGMENTS} in all, of {recordings} recordings; {size:.0f} MB of JSON", flush=True)


def naive(src: Path) -> int:
    """All three files by json.load, joined to one dict an utterance: no check, no header opened, nothing written."""
    labels, texts, giga = (json.loads((src / f"{name}.json").read_text()) for name in ("Labels", "Instructions", "GigaSpeech"))
    segments = {s["sid"]: {**s, "wav": audio["path"]} for audio in giga["audios"] for s in audio["segments"]}
    return len({utt_id: {**segments[utt_id], **row, "caption": texts[utt_id]} for utt_id, row in labels.items()})


def measured(command: list[str], name: str, utterances: int) -> None:
    """Run a command and print seconds, utterances a second and memory."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    peak, status = 0, 0
    while not status:
        time.sleep(1)
        peak = max(peak, sum(map(_share, _family(process.pid))))
        status, code, usage = os.wait4(process.pid, os.WNOHANG)
    if code:
        sys.exit(f"{name}: ended with status {code}")
    seconds = time.perf_counter() - began
    memory = f"{peak / 1e6:.2f} GB in all processes, {usage.ru_maxrss / 1e6:.2f} GB in the largest"
    print(f"{name}: {seconds:.1f} s ({usage.ru_utime + usage.ru_stime:.1f} s of CPU), {utterances / seconds:.0f} utterances/s, {memory}", flush=True)


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def _share(pid: int) -> int:
    """PSS in kB; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    except OSError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=670_070)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--naive", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.naive:
        print(f"naive: {naive(arguments.naive)} joined", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        src, data = Path(folder) / "src", Path(folder) / "data"
        make(src, arguments.utterances)
        prepare = [sys.executable, "-m", "serdesc.cli", "prepare", "speechcraft", str(src), str(data), "--nj", str(arguments.nj)]
        measured(prepare, "serdesc prepare", arguments.utterances)
        measured([sys.executable, __file__, "--naive", str(src)], "naive json.load", arguments.utterances)


if __name__ == "__main__":
    main()
