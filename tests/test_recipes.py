"""Whole recipes, stage 1 to 7, on small generated copies of their corpora with the built-in small models."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_iemocap import FEW, tree
from test_meld import clip, tables

from serdesc.files import read_json, read_jsonl

ROOT = Path(__file__).parents[1]
SMALL = """include: {config}
threads: 1
device: cpu
encoder: {{model: hubert-mini, dtype: float32, max_seconds: 12}}
llm: {{model: llama-mini, dtype: float32, lora: {{r: 16, alpha: 32, dropout: 0.0, targets: [q_proj, k_proj, v_proj, o_proj]}}}}
branch: {{latent: 64, layer_norm: true}}
adapter: {{k: 3, hidden: 256}}
training: {{content: {{epochs: 1}}, descriptor: {{epochs: 1}}}}
decoding: {{max_new_tokens: 20}}
"""


def kitchen(house: Path, recipe: str, small: str) -> Path:
    """A copy of a recipe in a house of its own, with small.yaml beside it: its folder."""
    folder = house / "egs" / recipe
    folder.mkdir(parents=True)
    for name in ("utils", "tools", "serdesc"):
        (house / name).symlink_to(ROOT / name)
    for name in ("run.sh", "path.sh", "cmd.sh"):
        shutil.copy(ROOT / "egs" / recipe / name, folder)
    (folder / "small.yaml").write_text(small.format(config=ROOT / "egs" / recipe / "conf" / f"{recipe}.yaml"))
    return folder


def cook(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["./run.sh", "--config", "small.yaml", "--ngpu", "0", "--init", "describer-mini", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.skipif(not (ROOT / "tools/venv/bin/serdesc").exists(), reason="recipes run in tools/venv: tools/setup.sh makes it")
class TestRecipes:
    def test_iemocap_adapts_and_puts_zero_shot_beside_it(self, tmp_path: Path) -> None:
        folder = kitchen(tmp_path, "iemocap", SMALL)
        source = tree(tmp_path / "source", FEW | {"Ses01F_impro02_M001": "fru", "Ses01F_impro02_M002": "xxx"}, seconds=lambda utt_id: 0.6)
        first = cook(folder, "--corpus", str(source), "--stop-stage", "1")
        assert first.returncode == 1 and "session Ses01: 8 utterances, 1085 are known" in first.stdout, first.stderr
        second = cook(folder, "--stage", "2", "--stop-stage", "2")
        assert second.returncode == 1 and "fold5/test: 8 utterances, 1241 are known" in second.stdout, second.stderr
        done = cook(folder, "--stage", "3", "--folds", "1 2")
        assert done.returncode == 0, done.stdout + done.stderr
        for tag in ("small", "small-zero-shot"):
            scores = {s["metric"]: s for s in read_json(folder / f"exp/{tag}/score_test.json")["scores"]}
            assert scores["ua"]["n"] == 16 and scores["wer"]["n"] == 16 and len(scores["ua"]["by_fold"]) == 2
            assert "protocol:all" in scores["ua"]["signature"]
        adapted, zero_shot = (read_jsonl(folder / f"exp/{tag}/fold1/decode_test/hyp.jsonl") for tag in ("small", "small-zero-shot"))
        assert [row["utt_id"] for row in adapted] == [row["utt_id"] for row in zero_shot] and adapted != zero_shot
        assert not (folder / "exp/small-zero-shot/fold1/checkpoint").exists()
        stored = {line.split()[0] for line in (folder / "dump/small/feats.scp").read_text().splitlines()}
        assert stored == set(FEW), "turns that no fold holds are not stored"

    def test_meld_from_clips_to_scores(self, tmp_path: Path) -> None:
        folder = kitchen(tmp_path, "meld", SMALL)
        emotions = "neutral joy anger surprise sadness disgust fear".split()
        rows = {
            split: [
                f'{i},"Number {i}, please.",{("Ross", "Monica", "Mark")[i % 3]},{emotions[i % 7]},x,0,{i},1,1,"00:00:01,0","00:00:02,0"'
                for i in range(14)
            ]
            for split in ("train", "test")
        }
        source = tables(tmp_path / "source", rows)
        for i in range(14):
            clip(source / "train_splits" / f"dia0_utt{i}.mp4", (150.0 + 10 * i,) * (1, 6)[i % 2], seconds=0.5 + 0.05 * i)
            clip(source / "output_repeated_splits_test" / f"dia0_utt{i}.mp4", (155.0 + 10 * i,) * (1, 6)[i % 2], seconds=(0.2, 1.0)[i % 2])
        assert cook(folder, "--corpus", str(source), "--stop-stage", "1").returncode == 1
        second = cook(folder, "--stage", "2", "--stop-stage", "2")
        assert second.returncode == 1 and "fold1/test: 14 utterances, 2610 are known" in second.stdout, second.stderr
        done = cook(folder, "--stage", "3", "--adapt", "true")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "followed by silence up to 0.4 s" in (folder / "data/small-folds/adjusted.tsv").read_text()
        scores = {s["metric"]: s for s in read_json(folder / "exp/small/score_test.json")["scores"]}
        assert scores["ua"]["n"] == 14 and scores["gender"]["n"] == 10 and np.isfinite(scores["wer"]["value"])
        assert soundfile.info(folder / "data/meld/audio/dia0_utt0-test.flac").samplerate == 16_000
