"""`serdesc plan --calibrate` and measurements: time of extraction, training and decoding, memory.

    OMP_NUM_THREADS=1 tools/venv/bin/python tools/bench/plan.py --utterances 48 --layers 8

A Llama and a HuBERT with random weights, of the width and depth of the options, and noise with
lengths of speech. Two rules of thumb are printed for comparison: 6 FLOPs a parameter and token at
the calibrated speed for time; 16 bytes a parameter (weight, gradient, AdamW) for memory. An
untrained model states no emotion, so no posterior is computed. Run it on an idle machine: with
other work, calibration and run have different loads.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Callable

import numpy as np
import soundfile
import torch

from serdesc import config as configs
from serdesc import models
from serdesc.builtin import resolve
from serdesc.captions.fields import Fields
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.inference.decode import decode
from serdesc.plan import calibrate, planner, trace
from serdesc.training import examples, trainer

WORDS = (
    "the dogs are sitting by a door and nobody knows what kids talk about when it rains all day in"
    " town"
).split()
CPU = torch.device("cpu")


def save_models(folder: Path, width: int, layers: int) -> list[str]:
    """Save a Llama with llama-mini's tokenizer and a layer-norm HuBERT; returns their settings."""
    from transformers import (
        AutoTokenizer,
        HubertConfig,
        HubertModel,
        LlamaConfig,
        LlamaForCausalLM,
        Wav2Vec2FeatureExtractor,
    )

    llama = LlamaConfig(
        vocab_size=32_000,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 128,
        intermediate_size=11 * width // 4,
    )
    LlamaForCausalLM(llama).save_pretrained(folder / "llm")
    AutoTokenizer.from_pretrained(resolve("llama-mini")).save_pretrained(folder / "llm")
    hubert = HubertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    HubertModel(hubert).save_pretrained(folder / "encoder")
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    extractor.save_pretrained(folder / "encoder")
    return [
        f"llm.model={folder / 'llm'}",
        "llm.dtype=float32",
        f"encoder.model={folder / 'encoder'}",
        "adapter.hidden=512",
    ]


def make_corpus(folder: Path, count: int) -> Path:
    """Noise with words and labels, 1 to 12 s long, with the lengths of spontaneous speech."""
    rng = np.random.default_rng(1)
    utterances = []
    (folder / "wav").mkdir()
    for i in range(count):
        seconds = round(float(np.clip(rng.lognormal(1.1, 0.5), 1, 12)), 2)
        path = folder / "wav" / f"u{i:04d}.wav"
        soundfile.write(path, rng.normal(0, 0.1, round(16_000 * seconds)), 16_000)
        text = " ".join(rng.choice(WORDS, max(2, round(2.5 * seconds))))
        emotion = ("angry", "happy", "sad")[i % 3]
        utterances.append(
            Utterance(
                path.stem,
                str(path),
                f"s{i % 4}",
                text=text,
                seconds=seconds,
                emotion=emotion,
                gender="male",
                labels=Fields(text, emotion, "low", "high", "fast", gender="male"),
            )
        )
    datadir.write(folder / "data", utterances)
    return folder / "data"


def seconds(work: Callable[[], object]) -> float:
    start = calibrate.CLOCK()
    work()
    return calibrate.CLOCK() - start


def train(
    config: Config, data: list[Utterance], features: stores.Features, exp: Path
) -> trainer.Trainer:
    usable, _ = examples.examples(data, config)
    model = models.initialise(config, features, CPU)
    run = trainer.Trainer(model, features, config, exp, 1)
    run.run(usable)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--utterances", type=int, default=48)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="measure CPU seconds of this process: for a busy machine, with one thread",
    )
    parser.add_argument("--set", action="append", default=[], help="key=value, as for serdesc")
    args = parser.parse_args()
    if args.cpu_time:
        calibrate.CLOCK = time.process_time
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 0)) or torch.get_num_threads())
    settings = [
        "training.content.epochs=1",
        "training.descriptor.epochs=1",
        "decoding.max_new_tokens=30",
        "decoding.posterior=false",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saved = save_models(folder, args.width, args.layers)
        config = configs.load(settings=[*saved, *settings, *args.set])
        compare(config, make_corpus(folder, args.utterances), folder)


def compare(config: Config, data: Path, folder: Path) -> None:
    """Plan, run and print one row a stage."""
    utterances = datadir.read(data)
    load_before = os.getloadavg()[0]
    start = time.perf_counter()
    tree = planner.plan(config, data, calibrated=CPU)
    print(
        f"planned in {time.perf_counter() - start:.0f} s, {torch.get_num_threads()} thread(s),"
        f" load of the machine before {load_before:.1f}"
    )
    encoder = Encoder.load(config.encoder, CPU)
    hours, (rule_seconds, rule_gb) = tree["hours"], rules_of_thumb(tree)
    store = folder / "s"
    took = seconds(lambda: stores.write(store, utterances, encoder, config.store))
    print_row("extraction", hours["extraction"] * 3600, took, "s")
    features = stores.Store(store)
    runs: list[trainer.Trainer] = []
    took = seconds(lambda: runs.append(train(config, utterances, features, folder / "e")))
    print_row("training", hours["training"] * 3600, took, "s", rule_seconds)
    hyp = folder / "hyp.jsonl"
    took = seconds(lambda: decode(runs[0].model, features, utterances, hyp))
    print_row("decoding", hours["decoding"] * 3600, took, "s")
    by_length = sorted(utterances, key=lambda utt: utt.seconds or 0.0)
    longest = by_length[-config.training.batch_size :]
    planned = tree["memory"]["as configured"] / 1e9
    peak = trace.measured_peak(lambda: train(config, longest, features, folder / "m")) / 1e9
    print_row("peak memory of training", planned, peak, "GB", rule_gb)
    calibration = [line for line in tree["assumed"] if "calibrated" in line][0]
    print(f"load of the machine after {os.getloadavg()[0]:.1f}; calibration: {calibration}")


def rules_of_thumb(tree: planner.Tree) -> tuple[float, float]:
    """Seconds and GB of training."""
    parts = [part for part in tree["parameters"] if part["name"] != "encoder"]
    parameters = sum(part["parameters"] for part in parts)
    epoch = tree["tokens"]["epoch"].values()
    flops = sum(row["forward"] + row["backward"] for row in epoch)
    speed = flops / (tree["hours"]["training"] * 3600)
    tokens = sum(row["prompt"] + row["speech"] + row["target"] for row in epoch)
    return 6 * parameters * tokens / speed, 16 * parameters / 1e9


def print_row(
    what: str, planned: float, measured: float, unit: str, rule: float | None = None
) -> None:
    line = f"{what:24s} planned {planned:8.2f} {unit}, measured {measured:8.2f} {unit}"
    line += f" ({planned / measured - 1:+.0%})"
    if rule:
        line += f", rule of thumb {rule:.2f} {unit} ({rule / measured - 1:+.0%})"
    print(line, flush=True)


if __name__ == "__main__":
    calibrate.SECONDS = 6.0
    main()
