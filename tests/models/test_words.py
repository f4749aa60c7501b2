"""Speech tokens that are replaced by words of the LLM (adapter.words)."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.models import random_features, tiny

from serdesc.captions import writer
from serdesc.captions.fields import VALUES, Fields
from serdesc.features import batches
from serdesc.inference.decode import posteriors
from serdesc.models import llm as llms
from serdesc.models import words
from serdesc.models.describer import Describer

SETTINGS = ["adapter.slots=3", "adapter.words=true", "adapter.k=2"]


def described(tiny_settings: list[str], *settings: str) -> Describer:
    model = tiny([*tiny_settings, *SETTINGS, *settings], "full")
    assert isinstance(model, Describer)
    return model.eval()


def test_the_nearest_by_squared_distances() -> None:
    s, embeddings = torch.randn(2, 5, 4), torch.randn(7, 4)
    found = words.nearest(s, embeddings)
    best = torch.cdist(s, embeddings).argmin(-1)
    assert torch.equal(found, embeddings[best])


def test_every_speech_token_is_an_embedding_of_its_own_list(tiny_settings: list[str]) -> None:
    model = described(tiny_settings)
    x, frames = batches.pad(random_features(9, 14))
    with torch.no_grad():
        speech = model.encode_speech(x, frames, "joint", {})
    table = llms.embeddings(model.llm).weight
    for i, count in enumerate(model.token_counts(frames)):
        for s in speech.s_con[i, :count]:
            assert (table == s).all(-1).any()
        for u in range(count):
            name = list(VALUES)[u % 3]
            values = words.embeddings_of(model.llm, model.tokenizer, VALUES[name])
            assert speech.s_des is not None and (values == speech.s_des[i, u]).all(-1).any()


def test_content_tokens_are_of_the_vocabulary(tiny_settings: list[str]) -> None:
    model = described(tiny_settings)
    x, frames = batches.pad(random_features(9, 14))
    table = llms.embeddings(model.llm).weight
    model.vocabulary = [3, 20, 21]
    with torch.no_grad():
        s_con = model.encode_speech(x, frames, "joint", {}).s_con
    (blank,) = model.tokenizer.encode(words.BLANK, add_special_tokens=False)
    for s in s_con[1]:
        assert (table[[3, 20, 21, blank]] == s).all(-1).any()


def test_a_repeated_content_token_becomes_the_blank(tiny_settings: list[str]) -> None:
    model = described(tiny_settings)
    table = llms.embeddings(model.llm).weight.detach()
    (blank,) = model.tokenizer.encode(words.BLANK, add_special_tokens=False)
    near = table[[5, 5, 5, 9, 5, blank, blank, 5]][None] + 1e-4
    found = words.nearest_content(model.llm, model.tokenizer, near, [5, 9, blank])
    assert torch.equal(found[0], table[[5, blank, blank, 9, 5, blank, blank, 5]])


def test_a_vocabulary_is_all_tokens_of_transcripts_and_the_blank(tiny_settings: list[str]) -> None:
    tokenizer = described(tiny_settings).tokenizer
    texts = [" yes", " no not yes", " "]
    ids = {i for text in texts for i in tokenizer.encode(text, add_special_tokens=False)}
    assert words.vocabulary_of(tokenizer, ["yes", "no not yes"]) == ids


def test_padding_changes_no_word(tiny_settings: list[str]) -> None:
    model = described(tiny_settings)
    one, two = random_features(9, 30)
    with torch.no_grad():
        alone = model.encode_speech(*batches.pad([one]), "joint", {})
        beside = model.encode_speech(*batches.pad([one, two]), "joint", {})
    assert alone.s_des is not None and beside.s_des is not None
    assert torch.equal(beside.s_con[0, :4], alone.s_con[0])
    assert torch.equal(beside.s_des[0, :4], alone.s_des[0])


def test_probabilities_of_a_fields_words_by_hand(tiny_settings: list[str]) -> None:
    """Softmax of minus 30 squared distances of the mean token, the mean embedding as unit."""
    model = described(tiny_settings)
    features = random_features(9, 30)
    x, frames = batches.pad(features)
    values = ["angry", "happy", "sad"]
    found = torch.tensor(model.word_log_probabilities(x, frames, "emotion", values))
    table = llms.embeddings(model.llm).weight.detach()
    unit = table.square().sum(-1).mean()
    embeddings = words.embeddings_of(model.llm, model.tokenizer, values)
    branch = model.descriptor
    for i, one in enumerate(features):
        z = branch.bottleneck(one[None].float()).mu
        own = branch.adapter(z, torch.ones(z.shape[:2]))[0, ::3]  # slot 0 of 3
        distances = (own.mean(0) - embeddings).square().sum(-1) / unit
        torch.testing.assert_close(
            found[i], (-30 * distances).log_softmax(-1), rtol=1e-4, atol=1e-4
        )
    speech = model.encode_speech(x, frames, "joint", {})
    chosen = words.embeddings_of(model.llm, model.tokenizer, VALUES["emotion"])
    all_values = model.word_log_probabilities(x, frames, "emotion", VALUES["emotion"])
    for i, probabilities in enumerate(all_values):
        best = chosen[int(torch.tensor(probabilities).argmax())]
        assert speech.s_des is not None and torch.equal(speech.s_des[i, 0], best)


def test_a_clip_too_short_for_a_fields_token_has_no_preference(tiny_settings: list[str]) -> None:
    model = described(tiny_settings)
    x, frames = batches.pad(random_features(3))  # one token, of slot 0
    (same,) = model.word_log_probabilities(x, frames, "pitch", VALUES["pitch"])
    assert same == pytest.approx([-math.log(3)] * 3)


def test_the_posterior_is_of_the_word_where_the_llm_is_given_one(tiny_settings: list[str]) -> None:
    x, frames = batches.pad(random_features(9, 30))
    emotions = ["angry", "sad"]
    responses = [writer.render(Fields(emotion="sad", pitch="low"), "a"), "nothing of that kind"]
    model = described(tiny_settings)
    found = posteriors(model, x, frames, responses, emotions)
    values = model.word_log_probabilities(x, frames, "emotion", emotions)[0]
    assert list(found) == [0] and sum(found[0].values()) == pytest.approx(1)
    assert found[0]["sad"] == pytest.approx(float(torch.tensor(values).softmax(-1)[1]), rel=1e-4)
    llm = described(tiny_settings, "adapter.words=false")
    answers = [[writer.with_emotion(responses[0], emotion) or "" for emotion in emotions]]
    (values,) = llm.log_likelihoods(x[:1], frames[:1], answers)
    found = posteriors(llm, x, frames, responses, emotions)
    assert found[0]["sad"] == pytest.approx(float(torch.tensor(values).softmax(-1)[1]), rel=1e-4)
    undivided = tiny([*tiny_settings, *SETTINGS, "model=undivided"], "full")
    assert not described(tiny_settings, "adapter.slots=0").has_field_words
    assert isinstance(undivided, Describer) and not undivided.has_field_words


def test_branches_give_words_in_training_only_if_they_are_not_trained(
    tiny_settings: list[str],
) -> None:
    x, frames = batches.pad(random_features(9))
    training = described(tiny_settings).train()
    assert training.encode_speech(x, frames, "joint", {}).s_con.grad_fn is not None
    soft = training.encode_speech(x, frames, "joint", {}).s_con
    fixed = described(tiny_settings, "training.branches=false")
    fixed.load_state_dict(training.state_dict())
    fixed.train_phase("descriptor")
    assert torch.equal(
        fixed.encode_speech(x, frames, "joint", {}).s_con,
        words.nearest_content(fixed.llm, fixed.tokenizer, soft),
    )
