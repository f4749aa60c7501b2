"""Whole recipes, from stage 1 to the report, on small generated copies of their corpora with the
built-in small models; recipe and corpus are in a directory whose name a shell could misread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile
from helpers import FEW, ROOT, change, clip, copy_recipe, run_script, tables, tree

from serdesc.data import datadir
from serdesc.files import read_json, read_jsonl

pytestmark = [
    pytest.mark.recipes,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / "tools/venv/bin/serdesc").exists(),
        reason="recipes run in tools/venv: tools/setup.sh makes it",
    ),
]

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
TINY = """include: {config}
threads: 1
folds: {{test_utterances: 2}}
encoder: {{model: hubert-mini}}
llm: {{model: llama-mini, dtype: float32, lora: {{r: 2}}}}
branch: {{latent: 4}}
adapter: {{hidden: 8}}
training: {{batch_size: 4, content: {{epochs: 1}}, descriptor: {{epochs: 1}}}}
decoding: {{max_new_tokens: 8}}
"""


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    folder = tmp_path / "it's; \u8bed $HOME"
    folder.mkdir()
    return folder


def run(folder: Path, *options: str, expected: int = 0) -> str:
    """Run a copy of a recipe with small.yaml on the CPU; what it printed."""
    code, output = run_script(folder / "run.sh", "--config", "small.yaml", "--ngpu", "0", *options)
    assert code == expected, output
    return output


def test_iemocap_adapts_and_puts_zero_shot_beside_it(tmp_path: Path) -> None:
    folder = copy_recipe(tmp_path, "iemocap", SMALL)
    labels = FEW | {"Ses01F_impro02_M001": "fru", "Ses01F_impro02_M002": "xxx"}
    source = tree(tmp_path / "source", labels, seconds=lambda utt_id: 0.6)
    options = ["--init", "describer-mini", "--dump", "dump/small"]
    first = run(folder, "--corpus", str(source), "--stop-stage", "1", *options, expected=1)
    assert "session Ses01: 8 utterances, 1085 are published" in first
    second = run(folder, "--stage", "2", "--stop-stage", "2", *options, expected=1)
    assert "fold5/test: 8 utterances, 1241 are published" in second
    run(folder, "--stage", "3", "--folds", "1 2", *options)
    for tag in ("small", "small-zero-shot"):
        scores = {
            s["metric"]: s for s in read_json(folder / f"exp/{tag}/score_test.json")["scores"]
        }
        assert (
            scores["ua"]["n"] == 16
            and scores["wer"]["n"] == 16
            and len(scores["ua"]["by_fold"]) == 2
        )
        assert "protocol:all" in scores["ua"]["signature"]
    adapted, zero_shot = (
        read_jsonl(folder / f"exp/{tag}/fold1/decode_test/hyp.jsonl")
        for tag in ("small", "small-zero-shot")
    )
    assert [row["utt_id"] for row in adapted] == [
        row["utt_id"] for row in zero_shot
    ] and adapted != zero_shot
    assert not (folder / "exp/small-zero-shot/fold1/checkpoint").exists()
    stored = {
        line.split()[0] for line in (folder / "dump/small/feats.scp").read_text().splitlines()
    }
    assert stored == set(FEW), "turns that no fold holds are not stored"


def test_meld_from_clips_to_scores(tmp_path: Path) -> None:
    folder = copy_recipe(tmp_path, "meld", SMALL)
    emotions = "neutral joy anger surprise sadness disgust fear".split()
    rows = {
        split: [
            f'{i},"Number {i},'
            f' please.",{("Ross", "Monica", "Mark")[i % 3]},{emotions[i % 7]},x,0,{i},1,1,"00:00:01,0","00:00:02,0"'
            for i in range(14)
        ]
        for split in ("train", "test")
    }
    source = tables(tmp_path / "source", rows)
    for i in range(14):
        clip(
            source / "train_splits" / f"dia0_utt{i}.mp4",
            (150.0 + 10 * i,) * (1, 6)[i % 2],
            seconds=0.5 + 0.05 * i,
        )
        clip(
            source / "output_repeated_splits_test" / f"dia0_utt{i}.mp4",
            (155.0 + 10 * i,) * (1, 6)[i % 2],
            seconds=(0.2, 1.0)[i % 2],
        )
    options = ["--init", "describer-mini"]
    run(folder, "--corpus", str(source), "--stop-stage", "1", *options, expected=1)
    second = run(folder, "--stage", "2", "--stop-stage", "2", *options, expected=1)
    assert "fold1/test: 14 utterances, 2610 are published" in second
    run(folder, "--stage", "3", "--adapt", "true", *options)
    assert "followed by silence up to 0.4 s" in (folder / "data/small/adjusted.tsv").read_text()
    scores = {s["metric"]: s for s in read_json(folder / "exp/small/score_test.json")["scores"]}
    assert (
        scores["ua"]["n"] == 14
        and scores["gender"]["n"] == 10
        and np.isfinite(scores["wer"]["value"])
    )
    assert soundfile.info(folder / "data/meld/all/audio/dia0_utt0-test.flac").samplerate == 16_000


def test_the_speechcraft_recipe_runs_to_its_table(craft: Path, tmp_path: Path) -> None:
    folder = copy_recipe(tmp_path / "w", "speechcraft", TINY)
    change(craft / "Labels.json", lambda rows: {**rows, "LJ001-0001": {"labels": "emotion:sad"}})
    said = run(folder, "--nj", "1", "--corpus", str(craft), "--max-disk", "0.0001")
    assert (
        "note: counts (1)\n  9 utterances, 670070 are published" in said
        and "note: rejected (1)\n  LJ001-0001" in said
    ), "a part is no fault"
    assert (
        "GB, more than 0.0001 GB" in said
        and "they are computed live" in said
        and "small: test, 1 fold(s) pooled" in said
    )
    assert read_json(folder / "dump/hubert-large/small/header.json")["live"] is True
    test = datadir.read(folder / "data/small/fold1/test")
    assert [
        row["utt_id"] for row in read_jsonl(folder / "exp/small/fold1/decode_test/hyp.jsonl")
    ] == [utt.utt_id for utt in test]
    assert (
        {
            score["metric"]: score["n"]
            for score in read_json(folder / "exp/small/score_test.json")["scores"]
        }["wer"]
        == len(test)
        == 3
    )
    assert (
        len(read_jsonl(folder / "exp/small/fold1/train.jsonl")) == 4
    )  # two steps a phase over six utterances
    saved = (folder / "exp/small/fold1/config.yaml").read_text()
    assert str(craft) not in saved and "text: instruction" in saved


def test_the_secap600_recipe_asks_a_trained_model(secap: Path, tmp_path: Path) -> None:
    folder = copy_recipe(tmp_path / "w", "secap600", TINY)
    options = ["--nj", "1", "--init", "describer-mini"]
    assert "none is no trained model" in run(
        folder, "--corpus", str(secap), "--init", "none", expected=2
    )
    first = run(folder, "--corpus", str(secap), *options, expected=1)
    assert "6 utterances, 600 are published" in first and not (folder / "data/small/fold1").exists()
    said = run(folder, "--stage", "2", *options)
    assert (
        "decode with describer-mini as it is" in said
        and "zero_shot: test, 1 fold(s) pooled" in said
    )
    rows = read_jsonl(folder / "exp/zero_shot/fold1/decode_test/hyp.jsonl")
    assert len(rows) == 6 and all(row["response"] for row in rows)
    assert not (folder / "dump").exists() and not (folder / "data/small/fold1/train").exists()
    assert "hubert-mini, llama-mini" in (folder / "exp/zero_shot/RESULTS.md").read_text()
    scores = {
        score["metric"]: score
        for score in read_json(folder / "exp/zero_shot/score_test.json")["scores"]
    }
    assert scores["wer"]["counts"]["words"] == 24  # four characters an utterance
    assert (
        scores["bleu4"]["value"] is None
    ), "English answers have no score against Mandarin references"


def test_emodb_with_a_whisper_encoder_and_another_llm(
    tmp_path: Path, tone: Callable[..., Path], tiny_whisper: Path, tiny_llm: Path
) -> None:
    """All stages on models of --models, of random weights; boredom from file name to score."""
    folder = copy_recipe(tmp_path / "work", "emodb")
    (folder / "small.yaml").write_text(
        TINY.format(config=ROOT / "egs/emodb/conf/seven_pairs.yaml")
        .replace("encoder: {model: hubert-mini}\n", "")
        .replace("llm: {model: llama-mini, dtype: float32,", "llm: {dtype: float32,")
        .replace("test_utterances: 2", "labels: [angry, bored, happy, sad]")
    )
    (tmp_path / "models").mkdir()
    (tmp_path / "emodb/wav").mkdir(parents=True)
    (tmp_path / "models/whisper-base").symlink_to(tiny_whisper)
    (tmp_path / "models/smollm2-135m-instruct").symlink_to(tiny_llm)
    for s, speaker in enumerate(("03", "08", "09", "10")):
        for e, letter in enumerate("WLFT"):
            wav = tone(seconds=0.5 + 0.1 * e, pitch=110.0 + 40 * s + 10 * e)
            wav.rename(tmp_path / "emodb/wav" / f"{speaker}a0{1 + e % 2}{letter}a.wav")
    options = ["--corpus", str(tmp_path / "emodb"), "--models", str(tmp_path / "models")]
    run(folder, *options, "--init", "none", "--folds", "1 2", "--dump", "dump/tiny")
    header = read_json(folder / "dump/tiny/header.json")
    assert (header["layer_count"], header["width"], header["frame_rate"]) == (3, 16, 50)
    test = datadir.read(folder / "data/small/fold2/test")
    assert {(utt.spk, utt.gender) for utt in test} == {("09", "female"), ("10", "male")}
    assert sorted(str(utt.emotion) for utt in test) == sorted(
        2 * ["angry", "bored", "happy", "sad"]
    )
    assert all(utt.labels and utt.labels.emotion == utt.emotion for utt in test)
    assert test[0].text == "Der Lappen liegt auf dem Eisschrank."
    scores = {s["metric"]: s for s in read_json(folder / "exp/small/score_test.json")["scores"]}
    assert scores["ua"]["n"] == 16 and scores["ua"]["chance"] == 25.0
    assert scores["wer"]["n"] == 16 and scores["gender"]["n"] == 16


def test_ravdess_from_file_names_to_the_report(tmp_path: Path, tone: Callable[..., Path]) -> None:
    folder = copy_recipe(tmp_path / "work", "ravdess")
    (folder / "small.yaml").write_text(
        TINY.format(config=ROOT / "egs/ravdess/conf/four.yaml").replace(
            "test_utterances: 2", 'test_speakers: [["01", "02"], ["03", "04"]]'
        )
    )
    for actor in range(1, 5):
        (tmp_path / f"ravdess/Actor_{actor:02d}").mkdir(parents=True)
        for e, emotion in enumerate(("01", "03", "04", "05", "08")):
            name = f"03-01-{emotion}-01-0{1 + e % 2}-01-{actor:02d}.wav"
            wav = tone(seconds=0.5 + 0.1 * e, pitch=110.0 + 40 * actor + 10 * e)
            wav.rename(tmp_path / f"ravdess/Actor_{actor:02d}" / name)
    run(folder, "--corpus", str(tmp_path / "ravdess"), "--init", "none", "--folds", "1 2")
    scores = {s["metric"]: s for s in read_json(folder / "exp/small/score_test.json")["scores"]}
    assert scores["ua"]["n"] == 16 and scores["ua"]["chance"] == 25.0  # without the surprised ones
    assert scores["gender"]["n"] == 16
