"""The whole model: two branches, the prompt with both token groups, the LLM, and the losses (Figure 1, Section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from serdesc.config import Config
from serdesc.models import llm as llms
from serdesc.models import prompt as prompts
from serdesc.models.adapter import Adapter
from serdesc.models.bottleneck import Bottleneck, Latent

# content: ASR, descriptor tokens zero.  descriptor: the joint target.  joint: one-stage training of both branches at once.
Phase = Literal["content", "descriptor", "joint"]
TRAINED: dict[str, tuple[str, ...]] = {
    "content": ("content",),
    "descriptor": ("descriptor",),
    "joint": ("content", "descriptor"),
}
IGNORE = -100


class Branch(nn.Module):
    """Bottleneck and adapter of one token group."""

    def __init__(self, layers: int, width: int, llm_width: int, config: Config) -> None:
        super().__init__()
        self.bottleneck = Bottleneck(layers, width, config.branch)
        self.adapter = Adapter(config.branch.latent, llm_width, config.adapter)


class Loss(NamedTuple):
    """Sums, so that parts of a batch and devices can be added up before they are divided by the counts."""

    llm: Tensor  # -log p over the label tokens
    kl: Tensor  # over the frames of the branches that draw noise
    tokens: int
    frames: int
    utterances: int


class SpeechTokens(NamedTuple):
    """What an LLM gets to hear of a batch."""

    s_con: Tensor  # (B, U, H)
    s_des: Tensor | None  # (B, U, H); None: there is but one group of speech tokens
    tokens: Tensor  # (B,), U of each utterance
    kl: Tensor  # summed over the frames and branches that draw noise


@dataclass
class Row:
    """One row of the LLM's input."""

    embeds: Tensor  # (N, H)
    mask: Tensor  # (N,), what is attended to
    labels: Tensor  # (N,)


