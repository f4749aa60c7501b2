"""Peak memory and FLOPs of a pass through a model without weights, on PyTorch's fake tensors.

Fake tensors have a shape and no storage, and every operator accepts them. The real modules run,
forward and backward, in a second for Llama-3.1-8B; allocations are counted from the tensors that
are alive. B utterances, L layers, T frames, D encoder width, U speech tokens, H LLM width, V
vocabulary.
"""

from __future__ import annotations

import warnings
import weakref
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from serdesc.features.encoder import Encoder
from serdesc.models.adapter import token_count
from serdesc.models.describer import Describer, Phase
from serdesc.models.rows import Rows
from serdesc.models.speech import SpeechTokens

# Fused as on a GPU: the (T, T) attention weights are never stored.
ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"


@dataclass(frozen=True)
class PassCost:
    """The cost of passes through a model."""

    peak: int  # maximum bytes of live tensors, without the model's parameters and buffers
    forward: int  # FLOPs of matrix products, convolutions and attention
    backward: int = 0  # FLOPs, recomputation of the forward pass included


@dataclass(frozen=True)
class Clip:
    """An utterance of a batch: its number of frames T, and its target."""

    frames: int
    target: str


class Tally(TorchDispatchMode):
    """Counts the FLOPs and the bytes of live tensors of all operators inside its context."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.live = self.peak = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = {_storage(tensor)._cdata for tensor in _tensors((args, kwargs))}
        out = func(*args, **kwargs)
        self.flops += _flops(func, args, kwargs, out)
        for tensor in _tensors(out):
            storage = _storage(tensor)
            is_view = storage._cdata in inputs or storage._cdata in self._alive
            if not is_view:
                self._allocate(storage)
        return out

    def _allocate(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        self._alive[key] = weakref.ref(storage, lambda _: self._free(key, size))

    def _free(self, key: int, size: int) -> None:
        del self._alive[key]
        self.live -= size


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage()


def _flops(func: Any, args: Any, kwargs: Any, out: Any) -> int:
    """FLOPs of an operator; 0 if it is no matrix product, convolution or attention."""
    packet = func._overloadpacket
    if packet.__name__ == ATTENTION:
        return int(sdpa_flop_count(*(tensor.shape for tensor in args[:3])))
    if packet.__name__ == f"{ATTENTION}_backward":  # gradient, then q, k, v
        return int(sdpa_backward_flop_count(*(tensor.shape for tensor in args[:4])))
    if packet not in flop_registry:
        return 0
    return int(flop_registry[packet](*args, **kwargs, out_val=out))


def weightless(model: nn.Module) -> FakeTensorMode:
    """Replace the model's tensors by fake ones, and return the mode in which it can run.

    The model may be on the meta device. Tied weights remain tied.
    """
    mode, fakes = FakeTensorMode(allow_non_fake_inputs=True), {}
    with mode:
        for module in model.modules():
            for table in (module._parameters, module._buffers):
                for name, tensor in table.items():
                    if tensor is None:
                        continue
                    if id(tensor) not in fakes:
                        fakes[id(tensor)] = _fake(tensor)
                    table[name] = fakes[id(tensor)]
    return mode


def _fake(tensor: Tensor) -> Any:
    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


# ---- passes --------------------------------------------------------------------------------------


class Weightless:
    """A Describer of fake tensors, and the cost of passes through it."""

    def __init__(self, model: Describer) -> None:
        self.model, self.mode = model, weightless(model)

    def train(self, batch: Sequence[Clip], phase: Phase, checkpointing: bool = False) -> PassCost:
        """Forward and backward pass of one part of a training step."""
        self._set_checkpointing(checkpointing)
        self.model.train_phase(phase)
        with self.mode, Tally() as tally:
            loss = self._loss(batch, phase)
            forward = tally.flops
            loss.backward()  # type: ignore[no-untyped-call]
            del loss
        self.model.zero_grad()
        return PassCost(tally.peak, forward, tally.flops - forward)

    def _set_checkpointing(self, enabled: bool) -> None:
        llm = self.model.llm.get_base_model()  # type: ignore[operator]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            if enabled:
                llm.gradient_checkpointing_enable(
                    gradient_checkpointing_kwargs={"use_reentrant": False}
                )
            else:
                llm.gradient_checkpointing_disable()

    @torch.no_grad()
    def decode(self, batch: Sequence[Clip]) -> PassCost:
        """Prefill of the prompts of a batch, up to the first token of the response."""
        self.model.eval()
        with self.mode, Tally() as tally:
            x = self._x(batch)
            speech = self._encode_speech(x, batch, "descriptor")
            rows = self._rows(speech, batch, answered=False)
            hidden = self.model.hidden_states(rows)
            self.model.llm.get_base_model().lm_head(hidden[:, -1])  # type: ignore[operator]
        return PassCost(tally.peak, tally.flops)

    @torch.no_grad()
    def likelihoods(self, clip: Clip, answers: int) -> PassCost:
        """The posterior of one utterance: its response in `answers` variants, half of it common."""
        self.model.eval()
        with self.mode, Tally() as tally:
            x = self._x([clip])
            speech = self._encode_speech(x, [clip], "descriptor")
            ids = self.model.answer_ids(clip.target)
            rows = self._rows(speech, [clip], answered=False)
            self.model.answer_losses(rows, [ids] * answers, len(ids) // 2)
        return PassCost(tally.peak, tally.flops)

    def _x(self, batch: Sequence[Clip]) -> Tensor:
        frames = max(clip.frames for clip in batch)
        return torch.empty(len(batch), self.model.layers, frames, self.model.width)  # (B, L, T, D)

    def _loss(self, batch: Sequence[Clip], phase: Phase) -> Tensor:
        """The sum of Describer.forward, without operations that depend on tensor values."""
        x = self._x(batch)  # lives until the forward pass ends
        speech = self._encode_speech(x, batch, phase)
        return self.model.token_losses(self._rows(speech, batch)).sum() + speech.kl

    def _rows(self, speech: SpeechTokens, batch: Sequence[Clip], answered: bool = True) -> Rows:
        """The LLM's input, with the target after the prompt if `answered`."""
        model = self.model
        tokens = [token_count(clip.frames, model.config.adapter.k) for clip in batch]
        targets = [clip.target if answered else None for clip in batch]
        return model.build_rows(model.prompt, speech, tokens, targets)

    def _encode_speech(self, x: Tensor, batch: Sequence[Clip], phase: Phase) -> SpeechTokens:
        """The speech tokens; in training with noise, which is freed on return."""
        model, frames = self.model, torch.tensor([clip.frames for clip in batch])
        noise: dict[str, Sequence[Tensor]] = {}
        for name in model.sampled_branches(phase) if model.training else ():
            noise[name] = [torch.empty(clip.frames, model.config.branch.latent) for clip in batch]
        return model.encode_speech(x, frames, phase, noise)


@torch.no_grad()
def encode(encoder: Encoder, waves: int, samples: int) -> PassCost:
    """One pass of the frozen encoder over `waves` waves of `samples` samples."""
    mode = weightless(encoder.model)
    with mode, Tally() as tally:
        values, mask = encoder.blank_inputs(waves, samples)
        encoder.hidden_states(values, mask).float()  # (B, L, T, D)
    return PassCost(tally.peak, tally.flops)


def measured_peak(work: Callable[[], object]) -> int:
    """Peak bytes of torch's allocator during `work`, above the start; measured to check a plan."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    live = peak = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    return peak
