"""Running a model without its numbers: what one pass holds in memory at most, and the products that it multiplies out.

PyTorch's fake tensors have a shape and no storage, and every operator accepts them. So the real modules run, forward and backward, in a
second for Llama-3.1-8B, and what they would have allocated is counted by the tensors that are alive. B utterances, L layers, T frames,
D encoder width, U speech tokens, H LLM width, V vocabulary.
"""

from __future__ import annotations

import warnings
import weakref
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from serdesc.features.encoder import Encoder
from serdesc.models.describer import Describer, Phase, Row, positions
from serdesc.runtime import DTYPES

ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"  # fused, as on a GPU: the (T, T) weights are never stored


@dataclass(frozen=True)
class Passed:
    """What passes through a model cost."""

    peak: int  # bytes of tensors alive at most, the model's own left out
    forward: int  # FLOPs of matrix products, convolutions and attention
    backward: int = 0  # FLOPs, a recomputed forward pass included


@dataclass(frozen=True)
class Clip:
    """An utterance of a batch: its frames T, and the target that is said of it."""

    frames: int
    target: str


class Tally(TorchDispatchMode):
    """Counts FLOPs, and bytes of tensors alive, of what runs inside."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.live = self.peak = 0
        self._held: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = {_storage(tensor)._cdata for tensor in _tensors((args, kwargs))}
        out = func(*args, **kwargs)
        self.flops += _flops(func, args, kwargs, out)
        for tensor in _tensors(out):
            storage = _storage(tensor)
            if (
                storage._cdata not in given and storage._cdata not in self._held
            ):  # not a view of what was there
                self._hold(storage)
        return out

    def _hold(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        self._held[key] = weakref.ref(storage, lambda _: self._let_go(key, size))

    def _let_go(self, key: int, size: int) -> None:
        del self._held[key]
        self.live -= size


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage()


def _flops(func: Any, args: Any, kwargs: Any, out: Any) -> int:
    """FLOPs of an operator; 0 for all that is not a product."""
    packet = func._overloadpacket
    if packet.__name__ == ATTENTION:
        return int(sdpa_flop_count(*(tensor.shape for tensor in args[:3])))
    if packet.__name__ == f"{ATTENTION}_backward":  # gradient, then q, k, v
        return int(sdpa_backward_flop_count(*(tensor.shape for tensor in args[:4])))
    return (
        int(flop_registry[packet](*args, **kwargs, out_val=out)) if packet in flop_registry else 0
    )


def weightless(model: nn.Module) -> FakeTensorMode:
    """Put fake tensors in place of the model's own (which may lie on the meta device); the mode in which it can then run."""
    mode, made = FakeTensorMode(allow_non_fake_inputs=True), {}
    with mode:
        for module in model.modules():
            for table in (module._parameters, module._buffers):
                for name, tensor in table.items():
                    if tensor is not None and id(tensor) not in made:  # tied weights stay one
                        made[id(tensor)] = _fake(tensor)
                    table[name] = None if tensor is None else made[id(tensor)]
    return mode


def _fake(tensor: Tensor) -> Any:
    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


# ---- passes --------------------------------------------------------------------------------------------------------------


