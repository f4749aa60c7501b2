"""The paper's model: sizes, losses, phases, decoding."""

from __future__ import annotations

from typing import Any, Sequence

import pytest
import torch
from helpers.models import D, L, random_features
from torch import Tensor, nn

from serdesc import config as configs
from serdesc.config import AdapterConfig, BranchConfig, Config, LlmConfig
from serdesc.features.batches import pad
from serdesc.models import llm as llms
from serdesc.models.adapter import Adapter
from serdesc.models.bottleneck import Bottleneck
from serdesc.models.describer import Describer, Phase, common_length
from serdesc.models.rows import Side
from serdesc.models.speech import SpeechTokens, noise


@pytest.mark.slow
def test_parameter_counts_at_the_papers_shapes() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    def count(parameters: Sequence[nn.Parameter]) -> int:
        return sum(p.numel() for p in parameters)

    llama = LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    )
    with torch.device("meta"):
        bottleneck = Bottleneck(24, 1024, BranchConfig())
        adapter = Adapter(128, 4096, AdapterConfig())
        lora = {
            targets: llms.with_lora(
                LlamaForCausalLM(llama),
                LlmConfig(lora=configs.LoraConfig(r=r, targets=list(targets))),
            )
            for r, targets in (
                (8, ("q_proj", "v_proj")),
                (16, ("q_proj", "k_proj", "v_proj", "o_proj")),
            )
        }
    assert count(list(bottleneck.parameters())) - 24 == 2_361_600
    assert count(list(adapter.parameters())) == 9_705_472
    assert [count([p for _, p in llms.lora_parameters(m)]) for m in lora.values()] == [
        3_407_872,
        13_631_488,
    ]
    assert (
        count([p for p in lora["q_proj", "v_proj"].parameters() if not p.requires_grad])
        == 8_030_261_248
    )


def test_hubert_large_has_the_shape_that_the_numbers_assume() -> None:
    from transformers import HubertConfig, HubertModel

    with torch.device("meta"):
        model = HubertModel(
            HubertConfig(
                hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, conv_bias=True,
                feat_extract_norm="layer", do_stable_layer_norm=True,
            )  # fmt: skip
        )
    assert 315e6 < sum(p.numel() for p in model.parameters()) < 317e6


TARGETS = ["hello", "a longer answer", "x"]


def eps(config: Config, frames: Tensor) -> dict[str, list[Tensor]]:
    return {
        name: noise(config.branch.latent, frames.tolist(), [s, s + 1, s + 2][: len(frames)])
        for name, s in (("content", 0), ("descriptor", 10))
    }


@pytest.mark.parametrize("phase", ["content", "descriptor", "joint"])
def test_loss_is_the_sum_over_utterances_whatever_the_padding(
    model: Describer, config: Config, phase: Phase
) -> None:
    model.train_phase(phase)
    rows = random_features(12, 33, 20)
    x, frames = pad(rows)
    drawn = eps(config, frames)
    together = model(x, frames, TARGETS, phase, drawn)
    alone = [
        model(*pad([row]), [target], phase, {name: [e[i]] for name, e in drawn.items()})
        for i, (row, target) in enumerate(zip(rows, TARGETS))
    ]
    torch.testing.assert_close(
        together.llm, torch.stack([a.llm for a in alone]).sum(), atol=1e-4, rtol=1e-5
    )
    torch.testing.assert_close(
        together.kl, torch.stack([a.kl for a in alone]).sum(), atol=1e-4, rtol=1e-5
    )
    assert together.tokens == sum(len(t) + 1 for t in TARGETS) and together.frames == 65


def test_nll_equals_the_llms_own_loss_on_all_positions(model: Describer) -> None:
    model.eval()
    rows = model.build_rows(model.prompt, random_speech(model, 1, 4), [4], ["hello"])
    labels = torch.full(rows.mask.shape, -100)
    labels[:, -6:] = rows.labels
    theirs = model.llm(inputs_embeds=rows.embeds, labels=labels).loss
    torch.testing.assert_close(model.token_losses(rows).mean(), theirs)


@pytest.mark.parametrize("common", [0, 3, 7])
def test_answers_that_share_a_prompt_have_the_likelihoods_of_answers_alone(
    model: Describer, common: int
) -> None:
    model.eval()
    speech = random_speech(model, 1, 4)
    answers = ["a cat, calm.", "a cat, sad and angry.", "a cat, c"]
    ids = [model.answer_ids(answer) for answer in answers]
    assert common_length(ids) == 7 and common_length([ids[0]]) == len(ids[0]) - 1
    assert common_length([[1, 2], [1, 2, 3]]) == 1
    rows = model.build_rows(model.prompt, speech, [4], [None])
    with torch.inference_mode():
        alone = []
        for answer in answers:
            whole = model.build_rows(model.prompt, speech, [4], [answer])
            alone.append(model.token_losses(whole).sum())
        together = model.answer_losses(rows, ids, common)
        torch.testing.assert_close(together, torch.stack(alone), atol=1e-4, rtol=1e-5)
        one = model.answer_losses(rows, ids[:1], len(ids[0]) - 1)  # nothing but the end token left
        torch.testing.assert_close(one[0], alone[0], atol=1e-4, rtol=1e-5)


