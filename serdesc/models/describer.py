"""The paper's model: two branches, the prompt with both token groups, the LLM, and the losses.

Figure 1 and Section 3. B utterances, L layers, T frames, D encoder width, K latent width, U speech
tokens, H LLM width, N input positions, M target tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from serdesc.config import Config
from serdesc.models import llm as llms
from serdesc.models.adapter import Adapter
from serdesc.models.bottleneck import Bottleneck, Latent, reduce_kl
from serdesc.models.prompt import Prompt, build_prompt

# content: ASR with zero descriptor tokens. descriptor: the joint target. joint: one-stage training.
Phase = Literal["content", "descriptor", "joint"]
TRAINED: dict[str, tuple[str, ...]] = {
    "content": ("content",),
    "descriptor": ("descriptor",),
    "joint": ("content", "descriptor"),
}
IGNORE = -100  # label of a position without loss


class Branch(nn.Module):
    """Bottleneck and adapter of one group of speech tokens."""

    def __init__(self, layers: int, width: int, llm_width: int, config: Config) -> None:
        super().__init__()
        self.bottleneck = Bottleneck(layers, width, config.branch)
        self.adapter = Adapter(config.branch.latent, llm_width, config.adapter)


class Loss(NamedTuple):
    """Sums over a micro-batch; the trainer divides by the counts of the whole batch."""

    llm: Tensor  # -log p over the label tokens
    kl: Tensor  # over the frames of the sampled branches
    tokens: int
    frames: int
    utterances: int
    # Of each sampled branch and latent dimension, sums over the frames: KL, mu, mu^2: (3, K).
    latents: dict[str, Tensor] = {}


class SpeechTokens(NamedTuple):
    """The speech tokens of a batch."""

    s_con: Tensor  # (B, U, H)
    s_des: Tensor | None  # (B, U, H); None: the model has one group of speech tokens
    tokens: Tensor  # (B,), U of each utterance
    kl: Tensor  # sum over the frames of the sampled branches
    latents: dict[str, Tensor] = {}  # as in Loss


@dataclass
class Row:
    """One row of the LLM's input, before padding."""

    embeds: Tensor  # (N, H)
    mask: Tensor  # (N,), attention mask
    labels: Tensor  # (N,)


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
        self.build_branches(layers, width, config)
        texts = config.prompt
        self.prompt = build_prompt(tokenizer, texts.system, texts.instruction)
        self.content_prompt = build_prompt(
            tokenizer, texts.system, texts.content or texts.instruction
        )

    def build_branches(self, layers: int, width: int, config: Config) -> None:
        self.content = Branch(layers, width, self.llm_width, config)
        self.descriptor = Branch(layers, width, self.llm_width, config)

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
        return len(self._encode(target)) + 1

    def branch(self, name: str) -> Branch:
        return {"content": self.content, "descriptor": self.descriptor}[name]

    def speech_parameters(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters of the branches that a phase trains."""
        named = []
        for name in TRAINED[phase]:
            named += [(f"{name}.{n}", p) for n, p in self.branch(name).named_parameters()]
        return named

    def trained(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters that a phase trains, in a fixed order."""
        named = self.speech_parameters(phase)
        if self.config.training.lora:
            named += [(f"llm.{name}", p) for name, p in llms.lora_parameters(self.llm)]
        return named

    def train_phase(self, phase: Phase) -> None:
        """Training mode; only the parameters that the phase trains require gradients."""
        self.train()
        self.requires_grad_(False)
        for _, parameter in self.trained(phase):
            parameter.requires_grad_(True)

    # ---- speech tokens
    # -----------------------------------------------------------------------------

    def speech_tokens(
        self, name: str, x: Tensor, frames: Tensor, eps: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Latent]:
        """s (B, U, H) of a branch, U of each utterance (B,), and latents; z = mu without eps."""
        branch = self.branch(name)
        latent = branch.bottleneck(x)  # (B, T, K)
        z = latent.mu
        if eps is not None:
            z = latent.sample(pad_sequence(list(eps), batch_first=True).to(x))
        # Zero the padding frames before the adapter, so that padding has no effect.
        z = z * frame_mask(frames, x.shape[2])[..., None]
        return branch.adapter(z), branch.adapter.tokens(frames), latent

    def encode_speech(
        self, x: Tensor, frames: Tensor, phase: Phase, noise: dict[str, Sequence[Tensor]]
    ) -> SpeechTokens:
        """Both groups of speech tokens; s_des is zero in the content phase (Section 3.5)."""
        s_con, tokens, latent_con = self.speech_tokens("content", x, frames, noise.get("content"))
        latents = {"content": latent_con}
        s_des = torch.zeros_like(s_con)
        if phase != "content":
            s_des, _, latents["descriptor"] = self.speech_tokens(
                "descriptor", x, frames, noise.get("descriptor")
            )
        kl, sums = x.new_zeros(()), {}
        mask = frame_mask(frames, x.shape[2])  # (B, T)
        for name in self.sampled_branches(phase):
            per_dimension = latents[name].kl()  # (B, T, K)
            kl = kl + (reduce_kl(per_dimension, self.config.training.kl) * mask).sum()
            mu = latents[name].mu.detach()
            quantities = torch.stack([per_dimension.detach(), mu, mu.square()])  # (3, B, T, K)
            sums[name] = (quantities * mask[..., None]).sum((1, 2))
        return SpeechTokens(s_con, s_des, tokens, kl, sums)

    # ---- training
    # ----------------------------------------------------------------------------------

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

        x (B, L, T, D), frames (B,), eps[branch][i] (T_i, K).
        """
        x, frames = x.to(self.device), frames.to(self.device)
        speech = self.encode_speech(x, frames, phase, eps or {})
        prompt = self.content_prompt if phase == "content" else self.prompt
        attend = phase != "content" or self.config.prompt.attend_zeros
        rows = self.build_rows(prompt, speech, targets, attend)
        nll, count = self.nll(rows)
        return Loss(nll, speech.kl, count, int(frames.sum()), len(rows), speech.latents)

    def build_rows(
        self,
        prompt: Prompt,
        speech: SpeechTokens,
        targets: Sequence[str | None],
        attend: bool = True,
    ) -> list[Row]:
        """The LLM's input for each utterance; without padding of the speech tokens."""
        rows = []
        for i, (u, target) in enumerate(zip(speech.tokens.tolist(), targets, strict=True)):
            s_des = None if speech.s_des is None else speech.s_des[i, :u]
            rows.append(self.build_row(prompt, speech.s_con[i, :u], s_des, target, attend))
        return rows

    def build_row(
        self,
        prompt: Prompt,
        s_con: Tensor,
        s_des: Tensor | None,
        target: str | None,
        attend: bool = True,
    ) -> Row:
        """Prompt(S) of one utterance, followed by the target and its end token in training.

        s_con, s_des (U, H); without s_des, the line feed before it is omitted too. attend: whether
        the descriptor tokens are attended to.
        """
        answer = [] if target is None else [*self._encode(target), prompt.end]
        ids = [*prompt.before, *prompt.between, *prompt.after, *answer]
        text = llms.embeddings(self.llm)(torch.tensor(ids, device=self.device))
        sizes = [len(prompt.before), len(prompt.between), len(prompt.after), len(answer)]
        before, between, after, tail = text.split(sizes)
        if s_des is None:
            between, s_des = between[:0], s_con[:0]
        parts = [before, s_con.to(text.dtype), between, s_des.to(text.dtype), after, tail]
        embeds = torch.cat(parts)  # (N, H)
        mask = torch.ones(len(embeds), dtype=torch.long, device=self.device)
        if not attend:
            start = len(before) + len(s_con) + len(between)
            mask[start : start + len(s_des)] = 0
        labels = torch.full((len(embeds),), IGNORE, device=self.device)
        answer_ids = torch.tensor(answer, dtype=torch.long, device=self.device)
        labels[len(embeds) - len(answer) :] = answer_ids
        return Row(embeds, mask, labels)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def nll(self, rows: list[Row]) -> tuple[Tensor, int]:
        """Sum of -log p over the label tokens of all rows (Eq. 4), and their number."""
        losses, _ = self.token_losses(rows)
        return losses.sum(), len(losses)

    def token_losses(self, rows: list[Row]) -> tuple[Tensor, Tensor]:
        """-log p of every label token, row after row, and their positions (B, N - 1).

        Logits are computed at label positions only.
        """
        embeds = pad_sequence([row.embeds for row in rows], batch_first=True)  # (B, N, H)
        mask = pad_sequence([row.mask for row in rows], batch_first=True)
        labels = pad_sequence([row.labels for row in rows], batch_first=True, padding_value=IGNORE)
        labels = labels[:, 1:]  # position n predicts token n + 1
        model = self.llm.get_base_model()  # type: ignore[operator]
        hidden = model.model(
            inputs_embeds=embeds, attention_mask=mask, position_ids=positions(mask), use_cache=False
        )
        has_label = labels != IGNORE
        logits = model.lm_head(hidden.last_hidden_state[:, :-1][has_label]).float()  # (labels, V)
        losses = functional.cross_entropy(logits, labels[has_label], reduction="none")
        return losses, has_label

    # ---- decoding
    # ----------------------------------------------------------------------------------

    @torch.inference_mode()
    def generate(self, x: Tensor, frames: Tensor, max_new_tokens: int) -> list[str]:
        """Greedy decoding with z = mu and both token groups in one pass."""
        rows = self.build_rows(self.prompt, self._encode_for_inference(x, frames), [None] * len(x))
        return self.decode_rows(rows, max_new_tokens)

    def _encode_for_inference(self, x: Tensor, frames: Tensor) -> SpeechTokens:
        self.eval()
        return self.encode_speech(x.to(self.device), frames.to(self.device), "descriptor", {})

    @torch.inference_mode()
    def log_likelihoods(
        self, x: Tensor, frames: Tensor, answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """log p(answer | speech) of every answer to each utterance, end token included; z = mu."""
        speech = self._encode_for_inference(x, frames)
        results: list[list[float]] = []
        for i, candidates in enumerate(answers):
            rows = self.build_rows(self.prompt, _repeat(speech, i, len(candidates)), candidates)
            losses, has_label = self.token_losses(rows)
            by_row = losses.split(has_label.sum(1).tolist())
            results.append([-float(row.sum()) for row in by_row])
        return results

    def decode_rows(self, rows: list[Row], max_new_tokens: int) -> list[str]:
        """Greedy decoding of prepared rows, padded on the left."""
        from transformers import GenerationConfig

        embeds = pad_sequence([row.embeds for row in rows], batch_first=True, padding_side="left")
        mask = pad_sequence([row.mask for row in rows], batch_first=True, padding_side="left")
        pad = self.tokenizer.pad_token_id
        greedy = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.prompt.end,
            pad_token_id=self.prompt.end if pad is None else pad,
        )
        ids = self.llm.generate(  # type: ignore[operator]
            inputs_embeds=embeds, attention_mask=mask, generation_config=greedy
        )
        return [self._decode(row) for row in ids.tolist()]

    def _decode(self, ids: list[int]) -> str:
        """The text before the end token."""
        if self.prompt.end in ids:
            ids = ids[: ids.index(self.prompt.end)]
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()


def _repeat(speech: SpeechTokens, i: int, times: int) -> SpeechTokens:
    """Utterance i, repeated."""

    def repeat(t: Tensor) -> Tensor:
        return t[i : i + 1].expand(times, *t.shape[1:])

    s_des = None if speech.s_des is None else repeat(speech.s_des)
    return SpeechTokens(repeat(speech.s_con), s_des, repeat(speech.tokens), speech.kl)


def frame_mask(frames: Tensor, length: int) -> Tensor:
    """(B, T), one at an utterance's frames and zero at padding."""
    return (torch.arange(length, device=frames.device) < frames[:, None]).float()


def positions(mask: Tensor) -> Tensor:
    """(B, N) position ids that count attended positions, as generation does."""
    return (mask.cumsum(-1) - 1).clamp_min(0)


def noise(latent: int, frames: Sequence[int], seeds: Sequence[int]) -> list[Tensor]:
    """eps (T_i, K) of each utterance from its own seed, independent of batch and padding."""
    eps = []
    for t, utterance_seed in zip(frames, seeds):
        generator = torch.Generator().manual_seed(utterance_seed)
        eps.append(torch.randn(t, latent, generator=generator))
    return eps