class Weightless:
    """A Describer of fake tensors, and what passes through it cost."""

    def __init__(self, model: Describer) -> None:
        self.model, self.mode = model, weightless(model)

    def train(self, batch: Sequence[Clip], phase: Phase, checkpointing: bool = False) -> Passed:
        """A part of a training step, up to the gradients."""
        self._recompute(checkpointing)
        self.model.train_phase(phase)
        with self.mode, Tally() as tally:
            loss = self._loss(batch, phase)
            forward = tally.flops
            loss.backward()  # type: ignore[no-untyped-call]
            del loss
        self.model.zero_grad()
        return Passed(tally.peak, forward, tally.flops - forward)

    def _recompute(self, wanted: bool) -> None:
        llm = self.model.llm.get_base_model()  # type: ignore[operator]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            if wanted:
                llm.gradient_checkpointing_enable(
                    gradient_checkpointing_kwargs={"use_reentrant": False}
                )
            else:
                llm.gradient_checkpointing_disable()

    @torch.no_grad()
    def decode(self, batch: Sequence[Clip]) -> Passed:
        """The prompts of a batch heard, before the first answered token."""
        self.model.eval()
        with self.mode, Tally() as tally:
            x = self._x(batch)
            rows = self._rows(x, batch, "descriptor", answered=False)[0]
            hidden = _hidden(self.model, rows)
            self.model.llm.get_base_model().lm_head(hidden[:, -1])  # type: ignore[operator]
        return Passed(tally.peak, tally.flops)

    @torch.no_grad()
    def likelihoods(self, heard: Clip, answers: int) -> Passed:
        """An utterance's answer in so many forms, for the posterior."""
        self.model.eval()
        with self.mode, Tally() as tally:
            x = self._x([heard])
            rows = self._rows(x, [heard], "descriptor")[0]
            _nll(self.model, rows * answers, answers * self._labels([heard]))
        return Passed(tally.peak, tally.flops)

    def _x(self, batch: Sequence[Clip]) -> Tensor:
        return torch.empty(
            len(batch), self.model.layers, max(heard.frames for heard in batch), self.model.width
        )  # (B, L, T, D)

    def _labels(self, batch: Sequence[Clip]) -> int:
        return sum(
            len(self.model.tokenizer.encode(heard.target, add_special_tokens=False)) + 1
            for heard in batch
        )

    def _loss(self, batch: Sequence[Clip], phase: Phase) -> Tensor:
        """Describer.forward's sum, without the questions that a tensor can only answer by its values."""
        x = self._x(batch)  # lives until the forward pass ends
        rows, kl = self._rows(x, batch, phase)
        return _nll(self.model, rows, self._labels(batch)) + kl

    def _rows(
        self, x: Tensor, batch: Sequence[Clip], phase: Phase, answered: bool = True
    ) -> tuple[list[Row], Tensor]:
        """The LLM's input, with the answer behind the prompt or without, and the KL."""
        model, frames = self.model, torch.tensor([one.frames for one in batch])
        drawn = model.sampled_branches(phase) if model.training else ()
        heard = model.encode_speech(
            x,
            frames,
            phase,
            {
                name: [torch.empty(one.frames, model.config.branch.latent) for one in batch]
                for name in drawn
            },
        )
        rows = []
        for i, one in enumerate(batch):
            u = max(1, one.frames // model.config.adapter.k)
            s_des = None if heard.s_des is None else heard.s_des[i, :u]
            rows.append(
                model.build_row(
                    model.prompt, heard.s_con[i, :u], s_des, one.target if answered else None
                )
            )
        return rows, heard.kl


def _hidden(model: Describer, rows: list[Row]) -> Tensor:
    embeds = pad_sequence([row.embeds for row in rows], batch_first=True)  # (B, N, H)
    mask = pad_sequence([row.mask for row in rows], batch_first=True)
    llm = model.llm.get_base_model().model  # type: ignore[operator]
    hidden: Tensor = llm(
        inputs_embeds=embeds, attention_mask=mask, position_ids=positions(mask), use_cache=False
    ).last_hidden_state
    return hidden


def _nll(model: Describer, rows: list[Row], count: int) -> Tensor:
    """Eq. (4) of `count` label tokens: which positions they have does not matter here."""
    hidden = _hidden(model, rows)[:, :-1].flatten(0, 1)[torch.arange(count)]
    logits = model.llm.get_base_model().lm_head(hidden).float()  # type: ignore[operator]  # (labels, V)
    return functional.cross_entropy(
        logits, torch.zeros(count, dtype=torch.long), reduction="none"
    ).sum()


@torch.no_grad()
def encode(encoder: Encoder, waves: int, samples: int) -> Passed:
    """One pass of the frozen encoder over so many waves of equal length."""
    mode = weightless(encoder.model)
    with mode, Tally() as tally:
        values = torch.empty(waves, samples, dtype=DTYPES[encoder.config.dtype])
        mask = torch.ones(waves, samples, dtype=torch.long) if encoder.batchable else None
        x = encoder.hidden_states(values, mask).float()  # (B, L, T, D)
        del x
    return Passed(tally.peak, tally.flops)


def held(work: Callable[[], object]) -> int:
    """Bytes that torch's allocator had given out at most, above those at the start, while work is really done: to hold a plan against."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    live = most = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            most = max(most, live)
    return most
