"""What a GPU does to results: a kill and a resume, strict determinism, and the paper's LLM's size.

Needs torch, transformers, peft and safetensors (and PyYAML, NumPy, which these bring), no audio and
no downloads: features are random numbers, the small LLM is the built-in one, and the large one has
Llama-3.1-8B's shape and random weights. Without a GPU the same runs on the CPU at a toy size.

    tools/bench/gpu_check.py --work gpu_check

Prints one JSON object: device, versions, and for each test whether it held, seconds and memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Sequence

import torch
from torch import Tensor

from serdesc import config as configs
from serdesc import runtime
from serdesc.captions import writer
from serdesc.captions.fields import Fields
from serdesc.config import Config
from serdesc.data.datadir import Utterance
from serdesc.files import read_jsonl
from serdesc.models import llm as llms
from serdesc.training import trainer

LARGE = dict(
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=128_256,
    max_position_embeddings=4096,
)
TOY = dict(LARGE, hidden_size=64, intermediate_size=128, num_hidden_layers=2, vocab_size=2048)
TOY |= dict(num_attention_heads=4, num_key_value_heads=2)
EMOTIONS = ("angry", "happy", "neutral", "sad")
UTTERANCES, LAYERS, WIDTH, FRAMES = 96, 4, 64, 150


class RandomFeatures:
    """Features that are random numbers, the same for an utterance in every run."""

    layers, width, precision = LAYERS, WIDTH, "live"

    def __init__(self) -> None:
        self.made_by: dict[str, Any] = {"encoder": "random", "weights": "none", "layers": "1..n"}
        self.rejected: dict[str, str] = {}

    def load(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        loaded = []
        for utt in utterances:
            generator = torch.Generator().manual_seed(runtime.seed("features", utt.utt_id))
            loaded.append(torch.randn(LAYERS, FRAMES, WIDTH, generator=generator))
        return loaded


def utterances() -> list[Utterance]:
    made = []
    for i in range(UTTERANCES):
        fields = Fields(transcript=f"sentence number {i % 7}", emotion=EMOTIONS[i % 4], pitch="low")
        caption = writer.render(fields, str(i))
        text = fields.transcript
        made.append(
            Utterance(f"u{i:03d}", "", f"s{i % 8}", text, 3.0, caption=caption, labels=fields)
        )
    return made


def settings(device: str, strict: bool, large: bool) -> Config:
    values = [
        f"device={device}",
        f"deterministic={'strict' if strict else 'warn'}",
        "threads=1",
        "llm.model=llama-mini",
        "llm.lora.dropout=0.1",
        "branch.latent=16",
        "adapter.hidden=64",
        "training.save_seconds=0",
    ]
    if large:
        values += ["llm.dtype=bfloat16", "training.batch_size=4", "training.save_steps=10"]
        values += ["llm.gradient_checkpointing=true"]
        values += ["training.content.epochs=0", "training.descriptor.epochs=1"]
    else:
        values += ["llm.dtype=float32", "training.batch_size=8", "training.save_steps=3"]
        values += ["training.content.epochs=1", "training.descriptor.epochs=2"]
    return configs.load(settings=values)


def use_random_llm(shape: dict[str, int]) -> None:
    """Build the LLM on its device, with the built-in one's tokenizer and random weights."""
    loaded = llms.load

    def load(config: Any, device: torch.device | None = None) -> tuple[Any, Any]:
        from transformers import LlamaConfig, LlamaForCausalLM

        small = dataclasses.replace(config, dtype="float32", gradient_checkpointing=False)
        _, tokenizer = loaded(small, device)
        where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        torch.set_default_dtype(runtime.DTYPES[config.dtype])
        with where:
            llm = LlamaForCausalLM(LlamaConfig(**shape))
        torch.set_default_dtype(torch.float32)
        return llms.with_lora(llm, config), tokenizer

    llms.load = load


def train(exp: Path, device: str, strict: bool, large: bool) -> None:
    """In a process of its own."""
    config = settings(device, strict, large)
    if large:
        use_random_llm(LARGE if torch.cuda.is_available() else TOY)
    data = utterances()
    if large:
        data = data[:80]  # 20 steps
    trainer.train(data, RandomFeatures(), config, exp, 1, runtime.start(config))
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 1e9
        (exp / "memory.json").write_text(json.dumps({"peak GB": round(peak, 2)}))


def started(exp: Path, device: str, strict: bool = False, large: bool = False) -> Any:
    command = [sys.executable, __file__, "--train", str(exp), "--device", device]
    command += ["--strict"] * strict + ["--large"] * large
    return subprocess.Popen(command)


def finished(exp: Path, device: str, strict: bool = False, large: bool = False) -> float:
    """Seconds of a training to its end."""
    begin = time.monotonic()
    if code := started(exp, device, strict, large).wait():
        raise SystemExit(f"training {exp} ended with {code}")
    return round(time.monotonic() - begin, 1)


def killed(exp: Path, device: str, rows: int, large: bool = False) -> None:
    """Start a training and kill it after so many steps."""
    process = started(exp, device, large=large)
    log = exp / "train.jsonl"
    while process.poll() is None:
        if log.exists() and log.read_bytes().count(b"\n") >= rows:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return
        time.sleep(0.02)


def losses(exp: Path) -> list[float]:
    return [row["vib_loss"] for row in read_jsonl(exp / "train.jsonl")]


def largest_difference(one: Path, other: Path) -> float:
    a, b = losses(one), losses(other)
    if len(a) != len(b):
        return float("inf")
    return max(abs(x - y) / max(1.0, abs(x)) for x, y in zip(a, b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("gpu_check"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--strict", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--large", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train, options.device, options.strict, options.large)
        return
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    work, device = options.work, options.device
    shutil.rmtree(work, ignore_errors=True)
    result: dict[str, Any] = {"environment": runtime.environment()}
    result["unbroken, s"] = finished(work / "whole" / "fold1", device)
    killed(work / "killed" / "fold1", device, 20)
    finished(work / "killed" / "fold1", device)
    difference = largest_difference(work / "whole" / "fold1", work / "killed" / "fold1")
    result["kill and resume: largest relative difference of a loss"] = difference
    for name in ("strict1", "strict2"):
        result[f"{name}, s"] = finished(work / name / "fold1", device, strict=True)
    same = losses(work / "strict1" / "fold1") == losses(work / "strict2" / "fold1")
    result["deterministic: strict, twice the same losses"] = same
    large = work / "large" / "fold1"
    killed(large, device, 12, large=True)
    result["large, resumed from step 10, s"] = finished(large, device, large=True)
    result["large, steps"] = len(losses(large))
    memory = large / "memory.json"
    result["large, memory"] = json.loads(memory.read_text()) if memory.exists() else "CPU, toy size"
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
