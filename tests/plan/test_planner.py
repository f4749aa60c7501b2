"""The plan and its command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.cli import app
from serdesc.config import StoreConfig
from serdesc.data import annotate, datadir, rejections
from serdesc.errors import UserError
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.plan import lengths, planner, shapes

CPU = torch.device("cpu")


MINI = [
    "encoder.model=hubert-mini",
    "llm.model=llama-mini",
    "llm.dtype=float32",
    "device=cpu",
    "adapter.hidden=256",
    "llm.lora.dropout=0",
]


def serdesc(*arguments: object) -> tuple[int, str]:
    """Exit code and output of a verb."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_the_bytes_of_features_are_those_of_a_store(
    corpus: Path, tmp_path: Path, dtype: str
) -> None:
    config = configs.load(settings=[*MINI, f"store.dtype={dtype}"])
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "s", utterances, Encoder.load(config.encoder, CPU), config.store)
    shards = [path.read_bytes() for path in (tmp_path / "s").glob("*.safetensors")]
    headers = sum(8 + int.from_bytes(data[:8], "little") for data in shards)
    assert (
        stores.size(utterances, shapes.encoder(config.encoder)[0], config.store)
        == sum(map(len, shards)) - headers
    )
    assert stores.size([], shapes.encoder(config.encoder)[0], StoreConfig()) == 0


