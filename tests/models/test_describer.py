"""Equations, sizes, and what each phase trains."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Callable, Sequence

import numpy as np
import pytest
import torch
from helpers import D, L, random_features
from torch import Tensor, nn

from serdesc import config as configs
from serdesc.config import AdapterConfig, BranchConfig, Config, LlmConfig
from serdesc.features.batches import pad
from serdesc.models import llm as llms
from serdesc.models.adapter import Adapter
from serdesc.models.bottleneck import Bottleneck, Latent
from serdesc.models.describer import Describer, Phase, noise



@pytest.fixture
def config(tiny_settings: list[str]) -> Config:
    return configs.load(settings=[*tiny_settings, "llm.lora.dropout=0"])


@pytest.fixture
def model(config: Config) -> Describer:
    torch.manual_seed(1)
    llm, tokenizer = llms.load(config.llm)
    return Describer(llm, tokenizer, L, D, config)


# ---- Eq. (2): bottleneck ----


def test_kl_is_torchs() -> None:
    mu, sigma = torch.randn(2, 5, 7), torch.rand(2, 5, 7) + 0.1
    normal = torch.distributions.Normal
    wanted = torch.distributions.kl_divergence(normal(mu, sigma), normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(Latent(mu, sigma).kl(), wanted)
    assert float(Latent(torch.zeros(1, 1, 4), torch.ones(1, 1, 4)).kl()) == 0


def test_bottleneck_by_hand() -> None:
    bottleneck = Bottleneck(2, 2, BranchConfig(latent=1))
    x = torch.tensor([[[[1.0, 2.0]], [[3.0, -4.0]]]])  # (1, 2, 1, 2)
    with torch.no_grad():
        bottleneck.layer_weights.copy_(torch.tensor([0.0, np.log(3.0)]))  # softmax: 1/4, 3/4
        for layer in (bottleneck.encoder[0], bottleneck.encoder[2]):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        bottleneck.mu.weight.copy_(torch.tensor([[1.0, 1.0]]))
        bottleneck.sigma.weight.copy_(torch.tensor([[0.5, 0.0]]))
        bottleneck.mu.bias.zero_()
        bottleneck.sigma.bias.zero_()
    h = torch.nn.functional.gelu(torch.nn.functional.gelu(torch.tensor([2.5, -2.5])))  # 1/4 * (1, 2) + 3/4 * (3, -4)
    latent = bottleneck(x)
    assert float(latent.mu) == pytest.approx(float(h.sum()))
    assert float(latent.sigma) == pytest.approx(float(np.log1p(np.exp(0.5 * float(h[0])))))
    assert float(latent.sample(torch.full((1, 1, 1), 2.0))) == pytest.approx(float(latent.mu + 2 * latent.sigma))
    variance = Bottleneck(2, 2, BranchConfig(latent=1, sigma="softplus_var"))
    variance.load_state_dict(bottleneck.state_dict())
    assert float(variance(x).sigma) ** 2 == pytest.approx(float(latent.sigma))


def test_layer_norm_before_the_sum_makes_the_scale_of_a_layer_irrelevant() -> None:
    x = torch.randn(1, 2, 5, 8)
    louder = x * torch.tensor([1.0, 50.0])[None, :, None, None]
    plain, normed = Bottleneck(2, 8, BranchConfig(latent=3)), Bottleneck(2, 8, BranchConfig(latent=3, layer_norm=True))
    torch.testing.assert_close(normed(x).mu, normed(louder).mu, atol=1e-4, rtol=1e-4)
    assert (plain(x).mu - plain(louder).mu).abs().max() > 0.1


# ---- Eq. (3): adapter ----


def test_adapter_puts_k_frames_side_by_side_and_drops_the_tail() -> None:
    adapter = Adapter(2, 4, AdapterConfig(k=3, hidden=5))
    z = torch.arange(16.0).reshape(1, 8, 2)
    s = adapter(z)
    assert s.shape == (1, 2, 4)
    torch.testing.assert_close(s[0, 1], adapter.layers(torch.arange(6.0, 12.0)))
    assert adapter.tokens(torch.tensor([8, 6, 5, 2])).tolist() == [2, 2, 1, 1]
    torch.testing.assert_close(adapter(z[:, :2])[0, 0], adapter.layers(torch.tensor([0.0, 1, 2, 3, 0, 0])))


# ---- sizes of the paper's system ----


def test_parameter_counts_at_the_papers_shapes() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    def count(parameters: Sequence[nn.Parameter]) -> int:
        return sum(p.numel() for p in parameters)

    llama = LlamaConfig(
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8
    )
    with torch.device("meta"):
        bottleneck = Bottleneck(24, 1024, BranchConfig())
        adapter = Adapter(128, 4096, AdapterConfig())
        lora = {
            targets: llms.with_lora(LlamaForCausalLM(llama), LlmConfig(lora=configs.LoraConfig(r=r, targets=list(targets))))
            for r, targets in ((8, ("q_proj", "v_proj")), (16, ("q_proj", "k_proj", "v_proj", "o_proj")))
        }
    assert count(list(bottleneck.parameters())) - 24 == 2_361_600
    assert count(list(adapter.parameters())) == 9_705_472
    assert [count([p for _, p in llms.lora_parameters(m)]) for m in lora.values()] == [3_407_872, 13_631_488]
    assert count([p for p in lora["q_proj", "v_proj"].parameters() if not p.requires_grad]) == 8_030_261_248


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


# ---- the whole model ----

TARGETS = ["hello", "a longer answer", "x"]


def eps(config: Config, frames: Tensor) -> dict[str, list[Tensor]]:
    return {name: noise(config.branch.latent, frames.tolist(), [s, s + 1, s + 2][: len(frames)]) for name, s in (("content", 0), ("descriptor", 10))}


@pytest.mark.parametrize("phase", ["content", "descriptor", "joint"])
def test_loss_is_the_sum_over_utterances_whatever_the_padding(model: Describer, config: Config, phase: Phase) -> None:
    model.train_phase(phase)
    rows = random_features(12, 33, 20)
    x, frames = pad(rows)
    drawn = eps(config, frames)
    together = model(x, frames, TARGETS, phase, drawn)
    alone = [model(*pad([row]), [target], phase, {name: [e[i]] for name, e in drawn.items()}) for i, (row, target) in enumerate(zip(rows, TARGETS))]
    torch.testing.assert_close(together.llm, torch.stack([a.llm for a in alone]).sum(), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(together.kl, torch.stack([a.kl for a in alone]).sum(), atol=1e-4, rtol=1e-5)
    assert together.tokens == sum(len(t) + 1 for t in TARGETS) and together.frames == 65


def test_nll_equals_the_llms_own_loss_on_all_positions(model: Describer) -> None:
    model.eval()
    row = model.build_row(model.prompt, torch.randn(4, model.llm_width), torch.randn(4, model.llm_width), "hello")
    nll, count = model.nll([row])
    theirs = model.llm(inputs_embeds=row.embeds[None], labels=row.labels[None]).loss
    assert count == 6
    torch.testing.assert_close(nll / count, theirs)


def test_descriptor_tokens_are_zero_in_the_content_phase_and_matter_in_the_other(model: Describer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    row = model.build_row
    monkeypatch.setattr(model, "build_row", lambda prompt, s_con, s_des, *rest, **more: (seen.append(s_des), row(prompt, s_con, s_des, *rest, **more))[1])
    x, frames = pad(random_features(12, 33))
    model(x, frames, TARGETS[:2], "content")
    assert [s.shape[0] for s in seen] == [2, 6] and all(bool((s == 0).all()) for s in seen)
    before = model(x, frames, TARGETS[:2], "descriptor").llm
    assert all(bool((s != 0).any()) for s in seen[2:])
    with torch.no_grad():
        model.descriptor.adapter.layers[2].bias += 1
    assert model(x, frames, TARGETS[:2], "descriptor").llm != before


def test_zeros_can_be_hidden_from_the_llm(config: Config, model: Describer, tiny_settings: list[str]) -> None:
    hidden = configs.load(settings=[*tiny_settings, "prompt.attend_zeros=false"])
    other = Describer(model.llm, model.tokenizer, L, D, hidden)
    other.load_state_dict(model.state_dict())
    model.eval(), other.eval()
    x, frames = pad(random_features(12))
    assert model(x, frames, ["a"], "content").llm != other(x, frames, ["a"], "content").llm
    torch.testing.assert_close(model(x, frames, ["a"], "descriptor").llm, other(x, frames, ["a"], "descriptor").llm)


@pytest.mark.parametrize("phase", ["content", "descriptor", "joint"])
def test_a_phase_gives_gradients_to_its_own_parts_alone(model: Describer, config: Config, phase: Phase) -> None:
    model.train_phase(phase)
    x, frames = pad(random_features(12, 33))
    loss = model(x, frames, TARGETS[:2], phase, eps(config, frames))
    (loss.llm + loss.kl).backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    trained = {id(p) for _, p in model.trained(phase)}
    assert with_gradient == {name for name, p in model.named_parameters() if id(p) in trained}
    branches = {"content": {"content"}, "descriptor": {"descriptor"}, "joint": {"content", "descriptor"}}[phase]
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


# ---- a real trained Llama ----


def stories(path: Path) -> nn.Module:
    """stories260K from llama2.c's format: seven integers, then the tensors in this order, float32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    raw = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, context = struct.unpack("7i", raw[:28])
    vocabulary = abs(vocabulary)
    values = np.frombuffer(raw, np.float32, offset=28)
    position = 0

    def take(*shape: int) -> Tensor:
        nonlocal position
        count = int(np.prod(shape))
        position += count
        return torch.from_numpy(values[position - count : position].reshape(shape).copy())

    size = dim // heads

    def halves(weight: Tensor, n: int) -> Tensor:
        """Rotary pairs lie side by side in the file; transformers wants them half a head apart."""
        return weight.reshape(n, size // 2, 2, dim).transpose(1, 2).reshape(n * size, dim)

    state = {"model.embed_tokens.weight": take(vocabulary, dim)}
    stacks = {
        "input_layernorm": take(layers, dim), "self_attn.q_proj": take(layers, heads * size, dim),
        "self_attn.k_proj": take(layers, kv_heads * size, dim),
        "self_attn.v_proj": take(layers, kv_heads * size, dim), "self_attn.o_proj": take(layers, dim, heads * size),
        "post_attention_layernorm": take(layers, dim), "mlp.gate_proj": take(layers, hidden, dim), "mlp.down_proj": take(layers, dim, hidden),
        "mlp.up_proj": take(layers, hidden, dim),
    }  # fmt: skip
    for name, stack in stacks.items():
        for i in range(layers):
            turn = {"self_attn.q_proj": heads, "self_attn.k_proj": kv_heads}.get(name)
            state[f"model.layers.{i}.{name}.weight"] = stack[i] if turn is None else halves(stack[i], turn)
    state["model.norm.weight"] = take(dim)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=dim, intermediate_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=kv_heads, max_position_embeddings=context, rms_norm_eps=1e-5, tie_word_embeddings=True,
        )  # fmt: skip
    )
    model.load_state_dict(state)
    return model.eval()


def test_embeddings_as_input_give_the_text_that_tokens_give(real_models: Callable[[str], Path]) -> None:
    llm = stories(real_models("stories260K/stories260K.bin"))
    prompt = torch.tensor([[1, 403, 407, 261, 378]])
    options = {"max_new_tokens": 60, "do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones_like(prompt)}
    by_tokens = llm.generate(prompt, **options)[0, prompt.shape[1] :].tolist()
    by_embeddings = llm.generate(inputs_embeds=llm.get_input_embeddings()(prompt), **options)[0].tolist()
    assert by_tokens == by_embeddings and len(set(by_tokens)) > 15
    with torch.no_grad():  # a trained model: it finds its own text likely
        ids = torch.tensor([[*prompt[0].tolist(), *by_tokens]])
        assert float(llm(ids, labels=ids).loss) < 2.0
