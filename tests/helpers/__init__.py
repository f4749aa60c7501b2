"""Generated corpora in their own file formats, and copies of recipes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any, Callable

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
HEAD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
LABELS = (
    "age:Youth"
    " adult\tgender:female\tpitch:low\tvolume:high\tspeed:fast\temotion:Happy\ttranscription: {}"
)


# ---- IEMOCAP ----


def noise(path: Path, seconds: float = 0.15) -> None:
    """A short wav that no other equals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, RNG.uniform(-0.2, 0.2, int(16_000 * seconds)), 16_000, subtype="PCM_16")


def tree(
    root: Path,
    labels: dict[str, str],
    texts: dict[str, str] | None = None,
    seconds: Callable[[str], float] = lambda utt_id: 0.15,
) -> Path:
    """A release of these utterances, with what lies about in the real one."""
    dialogs: dict[str, list[str]] = defaultdict(list)
    for utt_id in labels:
        dialogs[utt_id.rsplit("_", 1)[0]].append(utt_id)
    for k in range(1, 6):
        for part in (
            "sentences/wav",
            "dialog/EmoEvaluation/Categorical",
            "dialog/EmoEvaluation/Attribute",
            "dialog/transcriptions",
        ):
            (root / f"Session{k}" / part).mkdir(parents=True, exist_ok=True)
    for dialog, ids in dialogs.items():
        session = root / f"Session{dialog[4]}"
        evaluation = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        transcription = []
        for i, utt_id in enumerate(ids):
            noise(session / "sentences/wav" / dialog / f"{utt_id}.wav", seconds(utt_id))
            evaluation += [
                f"[{i}.2901 - {i}.8357]\t{utt_id}\t{labels[utt_id]}\t[2.5000, 2.5000, 2.5000]",
                "C-E2:\tNeutral;\t()",
                "A-E3:\tval 3;",
                "",
            ]
            transcription.append(
                f"{utt_id} [{i:03d}.2901-{i:03d}.8357]: {(texts or {}).get(utt_id, 'Yes, I am.')}"
            )
        transcription.append(
            f"{dialog}_MXX0 [099.0000-099.5000]: And then"
        )  # cut short by the other: no wav
        (session / "dialog/EmoEvaluation" / f"{dialog}.txt").write_text(
            "\n".join(evaluation) + "\n"
        )
        (session / "dialog/transcriptions" / f"{dialog}.txt").write_text(
            "\n".join(transcription) + "\n"
        )
        (session / "dialog/EmoEvaluation" / f"._{dialog}.txt").write_bytes(
            b"\x00\x05\x16\x07\xff\xfe"
        )
        (session / "dialog/EmoEvaluation/Categorical" / f"{dialog}_e1_cat.txt").write_text(
            f"{ids[0]} :Anger; ()\n"
        )
    return root


FEW = {  # a woman and a man in every session and class; ids of every form
    f"Ses0{k}{'FM'[k % 2]}_{dialog}_{speaker}{i:03d}": label
    for k in range(1, 6)
    for dialog, speaker, i, label in (
        ("impro01", "F", 0, "neu"), ("impro05a", "M", 0, "ang"), ("script01_1b", "F", 3, "exc"), ("script02_2", "M", 7, "hap"),
        ("impro03", "M", 11, "sad"), ("impro03", "F", 12, "sad"), ("script01_1b", "M", 4, "ang"), ("impro01", "M", 1, "neu"),
    )
}  # fmt: skip


# ---- MELD ----