@pytest.mark.slow
def test_a_plan_for_a_small_card(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("training: {batch_size: 4}\n")
    small = [
        "--set",
        "llm.model=meta-llama/Llama-3.2-1B-Instruct",
        "--gpu",
        "rtx3090",
        "--memory",
        2.6,
    ]
    code, said = serdesc(
        "plan", tmp_path / "c.yaml", corpus, *small, "--out", tmp_path / "plan.json"
    )
    assert code == 0, said
    for part in (
        "1,235,814,400",
        "built-in table",
        "llm.quantization=4bit",
        "time on rtx3090",
        "tokens are counted as words",
        "Assumed:",
        "40% of its peak",
    ):
        assert part in said
    tree = json.loads((tmp_path / "plan.json").read_text())
    assert tree["fits"] and tree["memory"]["training"] < 1.6e9 < tree["memory"]["as configured"]
    assert tree["hours"]["training"] > 0 and tree["hours"]["folds"] == 2
    assert set(tree["features"]["bytes"]) == {"float32", "float16", "bfloat16", "int8"}


@pytest.mark.slow
def test_a_plan_knows_folds_and_needs_no_card(
    corpus: Path, tmp_path: Path, tiny_settings: list[str]
) -> None:
    options = [part for setting in tiny_settings for part in ("--set", setting)]
    utterances = datadir.read(corpus)
    for fold in (1, 2):
        datadir.write(corpus / f"fold{fold}" / "train", utterances[4:])
        datadir.write(corpus / f"fold{fold}" / "test", utterances[:4])
    (tmp_path / "c.yaml").write_text("seed: 1\n")
    code, said = serdesc("plan", tmp_path / "c.yaml", corpus, *options)
    assert (
        code == 0
        and "the folds cost what fold1 costs" in said
        and "--calibrate" in said
        and "It fits as configured." in said
    )


@pytest.mark.slow
def test_a_plan_sees_what_is_extracted_trained_on_and_decoded(
    corpus: Path, tmp_path: Path, tiny_settings: list[str]
) -> None:
    """Before `annotate`, after it, and of its folds alone: two of three classes, an utterance that
    cannot be heard, copies at another speed.
    """
    config = configs.load(settings=[*tiny_settings, "folds.labels=[angry, happy]"])
    every = datadir.read(corpus)
    copies = [
        replace(
            u,
            utt_id=f"sp0.9-{u.utt_id}",
            spk=f"sp0.9-{u.spk}",
            uniq=u.utt_id,
            seconds=(u.seconds or 0) / 0.9,
        )
        for u in every
    ]
    datadir.write(corpus, every + copies)
    rejections.write(corpus, [("sp0.9-s3-0", "a.wav", "empty")])
    wanted = {f"{mark}s{s}-{i}" for mark in ("", "sp0.9-") for s in range(4) for i in range(2)} - {
        "sp0.9-s3-0"
    }
    before = lengths.data_parts(corpus, config)
    assert {u.utt_id for u in before.every} == wanted and before.folds == 2
    assert {u.utt_id for u in before.test} == {f"s{s}-{i}" for s in (0, 1) for i in range(2)}
    assert {u.utt_id for u in before.train} == {name for name in wanted if name[-3:-2] in "23"}
    (corpus / rejections.NAME).unlink()
    annotate.annotate(corpus, config, 1, tmp_path / "folds")
    of_data, of_folds = (
        lengths.data_parts(folder, config) for folder in (corpus, tmp_path / "folds")
    )
    assert (
        [u.utt_id for u in of_data.every]
        == [u.utt_id for u in of_folds.every]
        == sorted(wanted | {"sp0.9-s3-0"})
    )
    told = [
        {u.utt_id: (u.labels, u.caption) for u in part}
        for c in (of_data, of_folds)
        for part in (c.train, c.test)
    ]
    assert told[:2] == told[2:] and of_folds.folds == 2
    trees = [planner.plan(config, folder) for folder in (corpus, tmp_path / "folds")]
    assert all(trees[0][name] == trees[1][name] for name in ("tokens", "memory"))
    assert (
        trees[0]["features"]["utterances"] == 16
        and trees[0]["tokens"]["decoding"]["utterances"] == 4
    )
    encoder = shapes.encoder(config.encoder)[0]
    frames = encoder.lengths(
        [round(16_000 * seconds / 0.9) for seconds in (0.7, 0.65, 0.55, 0.5)]
    )  # each of a batch at its slowest
    assert trees[0]["memory"][
        "features waiting in main memory"
    ] == 4 * encoder.layers * encoder.width * sum(frames)


def test_a_plan_of_what_cannot_be_split_says_why(corpus: Path) -> None:
    for settings, why in (
        (["folds.rule=test"], "fold1 has no training part"),
        (["folds.labels=[angry, excited]"], "no utterance is excited"),
        (["folds.rule=recordings"], "folds.test_utterances is 2000, but the data has only"),
    ):
        config = configs.load(settings=settings)
        found = lengths.data_parts(corpus, config)
        assert (
            found.folds == 1 and found.train == found.test == found.every and why in found.notes[0]
        )
    with pytest.raises(UserError, match=r"no utterance has a label of folds.labels \['neutral'\]"):
        lengths.data_parts(corpus, configs.load(settings=["folds.labels=[neutral]"]))


@pytest.mark.slow
def test_hours_replace_data(tmp_path: Path, tiny_settings: list[str]) -> None:
    """A plan from hours alone is that of a data directory with such clips."""
    (tmp_path / "c.yaml").write_text("folds: {rule: recordings, test_utterances: 20}\n")
    options = [part for setting in tiny_settings for part in ("--set", setting)]
    arguments = ["plan", tmp_path / "c.yaml", "--gpu", "a100-80", *options]
    out = tmp_path / "plan.json"
    code, said = serdesc(*arguments, "--hours", 0.5, "--clip-seconds", 2, "--out", out)
    assert code == 0 and "Assumed:" in said and "there are no data: 0.5 h are" in said
    assumed = json.loads(out.read_text())
    config = configs.load([tmp_path / "c.yaml"], tiny_settings)
    parts = lengths.data_parts(lengths.AssumedData(0.5, 2.0), config)
    assert sum(utt.seconds or 0 for utt in parts.every) == pytest.approx(1800, abs=1)
    limit = min(config.prepare.max_seconds, config.training.max_seconds)
    assert {utt.seconds for utt in parts.train} == {utt.seconds for utt in parts.test} == {2, limit}
    assert len(parts.train) + len(parts.test) == len(parts.every)
    long = [utt for utt in parts.test if utt.seconds == limit]
    assert len(parts.test) == 20 + len(long) and len(long) >= config.training.batch_size
    for name, part in (("train", parts.train), ("test", parts.test)):
        clips = [replace(utt, wav=f"{utt.utt_id}.wav") for utt in part]
        datadir.write(tmp_path / "data/fold1" / name, clips)
    real = planner.plan(config, tmp_path / "data", gpu="a100-80")
    for name in ("tokens", "memory", "hours"):
        assert real[name] == assumed[name]
    assert real["features"]["bytes"] == assumed["features"]["bytes"]
    code, said = serdesc(*arguments, "--hours", 0.5)
    assert code == 0 and "clips of 4 s" in said
    for wrong in ((), (tmp_path, "--hours", 1)):
        code, said = serdesc(*arguments, *wrong)
        assert code == 2 and "give DATA or --hours H, one of the two" in said
    code, said = serdesc(*arguments, "--hours", 0.01)
    assert code == 2 and "--hours 0.01: too short for a test part of 20 clips of 4 s" in said
    fifth = lengths.data_parts(lengths.AssumedData(0.5, 2.0), configs.load(settings=tiny_settings))
    assert "(a fifth)" in fifth.notes[0] and len(fifth.test) > 0.2 * len(fifth.every)


@pytest.mark.slow
def test_several_gpus_share_a_batch(tmp_path: Path) -> None:
    """Each has its part of the batch: less memory; and a step lasts at least as long as launching
    its kernels.
    """
    settings = ["folds.rule=recordings", "folds.test_utterances=20"]
    config, data = configs.load(settings=settings), lengths.AssumedData(2, 4.0)
    one, eight = (planner.plan(config, data, "a100-80", gpus=gpus) for gpus in (1, 8))
    assert (one["memory"]["part"], eight["memory"]["part"]) == (8, 1)
    assert eight["memory"]["training"] < one["memory"]["training"]
    assert eight["memory"]["as configured"] == eight["memory"]["training"]
    assert 1 < one["hours"]["training"] / eight["hours"]["training"] < 8
    assert one["hours"]["decoding"] == eight["hours"]["decoding"]
    assert "training: 8 processes share each batch" in " ".join(eight["assumed"])
    assert "one card, one process" in one["assumed"]
    steps = planner.plan(
        replace(config, training=replace(config.training, batch_size=16)), data, "t4", gpus=8
    )
    assert steps["memory"]["part"] <= 2
    with pytest.raises(UserError, match="--gpus 9: more than the 8 utterances of a batch"):
        planner.plan(config, data, "a100-80", gpus=9)


def test_faults_of_a_plan_are_named(corpus: Path, tmp_path: Path, tiny_settings: list[str]) -> None:
    (tmp_path / "c.yaml").write_text("seed: 1\n")
    arguments = [
        "plan",
        tmp_path / "c.yaml",
        corpus,
        *(part for setting in tiny_settings for part in ("--set", setting)),
    ]
    code, said = serdesc(*arguments, "--gpu", "voodoo2")
    assert code == 2 and "--gpu voodoo2" in said and "a100-40" in said
    code, said = serdesc(*arguments, "--gpu", "t4", "--calibrate")
    assert code == 2 and "use one of them" in said
    code, said = serdesc(*arguments, "--config", "ssl_hubert")
    assert code == 2 and "'ssl_baseline' has no LLM" in said
    (corpus / "utt2dur").unlink()
    code, said = serdesc(*arguments)
    assert code == 2 and "add utt2dur" in said


@pytest.mark.parametrize(
    "settings, weight, other",
    [
        ([], "0.0025", "training.kl=sum it would be 0.01"),
        (["training.kl=sum", "training.loss=eq4"], "0.01", "training.kl=mean it would be 0.0025"),
    ],
)
def test_a_plan_says_what_beta_amounts_to(
    corpus: Path, tiny_settings: list[str], settings: list[str], weight: str, other: str
) -> None:
    """beta 1e-2 and K = 4."""
    config = configs.load(settings=[*tiny_settings, *settings])
    assert config.branch.latent == 4
    (note,) = [n for n in planner.plan(config, corpus)["assumed"] if n.startswith("KL: beta 0.01")]
    assert f"has the weight {weight};" in note and note.endswith(other)
    assert ("eq4" in note) == (len(settings) == 2)
