"""serdesc probe: branches taken apart, on a model whose branches are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cli import serdesc
from helpers.training import Lab

from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.inference import probing
from serdesc.models import checkpoint
from serdesc.scoring import probing as figures


def utterance(number: int, speaker: str, emotion: str, text: str) -> Utterance:
    labels = Fields(transcript=text, emotion=emotion, gender="male")
    return Utterance(f"u{number:02d}", "x.wav", speaker, text=text, emotion=emotion, labels=labels)


def test_pairs_have_two_speakers_and_do_not_depend_on_order() -> None:
    data = [utterance(i, f"s{i % 3}", ("sad", "happy")[i % 2], f"word{i}") for i in range(12)]
    found = probing.pairs(data)
    assert len(found) == 24 and all(p.content.spk != p.descriptor.spk for p in found)
    assert all((p.content.emotion == p.descriptor.emotion) is p.same_emotion for p in found)
    key = lambda p: (p.content.utt_id, p.descriptor.utt_id)  # noqa: E731
    assert set(map(key, probing.pairs(data[::-1]))) == set(map(key, found))


def test_tokens_are_repeated_or_left_out() -> None:
    tokens = torch.arange(4.0)[None, :, None]
    assert probing.resampled(tokens, 8).flatten().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert probing.resampled(tokens, 2).flatten().tolist() == [0, 2]
    assert probing.resampled(tokens, 4).equal(tokens)


def test_an_utterance_with_its_own_descriptors_has_its_own_caption(lab: Lab) -> None:
    exp = lab.train("probed")
    model, _ = checkpoint.load_model(exp, lab.features, torch.device("cpu"))
    test = probing.BranchTest(model, lab.features)  # type: ignore[arg-type]
    utt = lab.test_part[0]
    speech, counts = test._encode([utt])
    assert speech.s_des is not None
    own = replace_descriptors(speech, probing.resampled(speech.s_des, speech.s_con.shape[1]))
    assert test._captions(own, counts) == test._captions(speech, counts)
    for name, silenced in zip(probing.BRANCHES, probing.SILENCED):
        changed = test._changed(speech, silenced)
        kept = changed.s_des if name == "content" else changed.s_con
        before = speech.s_des if name == "content" else speech.s_con
        assert kept is not None and before is not None and kept.equal(before)
        group = changed.s_con if name == "content" else changed.s_des
        assert group is not None and group.std(1).max() < 1e-6  # the same token all along


def replace_descriptors(speech: Any, s_des: torch.Tensor) -> Any:
    return (
        speech._replace(s_des=s_des)
        if hasattr(speech, "_replace")
        else replace(speech, s_des=s_des)
    )


def test_what_a_caption_follows_is_counted() -> None:
    a, b = utterance(0, "s0", "sad", "one two"), utterance(1, "s1", "happy", "three four")
    pair = probing.Pair(a, b, False)
    answers = [
        Fields(transcript="one two", emotion="happy"),
        Fields(transcript="one too", emotion="sad"),
        Fields(transcript=None, emotion=None),
    ]
    rows = figures.swap_rows([(pair, answer) for answer in answers], ScoringConfig())
    assert [row["transcript of content"] for row in rows] == [True, True, False]
    assert [row["emotion of descriptor"] for row in rows] == [True, False, False]
    assert "gender of content" not in rows[0]  # both are male
    table = {row["field"]: row for row in figures.swap(rows, ScoringConfig())}
    assert table["emotion"]["content"]["value"] == table["emotion"]["descriptor"]["value"] == 33.33
    assert table["transcript"]["content"]["value"] == 66.67


def test_linear_probes_find_what_is_there_and_no_more() -> None:
    rng = np.random.default_rng(0)
    emotions, words = ("angry", "happy", "neutral", "sad"), ("yes", "no", "maybe")
    data = []
    for i in range(240):
        text = " ".join(w for w in words if rng.random() < 0.6) or "well"
        data.append(utterance(i, f"s{i % 8}", emotions[rng.integers(4)], text))
    noise = {u.utt_id: rng.normal(size=8) for u in data}
    emotional = {u.utt_id: noise[u.utt_id].copy() for u in data}
    wordy = {u.utt_id: noise[u.utt_id].copy() for u in data}
    for u in data:
        emotional[u.utt_id][emotions.index(u.emotion or "")] += 9
        for i, word in enumerate(words):
            wordy[u.utt_id][i] += 9 * (word in (u.text or ""))
    vectors = {"z of content": wordy, "z of descriptor": emotional}
    rows = figures.probes(data[:160], data[160:], vectors, ScoringConfig())
    read = {(row["read"], row["from"]): row["value"] for row in rows}
    assert read["emotion", "z of descriptor"] > 95 > 45 > read["emotion", "z of content"]
    assert read["words", "z of content"] > 95 > 65 > read["words", "z of descriptor"]
    assert read["speaker", "z of content"] < 35  # of eight, 12.5
    words_said, emotion_said = figures.verdict(rows, [])
    assert "words are not found in the descriptor branch" in words_said
    assert "emotion is not found in the content branch" in emotion_said
    swapped = {(row["read"], row["from"]): {**row, "interval": [10.0, 99.0]} for row in rows}
    swapped["emotion", "z of content"]["value"] = 80.0
    _, unsure = figures.verdict(list(swapped.values()), [])
    assert "emotion leaks into the content branch" in unsure and "includes chance" in unsure


@pytest.mark.parametrize("model", ["describer", "undivided"])
def test_the_command(corpus: Path, tmp_path: Path, tiny_settings: list[str], model: str) -> None:
    options = [w for s in [*tiny_settings, f"model={model}"] for w in ("--set", s)]
    for command in (
        ("annotate", corpus, *options),
        ("train", corpus / "fold1" / "train", "live", tmp_path / "exp" / "fold1", *options),
    ):
        code, text = serdesc(*command)
        assert code == 0, text
    exp = tmp_path / "exp" / "fold1"
    code, text = serdesc("probe", corpus / "fold1" / "test", "live", exp, "--limit", 4)
    assert code == 0, text
    tree = json.loads((exp / "probe_test.json").read_text())
    kinds = {row["from"] for row in tree["probes"]}
    if model == "describer":
        assert kinds == {"encoder", "z of content", "z of descriptor"}
        assert len(tree["kl per dimension"]["content"]) == 4
        assert set(tree["silence"]) == {"whole", "content silenced", "descriptor silenced"}
        assert tree["swap"] and "swapped branches" in text
    else:
        assert kinds == {"encoder", "speech tokens"} and set(tree["silence"]) == {"whole"}
    assert "linear probes" in text
    code, text = serdesc("probe", corpus / "fold1" / "test", "live", tmp_path / "nowhere")
    assert code == 2 and "no experiment there" in text