def clip(path: Path, hertz: tuple[float, ...], seconds: float = 0.5) -> None:
    """An mp4 with a tone on each channel."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(int(48_000 * seconds)) / 48_000
    wave = np.stack([0.3 * np.sin(2 * np.pi * f * t) for f in hertz]).astype(np.float32)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(hertz)]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48_000)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout=layout)
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def tables(src: Path, rows: dict[str, list[str]]) -> Path:
    from serdesc.data.corpora import meld

    src.mkdir(parents=True, exist_ok=True)
    for split in meld.FOLDERS:
        (src / f"{split}_sent_emo.csv").write_text(
            "\r\n".join([HEAD, *rows.get(split, [])]) + "\r\n", encoding="utf-8", newline=""
        )
    return src


# ---- SpeechCraft and SECap: the fixtures craft and secap ----


def voice(path: Path, seconds: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, rng.normal(0, 0.1, int(seconds * 16_000)), 16_000)


def cut_clips(craft: Path, folder: Path, suffix: str) -> Path:
    """The segments of the fixture craft as clips: their folder."""
    for recording in json.loads((craft / "GigaSpeech.json").read_text())["audios"]:
        wave, rate = soundfile.read(craft / recording["path"], dtype="int16")
        (folder / recording["aid"]).mkdir(parents=True)
        for row in recording["segments"]:
            first, last = round(row["begin_time"] * rate), round(row["end_time"] * rate)
            path = folder / recording["aid"] / f"{row['sid']}{suffix}"
            opus = {"format": "OGG", "subtype": "OPUS"} if suffix == ".opus" else {}
            soundfile.write(path, wave[first:last], rate, **opus)
    return folder


def parquet_clips(craft: Path, folder: Path, rows_per_file: int = 5) -> Path:
    """The segments of the fixture craft as in speechcolab/gigaspeech: the folder of the files."""
    import pyarrow
    from pyarrow import parquet

    clips, rows = cut_clips(craft, folder.with_name("cut"), ".wav"), []
    for recording in json.loads((craft / "GigaSpeech.json").read_text())["audios"]:
        for row in recording["segments"]:
            path = clips / recording["aid"] / f"{row['sid']}.wav"
            rows.append(
                {
                    "segment_id": row["sid"],
                    "speaker": "N/A",
                    "text": row["text_tn"],
                    "audio": {"bytes": path.read_bytes(), "path": path.name},
                    "begin_time": np.float32(row["begin_time"]),
                    "end_time": np.float32(row["end_time"]),
                    "audio_id": recording["aid"],
                    "title": "x",
                    "url": "N/A",
                    "source": 0,
                    "category": 24,
                    "original_full_path": recording["path"],
                }
            )
    (folder / "m").mkdir(parents=True)
    for i in range(0, len(rows), rows_per_file):
        table = pyarrow.Table.from_pylist(rows[i : i + rows_per_file])
        path = folder / "m" / f"train-{i // rows_per_file:05d}.parquet"
        parquet.write_table(table, path, row_group_size=2)
    return folder


def change(path: Path, how: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(how(json.loads(path.read_text()))))


# ---- recipes ----


RECIPES = sorted(path.parent.name for path in ROOT.glob("egs/*/run.sh"))


def copy_recipe(root: Path, recipe: str, small: str = "") -> Path:
    """A copy of a recipe in a checkout of its own, with small.yaml in it: its directory."""
    folder = root / "egs" / recipe
    folder.mkdir(parents=True)
    for name in ("utils", "tools", "serdesc"):
        if not (root / name).exists():
            (root / name).symlink_to(ROOT / name)
    for name in ("run.sh", "path.sh", "cmd.sh"):
        shutil.copy(ROOT / "egs" / recipe / name, folder)
    for name in ("conf", "local"):
        if (ROOT / "egs" / recipe / name).is_dir():
            shutil.copytree(ROOT / "egs" / recipe / name, folder / name)
    if small:
        config = ROOT / "egs" / recipe / "conf" / f"{recipe}.yaml"
        (folder / "small.yaml").write_text(small.format(config=config))
    return folder


def run_script(script: Path, *options: str, cwd: Path | None = None, **env: str) -> tuple[int, str]:
    """Exit status of a script, and what it printed on both streams, in the order of the streams."""
    done = subprocess.run(
        [str(script), *options],
        cwd=cwd or script.parent,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )
    return done.returncode, done.stdout + done.stderr


def dry_run(recipe: str, *options: str, script: str = "run.sh", **env: str) -> list[str]:
    """The lines that a dry run of a recipe prints."""
    folder = ROOT / "egs" / recipe
    code, output = run_script(folder / script, "--dry-run", *options, cwd=folder, **env)
    assert code == 0, output
    return output.splitlines()