def random_speech(model: Describer, utterances: int, tokens: int) -> SpeechTokens:
    shape = utterances, tokens, model.llm_width
    return SpeechTokens(torch.randn(shape), torch.randn(shape), torch.zeros(()))


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("groups, attend", [(1, True), (2, True), (2, False)])
def test_rows_are_the_parts_of_the_prompt_one_after_the_other(
    model: Describer, padding: Side, groups: int, attend: bool
) -> None:
    prompt, speech, tokens = model.prompt, random_speech(model, 2, 5), [5, 3]
    if groups == 1:
        speech = speech._replace(s_des=None)
    rows = model.build_rows(prompt, speech, tokens, ["a cat", None], attend, padding)
    embed = model.llm.get_input_embeddings()
    answer = [*model.tokenizer.encode("a cat", add_special_tokens=False), prompt.end]
    assert rows.labels.tolist() == answer
    for i, (u, ids) in enumerate(zip(tokens, [answer, []])):
        parts = [embed(torch.tensor(prompt.before)), speech.s_con[i, :u]]
        if speech.s_des is not None:
            parts += [embed(torch.tensor(prompt.between)), speech.s_des[i, : u if attend else 0]]
        parts.append(embed(torch.tensor([*prompt.after, *ids], dtype=torch.long)))
        row = torch.cat(parts)
        begin = len(rows.embeds[i]) - len(row) if padding == "left" else 0
        here = slice(begin, begin + len(row))
        assert torch.equal(rows.embeds[i, here], row) and bool((rows.mask[i, here] == 1).all())
        assert int(rows.mask[i].sum()) == len(row)
        assert float(rows.embeds[i].abs().sum()) == pytest.approx(float(row.abs().sum()), rel=1e-5)
    end = rows.embeds.shape[1]  # the first row is the longest, so no padding follows it
    assert rows.predicting.tolist() == list(range(end - len(answer) - 1, end - 1))


def test_descriptor_tokens_are_zero_in_the_content_phase_and_matter_in_the_other(
    model: Describer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor | None] = []
    build_rows = model.build_rows

    def spy(prompt: Any, speech: SpeechTokens, *rest: Any) -> Any:
        seen.append(speech.s_des)
        return build_rows(prompt, speech, *rest)

    monkeypatch.setattr(model, "build_rows", spy)
    x, frames = pad(random_features(12, 33))
    model(x, frames, TARGETS[:2], "content")
    assert seen[0] is not None and seen[0].shape[1] == 6 and bool((seen[0] == 0).all())
    before = model(x, frames, TARGETS[:2], "descriptor").llm
    assert seen[1] is not None and bool((seen[1] != 0).any())
    with torch.no_grad():
        model.descriptor.adapter.layers[2].bias += 1
    assert model(x, frames, TARGETS[:2], "descriptor").llm != before


def test_zeros_can_be_hidden_from_the_llm(
    config: Config, model: Describer, tiny_settings: list[str]
) -> None:
    hidden = configs.load(settings=[*tiny_settings, "prompt.attend_zeros=false"])
    other = Describer(model.llm, model.tokenizer, L, D, hidden)
    other.load_state_dict(model.state_dict())
    model.eval(), other.eval()
    x, frames = pad(random_features(12))
    assert model(x, frames, ["a"], "content").llm != other(x, frames, ["a"], "content").llm
    torch.testing.assert_close(
        model(x, frames, ["a"], "descriptor").llm, other(x, frames, ["a"], "descriptor").llm
    )


@pytest.mark.parametrize("phase", ["content", "descriptor", "joint"])
def test_a_phase_gives_gradients_to_its_own_parts_alone(
    model: Describer, config: Config, phase: Phase
) -> None:
    model.train_phase(phase)
    x, frames = pad(random_features(12, 33))
    loss = model(x, frames, TARGETS[:2], phase, eps(config, frames))
    (loss.llm + loss.kl).backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    trained = {id(p) for _, p in model.trained(phase)}
    assert with_gradient == {name for name, p in model.named_parameters() if id(p) in trained}
    branches = {
        "content": {"content"},
        "descriptor": {"descriptor"},
        "joint": {"content", "descriptor"},
    }[phase]
    assert {name.split(".")[0] for name in with_gradient} == branches | {"llm"}
    assert all("lora_" in name for name in with_gradient if name.startswith("llm."))


def test_noise_of_an_utterance_is_its_own() -> None:
    a, b = noise(4, [10, 20], [1, 2])
    assert a.shape == (10, 4) and b.shape == (20, 4)
    torch.testing.assert_close(noise(4, [20], [2])[0], b)
    assert abs(float(torch.cat(noise(64, [500], [3])).std()) - 1) < 0.02


def test_greedy_answers_do_not_depend_on_the_batch(model: Describer) -> None:
    rows = random_features(12, 60, 31)
    together = model.generate(*pad(rows), max_new_tokens=12)
    assert together == [model.generate(*pad([row]), max_new_tokens=12)[0] for row in rows]
