"""Captions for recordings that belong to no corpus."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from serdesc import config as configs
from serdesc import runtime
from serdesc.builtin import resolve
from serdesc.captions import reader
from serdesc.data import audio
from serdesc.errors import UserError
from serdesc.features import batches
from serdesc.features.encoder import Encoder
from serdesc.features.store import Live, encode
from serdesc.models import checkpoint


def describe(paths: list[Path], model_name: str, as_json: bool, settings: list[str]) -> int:
    """Print a caption for each file; returns how many files could not be used."""
    start = time.perf_counter()
    exp = Path(resolve(model_name))
    if not (exp / "config.yaml").exists():
        raise UserError(
            f"--model {model_name}: no experiment there (config.yaml is missing) and no built-in model of that name"
        )
    config = configs.load(exp / "config.yaml", settings)
    device = runtime.start(config)
    encoder = Encoder.load(config.encoder, device)
    model, _ = checkpoint.load_model(exp, Live(encoder), device, settings)
    loaded = time.perf_counter() - start
    unusable = 0
    for path in paths:
        try:
            wave = audio.load(path, config.encoder.max_seconds)
        except audio.AudioError as error:
            print(f"{path}: {error}", file=sys.stderr)
            unusable += 1
            continue
        began = time.perf_counter()
        x, frames = batches.pad(encode(encoder, [wave]))
        caption = model.generate(x, frames, config.decoding.max_new_tokens)[0]
        _show(path, caption, len(wave) / audio.SAMPLE_RATE, time.perf_counter() - began, as_json)
        if len(wave) / audio.SAMPLE_RATE >= config.encoder.max_seconds:
            print(
                f"{path}: only its first {config.encoder.max_seconds:g} s were heard (encoder.max_seconds)",
                file=sys.stderr,
            )
    if not as_json:
        print(
            f"{loaded:.1f} s to start, {config.encoder.model} and {config.llm.model}",
            file=sys.stderr,
        )
    return unusable


def _show(path: Path, caption: str, seconds: float, took: float, as_json: bool) -> None:
    fields = {
        name: value for name, value in reader.read(caption).to_dict().items() if value is not None
    }
    if as_json:
        row: dict[str, Any] = {
            "audio": str(path),
            "caption": caption,
            "fields": fields,
            "seconds": round(seconds, 3),
            "took": round(took, 3),
        }
        print(json.dumps(row, ensure_ascii=False), flush=True)
        return
    print(f"{path} ({seconds:.1f} s, described in {took:.2f} s)\n  {caption}")
    shown = "  ".join(
        f"{name}: {', '.join(value) if isinstance(value, list) else value}"
        for name, value in fields.items()
        if name != "transcript"
    )
    print(f"  {shown}\n", flush=True)
