"""SSL baselines: losses, CTC, padding."""

from __future__ import annotations

import pytest
import torch
from helpers.models import random_features, tiny
from torch import Tensor, nn

from serdesc.captions import reader
from serdesc.captions.fields import EMOTIONS
from serdesc.errors import UserError
from serdesc.features.batches import pad
from serdesc.models.ssl_baseline import CHARACTERS, SslBaseline


@pytest.fixture
def baseline(tiny_settings: list[str]) -> SslBaseline:
    assert isinstance(model := tiny(tiny_settings, "ssl_hubert"), SslBaseline)
    return model


CAPTIONS = [
    'A speaker says "go on", sounding sad.',
    'A speaker says "it is", sounding happy.',
    "A speaker speaks, sounding angry.",
]


def test_its_loss_is_cross_entropy_and_ctc_a_character(baseline: SslBaseline) -> None:
    x, frames = pad(random_features(30, 41, 25))
    loss = baseline(x, frames, CAPTIONS, "joint")
    emotions, characters = baseline.log_probs(x, frames)
    wanted = torch.zeros(())
    for i, (emotion, text) in enumerate((("sad", "go on"), ("happy", "it is"), ("angry", ""))):
        wanted = wanted - emotions[i, EMOTIONS.index(emotion)]
        if text:
            labels = torch.tensor([[CHARACTERS.index(c) for c in text]])
            wanted = wanted + nn.CTCLoss(reduction="mean")(
                characters[i : i + 1].transpose(0, 1),
                labels,
                frames[i : i + 1],
                torch.tensor([len(text)]),
            )
    torch.testing.assert_close(loss.llm, wanted)
    assert (loss.tokens, loss.frames, float(loss.kl)) == (3, 0, 0.0)


def test_padding_and_batch_change_nothing(baseline: SslBaseline) -> None:
    rows = random_features(12, 33, 20)
    together = baseline(*pad(rows), CAPTIONS, "joint").llm
    alone = [baseline(*pad([row]), [caption], "joint").llm for row, caption in zip(rows, CAPTIONS)]
    torch.testing.assert_close(together, torch.stack(alone).sum(), atol=1e-4, rtol=1e-5)
    assert baseline.generate(*pad(rows), 8) == [
        baseline.generate(*pad([row]), 8)[0] for row in rows
    ]


def test_the_best_path_is_collapsed(baseline: SslBaseline, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "hh_e_ll_llo_  w_ee"
    characters = torch.full((1, len(path), len(CHARACTERS)), -9.0)
    for t, c in enumerate(path):
        characters[0, t, CHARACTERS.index(c)] = 0
    emotions = torch.eye(len(EMOTIONS))[EMOTIONS.index("calm")][None]
    monkeypatch.setattr(
        baseline, "log_probs", lambda x, frames: (emotions.log_softmax(-1), characters)
    )
    fields = reader.read(baseline.generate(torch.zeros(1), torch.tensor([len(path)]), 8)[0])
    assert (fields.transcript, fields.emotion) == ("hello we", "calm")
    found: Tensor = torch.tensor(
        baseline.log_likelihoods(
            torch.zeros(1), frames=torch.tensor([1]), answers=[[CAPTIONS[0], CAPTIONS[1]]]
        )
    )
    torch.testing.assert_close(found[0, 0], found[0, 1])


def test_the_classes_are_the_usual_emotions_and_others_of_the_configuration(
    tiny_settings: list[str],
) -> None:
    """Four or no labels leave the head, and its initial weights, as they are in every checkpoint."""
    usual = tiny(tiny_settings, "ssl_hubert")
    four = tiny([*tiny_settings, "folds.labels=[angry, sad]"], "ssl_hubert")
    assert isinstance(usual, SslBaseline) and isinstance(four, SslBaseline)
    assert usual.emotions == four.emotions == EMOTIONS and "bored" not in EMOTIONS
    for one, other in zip(usual.parameters(), four.parameters()):
        assert torch.equal(one, other)
    bored = tiny([*tiny_settings, "folds.labels=[bored, sad]"], "ssl_hubert")
    assert isinstance(bored, SslBaseline) and bored.emotions == (*EMOTIONS, "bored")
    x, frames = pad(random_features(20))
    caption = "A speaker speaks, sounding bored."
    loss = bored(x, frames, [caption], "joint")
    torch.testing.assert_close(loss.llm, -bored.log_probs(x, frames)[0][0, -1])
    assert bored.log_likelihoods(x, frames, [[caption]])[0][0] == pytest.approx(-loss.llm.item())
    with torch.no_grad():
        bored.emotion[-1].bias[-1] = 99
    assert reader.read(bored.generate(x, frames, 8)[0]).emotion == "bored"
    with pytest.raises(UserError, match="'bored' is no class .* folds.labels"):
        usual(x, frames, [caption], "joint")
