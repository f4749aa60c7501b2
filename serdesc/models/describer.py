"""The paper's model: two branches, the prompt with both token groups, the LLM, and the losses.

Figure 1 and Section 3. B utterances, L layers, T frames, D encoder width, K latent width, U speech
tokens, H LLM width, N input positions, M target tokens, V vocabulary.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Literal, NamedTuple, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from serdesc.captions.writer import Beginning
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.models import llm as llms
from serdesc.models import words
from serdesc.models.adapter import Adapter, token_count
from serdesc.models.bottleneck import Bottleneck, Latent, reduce_kl
from serdesc.models.prompt import Prompt, build_prompt
from serdesc.models.rows import Rows, Side, lay_out
from serdesc.models.speech import SpeechTokens, frame_mask, one_of

# content: ASR with zero descriptor tokens. descriptor: the joint target. joint: one-stage training.
Phase = Literal["content", "descriptor", "joint"]
IGNORED = -100  # label of padding
TRAINED: dict[str, tuple[str, ...]] = {
    "content": ("content",),
    "descriptor": ("descriptor",),
    "joint": ("content", "descriptor"),
}


class Branch(nn.Module):
    """Bottleneck and adapter of one group of speech tokens."""

    def __init__(
        self, layers: int, width: int, llm_width: int, config: Config, slots: int = 0
    ) -> None:
        super().__init__()
        self.bottleneck = Bottleneck(layers, width, config.branch)
        self.adapter = Adapter(config.branch.latent, llm_width, config.adapter, slots)


class Loss(NamedTuple):
    """Sums over a micro-batch; the trainer divides by the counts of the whole batch."""

    llm: Tensor  # -log p over the label tokens
    kl: Tensor  # over the frames of the sampled branches
    tokens: int
    frames: int
    utterances: int
    # Of each sampled branch and latent dimension, sums over the frames: KL, mu, mu^2: (3, K).
    latents: dict[str, Tensor] = {}


class Describer(nn.Module):
    groups = 2  # groups of speech tokens in the LLM's input

    def __init__(
        self, llm: nn.Module, tokenizer: Any, layers: int, width: int, config: Config
    ) -> None:
        super().__init__()
        self.config = config
        self.layers, self.width = layers, width  # L, D
        self.tokenizer = tokenizer
        self.llm = llm
        self.llm_width = int(llms.embeddings(llm).embedding_dim)  # H
        # Tokens that pretraining taught the content branch; empty: none. Part of the checkpoint.
        self.vocabulary: list[int] = []
        self.build_branches(layers, width, config)
        texts = config.prompt
        self.prompt = build_prompt(tokenizer, texts.system, texts.instruction)
        self.content_prompt = build_prompt(
            tokenizer, texts.system, texts.content or texts.instruction
        )

    def build_branches(self, layers: int, width: int, config: Config) -> None:
        self.content = Branch(layers, width, self.llm_width, config)
        slots = config.adapter.slots
        self.descriptor = Branch(layers, width, self.llm_width, config, slots)

    @property
    def device(self) -> torch.device:
        return next(p.device for p in self.parameters())

    def sampled_branches(self, phase: Phase) -> tuple[str, ...]:
        """The branches that a phase trains: their z is sampled and their KL is in the loss."""
        return TRAINED[phase]

    def weights_of_layers(self, phase: Phase) -> dict[str, Tensor]:
        """Weights (L,) of the encoder's layers in each weighted sum that a phase trains."""
        weights = {}
        for name in TRAINED[phase]:
            weights[name] = self.branch(name).bottleneck.layer_weights.detach().softmax(0)
        return weights

    def label_count(self, target: str) -> int:
        """M of a target, its end token included."""
        return len(self.answer_ids(target))

    def token_counts(self, frames: Tensor) -> list[int]:
        """U of each utterance."""
        return [token_count(t, self.config.adapter.k) for t in frames.tolist()]

    def branch(self, name: str) -> Branch:
        return {"content": self.content, "descriptor": self.descriptor}[name]

    def speech_parameters(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters of the branches that a phase trains."""
        named = []
        for name in TRAINED[phase]:
            named += [(f"{name}.{n}", p) for n, p in self.branch(name).named_parameters()]
        return named

    def trained(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters that a phase trains, in a fixed order. Raises UserError if none."""
        named = self.speech_parameters(phase) if self.config.training.branches else []
        if self.config.training.lora:
            named += [(f"llm.{name}", p) for name, p in llms.lora_parameters(self.llm)]
        if not named:
            raise UserError(
                "training.lora and training.branches are false: set one of them to true"
            )
        return named

    def train_phase(self, phase: Phase) -> None:
        """Training mode; only the parameters that the phase trains require gradients."""
        self.train()
        self.requires_grad_(False)
        for _, parameter in self.trained(phase):
            parameter.requires_grad_(True)

    # ---- speech tokens ---------------------------------------------------------------------------

    def speech_tokens(
        self, name: str, x: Tensor, mask: Tensor, eps: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Latent]:
        """s (B, U, H) of a branch, and latents; z = mu without eps. mask (B, T): frame_mask."""
        s, latent = self._own_tokens(name, x, mask, eps)
        # A word has no gradient: a branch that is being trained gives its tokens themselves.
        if self.config.adapter.words and not (self.training and s.requires_grad):
            s = self.as_words(name, s, mask)
        return s, latent

    def _own_tokens(
        self, name: str, x: Tensor, mask: Tensor, eps: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Latent]:
        """What a branch gives, before it becomes words."""
        branch = self.branch(name)
        latent = branch.bottleneck(x)  # (B, T, K)
        z = latent.mu
        if eps is not None:
            z = latent.sample(pad_sequence(list(eps), batch_first=True).to(x))
        return branch.adapter(z, mask.to(z)), latent

    def as_words(self, name: str, s: Tensor, mask: Tensor) -> Tensor:
        """adapter.words: speech tokens (B, U, H) of a branch as embeddings of the LLM."""
        if name == "content":
            return words.nearest_content(self.llm, self.tokenizer, s, self.vocabulary)
        counts = (mask.sum(1) // self.config.adapter.k).clamp_min(1)  # no transfer to the CPU
        return words.nearest_values(self.llm, self.tokenizer, s, counts, self.config.adapter.slots)

    def encode_speech(
        self, x: Tensor, frames: Tensor, phase: Phase, noise: dict[str, Sequence[Tensor]]
    ) -> SpeechTokens:
        """Both groups of speech tokens; s_des is zero in the content phase (Section 3.5).

        x (B, L, T, D) on the model's device; frames (B,) on the CPU, so that nothing waits for it.
        """
        mask = frame_mask(frames, x.shape[2]).to(x.device)  # (B, T)
        s_con, latent_con = self.speech_tokens("content", x, mask, noise.get("content"))
        latents = {"content": latent_con}
        s_des = torch.zeros_like(s_con)
        if phase != "content":
            s_des, latents["descriptor"] = self.speech_tokens(
                "descriptor", x, mask, noise.get("descriptor")
            )
        kl, sums = x.new_zeros(()), {}
        for name in self.sampled_branches(phase):
            per_dimension = latents[name].kl()  # (B, T, K)
            kl = kl + (reduce_kl(per_dimension, self.config.training.kl) * mask).sum()
            mu = latents[name].mu.detach()
            quantities = torch.stack([per_dimension.detach(), mu, mu.square()])  # (3, B, T, K)
            sums[name] = (quantities * mask[..., None]).sum((1, 2))
        return SpeechTokens(s_con, s_des, kl, sums)

    # ---- training --------------------------------------------------------------------------------

    def forward(
        self,
        x: Tensor,
        frames: Tensor,
        targets: Sequence[str],
        phase: Phase,
        eps: dict[str, Sequence[Tensor]] | None = None,
    ) -> Loss:
        """Sums of -log p(target) (Eq. 4) and of the KL (Eq. 2) of the branches that the phase
        trains.

        x (B, L, T, D); frames (B,) on the CPU; eps[branch][i] (T_i, K).
        """
        speech = self.encode_speech(x.to(self.device), frames, phase, eps or {})
        prompt = self.content_prompt if phase == "content" else self.prompt
        attend = phase != "content" or self.config.prompt.attend_zeros
        rows = self.build_rows(prompt, speech, self.token_counts(frames), targets, attend)
        nll = self.token_losses(rows).sum()
        return Loss(nll, speech.kl, len(rows.labels), int(frames.sum()), len(x), speech.latents)

    def build_rows(
        self,
        prompt: Prompt,
        speech: SpeechTokens,
        tokens: Sequence[int],
        targets: Sequence[str | None],
        attend: bool = True,
        padding: Side = "right",
    ) -> Rows:
        """Prompt(S) of each utterance, followed by its target and end token in training.

        tokens: U of each utterance. Without s_des, the line feed before it is omitted too. attend:
        whether the descriptor tokens are attended to.
        """
        groups = [speech.s_con] if speech.s_des is None else [speech.s_con, speech.s_des]
        texts = [prompt.before, *[prompt.between] * (len(groups) - 1), prompt.after]
        answers = [[] if t is None else self.answer_ids(t) for t in targets]
        layout = lay_out(texts, answers, tokens, speech.s_con.shape[1], attend, padding)
        places = [*layout.text_at, *[at for group in layout.speech_at for at in group]]
        labels = [token for answer in answers for token in answer]
        lists = [layout.ids, places, labels, layout.predicting]
        on_device = torch.tensor([i for one in lists for i in one]).to(self.device)  # one transfer
        ids_, places_, labels_, predicting_ = on_device.split([len(one) for one in lists])
        words = llms.embeddings(self.llm)(ids_)  # (text tokens, H)
        parts = torch.cat([words, *[s.flatten(0, 1).to(words.dtype) for s in groups]])
        flat = parts.new_zeros(layout.surplus + 1, self.llm_width).index_copy_(0, places_, parts)
        embeds = flat[:-1].view(*layout.mask.shape, self.llm_width)
        return Rows(embeds, layout.mask.to(self.device), labels_, predicting_)

    def answer_ids(self, target: str) -> list[int]:
        """The tokens of a target, with the end token unless it is the beginning of a caption."""
        ids = list(self.tokenizer.encode(target, add_special_tokens=False))
        return ids if isinstance(target, Beginning) else [*ids, self.prompt.end]

    def hidden_states(self, rows: Rows) -> Tensor:
        """The LLM's last hidden states (B, N, H)."""
        model = self.llm.get_base_model()  # type: ignore[operator]
        hidden: Tensor = model.model(
            inputs_embeds=rows.embeds,
            attention_mask=rows.mask,
            position_ids=positions(rows.mask),
            use_cache=False,
        ).last_hidden_state
        return hidden

    def token_losses(self, rows: Rows) -> Tensor:
        """-log p of every label token (M,) (Eq. 4). Logits are computed where a label follows."""
        hidden = self.hidden_states(rows).flatten(0, 1)  # (B * N, H)
        before_labels = hidden.index_select(0, rows.predicting)  # (M, H)
        model = self.llm.get_base_model()  # type: ignore[operator]
        logits = model.lm_head(before_labels).float()  # (M, V)
        return functional.cross_entropy(logits, rows.labels, reduction="none")

    # ---- decoding --------------------------------------------------------------------------------

    @torch.inference_mode()
    def kl_per_frame(self, x: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """KL(p(z|x), N(0, I)) (B, T) of each branch, nats a latent dimension: the mean over K."""
        self.eval()
        x = x.to(self.device)
        names = self.sampled_branches("joint")
        return {name: self.branch(name).bottleneck(x).kl().mean(-1) for name in names}

    @torch.inference_mode()
    def generate(self, x: Tensor, frames: Tensor, max_new_tokens: int) -> list[str]:
        """Greedy decoding with z = mu and both token groups in one pass."""
        speech = self._encode_for_inference(x, frames)
        rows = self.build_rows(
            self.prompt, speech, self.token_counts(frames), [None] * len(x), padding="left"
        )
        return self.decode_rows(rows, max_new_tokens)

    def _encode_for_inference(self, x: Tensor, frames: Tensor) -> SpeechTokens:
        self.eval()
        return self.encode_speech(x.to(self.device), frames, "descriptor", {})

    @property
    def has_field_words(self) -> bool:
        return words.are_given_for_fields(self.config)

    @cached_property
    def unit(self) -> Tensor:
        """words.mean_square of the LLM, whose embeddings are frozen."""
        return words.mean_square(self.llm)

    @torch.inference_mode()
    def word_log_probabilities(
        self, x: Tensor, frames: Tensor, field: str, values: Sequence[str]
    ) -> list[list[float]]:
        """log p of every value of a field in each utterance, by the distances of the field's own
        tokens to their words; z = mu. A clip too short to have such a token: all the same.
        """
        self.eval()
        mask = frame_mask(frames, x.shape[2]).to(self.device)
        s, _ = self._own_tokens("descriptor", x.to(self.device), mask)
        embeddings = words.embeddings_of(self.llm, self.tokenizer, values)
        counts = torch.tensor(self.token_counts(frames), device=self.device)
        slots = self.config.adapter.slots
        slot = words.slot_of(field, slots)
        mean = words.mean_of_slot(s, counts, slot, slots)
        found = words.log_probabilities(mean, embeddings, self.unit)
        found[counts <= slot] = -math.log(len(values))
        results: list[list[float]] = found.tolist()
        return results

    @torch.inference_mode()
    def log_likelihoods(
        self, x: Tensor, frames: Tensor, answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """log p(answer | speech) of every answer to each utterance, end token included; z = mu."""
        speech = self._encode_for_inference(x, frames)
        results: list[list[float]] = []
        for i, (u, candidates) in enumerate(zip(self.token_counts(frames), answers)):
            rows = self.build_rows(self.prompt, one_of(speech, i), [u], [None])
            ids = [self.answer_ids(candidate) for candidate in candidates]
            results.append((-self.answer_losses(rows, ids, common_length(ids))).tolist())
        return results

    def answer_losses(self, rows: Rows, answers: Sequence[Sequence[int]], common: int) -> Tensor:
        """-log p (n,) of n answers to one prompt (rows of one utterance).

        Their first `common` tokens are the same, and fewer than all of any: prompt and common
        tokens pass through the LLM once, and all answers attend to their keys and values.
        """
        model = self.llm.get_base_model()  # type: ignore[operator]
        embed = llms.embeddings(self.llm)
        same = torch.tensor(answers[0][:common], dtype=torch.long, device=self.device)
        rests = [torch.tensor(answer[common:], device=self.device) for answer in answers]
        rest = pad_sequence(rests, batch_first=True, padding_value=IGNORED)  # (n, W)
        inputs = torch.cat([rows.embeds, embed(same)[None].to(rows.embeds)], 1)
        out = model.model(inputs_embeds=inputs, use_cache=True)
        before = out.last_hidden_state[0, -common - 1 :]  # (common + 1, H)
        loss_of_same = functional.cross_entropy(
            model.lm_head(before[:-1]).float(), same, reduction="sum"
        )
        hidden = before[-1].expand(len(answers), 1, -1)
        if rest.shape[1] > 1:
            out.past_key_values.batch_repeat_interleave(len(answers))
            end = inputs.shape[1] + rest.shape[1] - 1
            more = model.model(
                inputs_embeds=embed(rest[:, :-1].clamp_min(0)),
                position_ids=torch.arange(inputs.shape[1], end, device=self.device)[None],
                past_key_values=out.past_key_values,
                use_cache=True,
            )
            hidden = torch.cat([hidden, more.last_hidden_state], 1)  # (n, W, H)
        logits = model.lm_head(hidden).float().transpose(1, 2)  # (n, V, W)
        losses = functional.cross_entropy(logits, rest, ignore_index=IGNORED, reduction="none")
        return losses.sum(1) + loss_of_same

    def decode_rows(self, rows: Rows, max_new_tokens: int) -> list[str]:
        """Greedy decoding of rows that are padded on the left."""
        from transformers import GenerationConfig

        pad = self.tokenizer.pad_token_id
        greedy = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.prompt.end,
            pad_token_id=self.prompt.end if pad is None else pad,
        )
        ids = self.llm.generate(  # type: ignore[operator]
            inputs_embeds=rows.embeds, attention_mask=rows.mask, generation_config=greedy
        )
        return [self._decode(row) for row in ids.tolist()]

    def _decode(self, ids: list[int]) -> str:
        """The text before the end token."""
        if self.prompt.end in ids:
            ids = ids[: ids.index(self.prompt.end)]
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()


def common_length(answers: Sequence[Sequence[int]]) -> int:
    """Tokens at the beginning that all answers have, the last one of none among them."""
    shortest = min(len(answer) for answer in answers)
    for i in range(shortest - 1):
        if any(answer[i] != answers[0][i] for answer in answers):
            return i
    return shortest - 1


def positions(mask: Tensor) -> Tensor:
    """(B, N) position ids that count attended positions, as generation does."""
    return (mask.cumsum(-1) - 1).clamp_min(0)