class Describer(nn.Module):
    groups = 2  # of speech tokens in the LLM's input

    def __init__(
        self, llm: nn.Module, tokenizer: Any, layers: int, width: int, config: Config
    ) -> None:
        super().__init__()
        self.config = config
        self.layers, self.width = layers, width  # of the features
        self.tokenizer = tokenizer
        self.llm = llm
        self.llm_width = int(llms.embeddings(llm).embedding_dim)
        self.build_branches(layers, width, config)
        self.prompt = prompts.build_prompt(
            tokenizer, config.prompt.system, config.prompt.instruction
        )
        self.content_prompt = prompts.build_prompt(
            tokenizer, config.prompt.system, config.prompt.content or config.prompt.instruction
        )

    def build_branches(self, layers: int, width: int, config: Config) -> None:
        self.content = Branch(layers, width, self.llm_width, config)
        self.descriptor = Branch(layers, width, self.llm_width, config)

    @property
    def device(self) -> torch.device:
        return next(p.device for p in self.parameters())

    def sampled_branches(self, phase: Phase) -> tuple[str, ...]:
        """The branches whose z is drawn in a phase, and whose KL its loss has: those that it trains."""
        return TRAINED[phase]

    def label_count(self, target: str) -> int:
        """How many label tokens a target has, its end included."""
        return len(self.tokenizer.encode(target, add_special_tokens=False)) + 1

    def branch(self, name: str) -> Branch:
        return {"content": self.content, "descriptor": self.descriptor}[name]

    def speech_parameters(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        return [
            (f"{name}.{n}", p)
            for name in TRAINED[phase]
            for n, p in self.branch(name).named_parameters()
        ]

    def trained(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters that a phase trains, in a fixed order."""
        named = self.speech_parameters(phase)
        if self.config.training.lora:
            named += [(f"llm.{name}", p) for name, p in llms.lora_parameters(self.llm)]
        return named

    def train_phase(self, phase: Phase) -> None:
        """Training mode; gradients for what this phase trains and for nothing else."""
        self.train()
        self.requires_grad_(False)
        for _, parameter in self.trained(phase):
            parameter.requires_grad_(True)

    # ---- speech tokens ---------------------------------------------------------------------------------------------------

    def speech_tokens(
        self, name: str, x: Tensor, frames: Tensor, eps: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Latent]:
        """s (B, U, H), U of each utterance (B,), and the latents. z = mu where no noise is given."""
        branch = self.branch(name)
        latent = branch.bottleneck(x)  # (B, T, K)
        z = latent.mu
        if eps is not None:
            z = latent.sample(pad_sequence(list(eps), batch_first=True).to(x))
        # Frames past an utterance's end are zero before the adapter, so that its padding says nothing.
        z = z * frame_mask(frames, x.shape[2])[..., None]
        return branch.adapter(z), branch.adapter.tokens(frames), latent

    def encode_speech(
        self, x: Tensor, frames: Tensor, phase: Phase, noise: dict[str, Sequence[Tensor]]
    ) -> SpeechTokens:
        """Both groups of speech tokens; in the content phase the descriptor's are zero (Section 3.5)."""
        s_con, tokens, latent_con = self.speech_tokens("content", x, frames, noise.get("content"))
        latents = {"content": latent_con}
        s_des = torch.zeros_like(s_con)
        if phase != "content":
            s_des, _, latents["descriptor"] = self.speech_tokens(
                "descriptor", x, frames, noise.get("descriptor")
            )
        kl = x.new_zeros(())
        for name in self.sampled_branches(phase):
            kl = kl + (latents[name].kl() * frame_mask(frames, x.shape[2])).sum()
        return SpeechTokens(s_con, s_des, tokens, kl)

    # ---- training --------------------------------------------------------------------------------------------------------

    def forward(
        self,
        x: Tensor,
        frames: Tensor,
        targets: Sequence[str],
        phase: Phase,
        eps: dict[str, Sequence[Tensor]] | None = None,
    ) -> Loss:
        """Sums of -log p(target) and of the KL of the branches that the phase trains. x (B, L, T, D); eps[branch][i] (T_i, K)."""
        x, frames = x.to(self.device), frames.to(self.device)
        heard = self.encode_speech(x, frames, phase, eps or {})
        prompt = self.content_prompt if phase == "content" else self.prompt
        attend = phase != "content" or self.config.prompt.attend_zeros
        rows = self._rows(prompt, heard, targets, attend)
        nll, count = self._nll(rows)
        return Loss(nll, heard.kl, count, int(frames.sum()), len(rows))

    def _rows(
        self,
        prompt: prompts.Prompt,
        heard: SpeechTokens,
        targets: Sequence[str | None],
        attend: bool = True,
    ) -> list[Row]:
        return [
            self.input_row(
                prompt,
                heard.s_con[i, :u],
                None if heard.s_des is None else heard.s_des[i, :u],
                target,
                attend,
            )
            for i, (u, target) in enumerate(zip(heard.tokens.tolist(), targets, strict=True))
        ]

    def input_row(
        self,
        prompt: prompts.Prompt,
        s_con: Tensor,
        s_des: Tensor | None,
        target: str | None,
        attend: bool = True,
    ) -> Row:
        """Prompt(S) of one utterance, with the target and its end behind it in training. One group of tokens stands in the first's place."""
        answer = (
            []
            if target is None
            else [*self.tokenizer.encode(target, add_special_tokens=False), prompt.end]
        )
        table = llms.embeddings(self.llm)
        text = table(
            torch.tensor(
                [*prompt.before, *prompt.between, *prompt.after, *answer], device=self.device
            )
        )
        before, between, after, tail = text.split(
            [len(prompt.before), len(prompt.between), len(prompt.after), len(answer)]
        )
        if s_des is None:
            between, s_des = between[:0], s_con[:0]
        embeds = torch.cat(
            [before, s_con.to(text.dtype), between, s_des.to(text.dtype), after, tail]
        )
        mask = torch.ones(len(embeds), dtype=torch.long, device=self.device)
        if not attend:
            start = len(before) + len(s_con) + len(between)
            mask[start : start + len(s_des)] = 0
        labels = torch.full((len(embeds),), IGNORE, device=self.device)
        labels[len(embeds) - len(answer) :] = torch.tensor(
            answer, dtype=torch.long, device=self.device
        )
        return Row(embeds, mask, labels)

    def _nll(self, rows: list[Row]) -> tuple[Tensor, int]:
        """Eq. (4) summed over the batch, and its number of label tokens."""
        losses, _ = self._losses(rows)
        return losses.sum(), len(losses)

    def _losses(self, rows: list[Row]) -> tuple[Tensor, Tensor]:
        """-log p of every label token, row after row, and where they stand (B, N). Logits are made only where there is a label."""
        embeds = pad_sequence([row.embeds for row in rows], batch_first=True)  # (B, N, H)
        mask = pad_sequence([row.mask for row in rows], batch_first=True)
        labels = pad_sequence([row.labels for row in rows], batch_first=True, padding_value=IGNORE)[
            :, 1:
        ]
        model = self.llm.get_base_model()  # type: ignore[operator]
        hidden = model.model(
            inputs_embeds=embeds, attention_mask=mask, position_ids=positions(mask), use_cache=False
        )
        wanted = labels != IGNORE
        logits = model.lm_head(hidden.last_hidden_state[:, :-1][wanted]).float()  # (labels, V)
        return functional.cross_entropy(logits, labels[wanted], reduction="none"), wanted

    # ---- decoding --------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def generate(self, x: Tensor, frames: Tensor, max_new_tokens: int) -> list[str]:
        """Greedy answers: z = mu, one pass with both token groups."""
        return self.answer(
            self._rows(self.prompt, self._encode_for_inference(x, frames), [None] * len(x)),
            max_new_tokens,
        )

    def _encode_for_inference(self, x: Tensor, frames: Tensor) -> SpeechTokens:
        self.eval()
        return self.encode_speech(x.to(self.device), frames.to(self.device), "descriptor", {})

    @torch.inference_mode()
    def log_likelihoods(
        self, x: Tensor, frames: Tensor, answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """log p(answer | speech) of any number of answers to each utterance, its end included; z = mu."""
        heard = self._encode_for_inference(x, frames)
        found: list[list[float]] = []
        for i, said in enumerate(answers):
            rows = self._rows(self.prompt, _repeated(heard, i, len(said)), said)
            losses, wanted = self._losses(rows)
            found.append([-float(of_row.sum()) for of_row in losses.split(wanted.sum(1).tolist())])
        return found

    def answer(self, rows: list[Row], max_new_tokens: int) -> list[str]:
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
        ids = self.llm.generate(inputs_embeds=embeds, attention_mask=mask, generation_config=greedy)  # type: ignore[operator]
        return [
            self.tokenizer.decode(_until(row, self.prompt.end), skip_special_tokens=True).strip()
            for row in ids.tolist()
        ]


def _repeated(heard: SpeechTokens, i: int, times: int) -> SpeechTokens:
    """Utterance i so many times."""

    def repeat(t: Tensor) -> Tensor:
        return t[i : i + 1].expand(times, *t.shape[1:])

    return SpeechTokens(
        repeat(heard.s_con),
        None if heard.s_des is None else repeat(heard.s_des),
        repeat(heard.tokens),
        heard.kl,
    )


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids


def frame_mask(frames: Tensor, length: int) -> Tensor:
    """(B, T), one where there is speech."""
    return (torch.arange(length, device=frames.device) < frames[:, None]).float()


def positions(mask: Tensor) -> Tensor:
    """(B, N) positions that count what is attended to, as generation does."""
    return (mask.cumsum(-1) - 1).clamp_min(0)


def noise(latent: int, frames: Sequence[int], seeds: Sequence[int]) -> list[Tensor]:
    """eps (T_i, K) of each utterance from its own seed: neither its batch nor its padding changes it."""
    return [
        torch.randn(t, latent, generator=torch.Generator().manual_seed(s))
        for t, s in zip(frames, seeds)
    ]
