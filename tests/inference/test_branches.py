"""KL per frame and layer weights beside hyp.jsonl."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.training import CPU, Lab
from safetensors import safe_open

from serdesc.data import datadir
from serdesc.features import batches
from serdesc.files import partial_of
from serdesc.inference import branches
from serdesc.inference.decode import decode
from serdesc.models import checkpoint


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    with safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        return tensors, json.loads(file.metadata()["utterances"])


def test_kl_of_every_utterance_is_written_in_order(lab: Lab) -> None:
    exp = lab.train("exp")
    lab.captions(exp)
    tensors, metadata = read(exp / "decode_test" / "hyp.branches.safetensors")
    ids = metadata["utt_ids"]
    hyp = (exp / "decode_test" / "hyp.jsonl").read_text().splitlines()
    assert ids == [json.loads(line)["utt_id"] for line in hyp]
    assert metadata["rate"] == 25
    model, _ = checkpoint.load_model(exp, lab.features, CPU)
    start = 0
    for utt, end in zip(lab.test_part, tensors["ends"]):
        x, frames = batches.pad(lab.features.load([utt]))
        kl = model.kl_per_frame(x, frames)["descriptor"][0].numpy()  # (T,)
        pairs = [kl[i : i + 2].mean() for i in range(0, len(kl), 2)]
        assert np.allclose(tensors["kl_descriptor"][start:end], pairs, rtol=2e-3, atol=1e-4)
        start = end
    assert start == len(tensors["kl_content"]) == len(tensors["kl_descriptor"])
    for name in ("content", "descriptor"):
        assert np.isclose(tensors[f"layer_weights_{name}"].sum(), 1.0)


def test_the_mean_kl_of_the_frames_is_the_kl_of_training(lab: Lab) -> None:
    model, _ = checkpoint.load_model(lab.train("exp"), lab.features, CPU)
    x, frames = batches.pad(lab.features.load(lab.test_part[:3]))
    speech = model.encode_speech(x, frames, "descriptor", {})  # type: ignore[union-attr]
    kl = model.kl_per_frame(x, frames)["descriptor"]
    mask = torch.arange(x.shape[2]) < frames[:, None]
    assert torch.allclose((kl * mask).sum(), speech.kl, rtol=1e-4)


def test_a_stopped_run_keeps_the_kl_of_its_batches(lab: Lab) -> None:
    exp = lab.train("exp")
    lab.captions(exp)
    path = exp / "decode_test" / "hyp.branches.safetensors"
    whole = path.read_bytes()
    hyp = exp / "decode_test" / "hyp.jsonl"
    lines = hyp.read_bytes().splitlines(keepends=True)
    model, _ = checkpoint.load_model(exp, lab.features, CPU)
    rows = []
    for batch in batches.decoding_batches(lab.test_part, 3)[:1]:
        x, frames = batches.pad(lab.features.load(batch))
        rows += branches.rows(model, x, frames, [utt.utt_id for utt in batch])
    finished = {row["utt_id"] for row in rows}
    partial = [line for line in lines if json.loads(line)["utt_id"] in finished]
    hyp.rename(hyp.with_name("kept"))
    path.unlink()
    hyp.with_name(".hyp.jsonl.partial").write_bytes(b"".join(partial))
    text = "".join(json.dumps(row) + "\n" for row in rows)
    partial_of(branches.path_of(hyp)).write_text(text + '{"utt_id": "cut o')
    lab.captions(exp)
    assert path.read_bytes() == whole
    assert not partial_of(branches.path_of(hyp)).exists()


def test_the_key_leaves_it_out_and_changes_no_caption(lab: Lab) -> None:
    exp = lab.train("exp")
    with_kl = lab.captions(exp)
    hyp = exp / "decode_other" / "hyp.jsonl"
    model, _ = checkpoint.load_model(exp, lab.features, CPU, ["decoding.branches=false"])
    decode(model, lab.features, datadir.read(lab.corpus / "fold1" / "test"), hyp)
    assert hyp.read_bytes() == with_kl
    assert not branches.path_of(hyp).exists()


def test_a_model_without_bottleneck_has_layer_weights_alone(lab: Lab) -> None:
    exp = lab.train("undivided", "model=undivided")
    lab.captions(exp)
    tensors, _ = read(exp / "decode_test" / "hyp.branches.safetensors")
    assert set(tensors) == {"ends", "layer_weights_speech"}


def test_frames_that_were_not_encoded_have_no_kl(lab: Lab) -> None:
    model, _ = checkpoint.load_model(lab.train("exp"), lab.features, CPU)
    utt = lab.test_part[0]
    x, frames = batches.pad(lab.features.load([utt]))
    curves = []
    for first in (None, [6]):
        (row,) = branches.rows(model, x, frames, [utt.utt_id], first)
        curves.append(np.frombuffer(base64.b64decode(row["content"]), "<f2"))
    assert not curves[1][:3].any() and np.array_equal(curves[1][3:], curves[0])
