"""`serdesc plan --calibrate` against what then happens: hours of extraction, training and decoding, and the peak memory of training.

    OMP_NUM_THREADS=1 tools/venv/bin/python tools/bench/plan.py --utterances 48 --layers 8

A Llama and a HuBERT of random weights, and noise of speech's lengths; both models are as wide and as deep as the options say. Beside the plan
stand the rules of thumb: 6 FLOPs a parameter and token at the calibrated speed for time, 16 bytes a parameter (weight, gradient, AdamW) for
memory. An untrained model names no emotion, so no posterior is asked for. Other work on the machine makes the figures worse, since calibration
and run do not meet the same load: run it when it is quiet.
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
from serdesc.builtin import resolve
from serdesc.captions.fields import Fields
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.inference.decode import decode
from serdesc.plan import calibrate, planner, trace
from serdesc.training import trainer

WORDS = "the dogs are sitting by a door and nobody knows what kids talk about when it rains all day in town".split()
CPU = torch.device("cpu")


def models(folder: Path, width: int, layers: int) -> list[str]:
    """A Llama with llama-mini's tokenizer and a layer-norm HuBERT, saved; and the settings that name them."""
    from transformers import AutoTokenizer, HubertConfig, HubertModel, LlamaConfig, LlamaForCausalLM, Wav2Vec2FeatureExtractor

    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // 64, "intermediate_size": 4 * width}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=32_000, num_key_value_heads=width // 128, **{**shape, "intermediate_size": 11 * width // 4}))
    llama.save_pretrained(folder / "llm")
    AutoTokenizer.from_pretrained(resolve("llama-mini")).save_pretrained(folder / "llm")
    HubertModel(HubertConfig(conv_bias=True, feat_extract_norm="layer", do_stable_layer_norm=True, **shape)).save_pretrained(folder / "encoder")
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder / "encoder")
    return [f"llm.model={folder / 'llm'}", "llm.dtype=float32", f"encoder.model={folder / 'encoder'}", "adapter.hidden=512"]


def corpus(folder: Path, count: int) -> Path:
    """Noise with words and labels to it, 1 to 12 s long, as spontaneous speech is."""
    rng = np.random.default_rng(1)
    utterances = []
    (folder / "wav").mkdir()
    for i in range(count):
        seconds = round(float(np.clip(rng.lognormal(1.1, 0.5), 1, 12)), 2)
        path = folder / "wav" / f"u{i:04d}.wav"
        soundfile.write(path, rng.normal(0, 0.1, round(16_000 * seconds)), 16_000)
        text = " ".join(rng.choice(WORDS, max(2, round(2.5 * seconds))))
        said = Fields(text, ("angry", "happy", "sad")[i % 3], "low", "high", "fast", gender="male")
        utterances.append(Utterance(path.stem, str(path), f"s{i % 4}", text=text, seconds=seconds, emotion=said.emotion, gender="male", labels=said))
    datadir.write(folder / "data", utterances)
    return folder / "data"


def seconds(work: Callable[[], object]) -> float:
    start = calibrate.CLOCK()
    work()
    return calibrate.CLOCK() - start


def train(config: Config, data: list[Utterance], features: stores.Features, exp: Path) -> trainer.Trainer:
    ready, _ = trainer.examples(data, config)
    run = trainer.Trainer(models.initialise(config, features, CPU), features, config, exp, 1)
    run.run(ready)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=48)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--cpu-time", action="store_true", help="seconds of this process alone: for a busy machine, and one thread")
    parser.add_argument("--set", action="append", default=[], help="key=value, as for serdesc")
    args = parser.parse_args()
    if args.cpu_time:
        calibrate.CLOCK = time.process_time
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 0)) or torch.get_num_threads())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        epochs = ["training.content.epochs=1", "training.descriptor.epochs=1", "decoding.max_new_tokens=30", "decoding.posterior=false"]
        config = configs.load(settings=[*models(folder, args.width, args.layers), *epochs, *args.set])
        compare(config, corpus(folder, args.utterances), folder)


def compare(config: Config, data: Path, folder: Path) -> None:
    utterances = datadir.read(data)
    before = os.getloadavg()[0]
    calibration = time.perf_counter()
    tree = planner.plan(config, data, calibrated=CPU)
    print(f"planned in {time.perf_counter() - calibration:.0f} s, {torch.get_num_threads()} thread(s), load of the machine before {before:.1f}")
    encoder = Encoder.load(config.encoder, CPU)
    hours, naive = tree["hours"], rules(tree)
    row("extraction", hours["extraction"] * 3600, seconds(lambda: stores.write(folder / "s", utterances, encoder, config.store)), "s")
    features = stores.Store(folder / "s")
    runs: list[trainer.Trainer] = []
    row("training", hours["training"] * 3600, seconds(lambda: runs.append(train(config, utterances, features, folder / "e"))), "s", naive[0])
    row("decoding", hours["decoding"] * 3600, seconds(lambda: decode(runs[0].model, features, utterances, folder / "hyp.jsonl")), "s")
    longest = sorted(utterances, key=lambda utt: utt.seconds or 0.0)[-config.training.batch_size :]
    needed = tree["memory"]["as configured"] / 1e9
    row("peak memory of training", needed, trace.measured_peak(lambda: train(config, longest, features, folder / "m")) / 1e9, "GB", naive[1])
    print(f"load of the machine after {os.getloadavg()[0]:.1f}; calibration: {[line for line in tree['assumed'] if 'calibrated' in line][0]}")


def rules(tree: planner.Tree) -> tuple[float, float]:
    """What the rules of thumb say: seconds of training, GB."""
    parameters = sum(part["parameters"] for part in tree["parameters"] if part["name"] != "encoder")
    flops = sum(row["forward"] + row["backward"] for row in tree["tokens"]["epoch"].values())
    speed = flops / (tree["hours"]["training"] * 3600)
    tokens = sum(row["prompt"] + row["speech"] + row["target"] for row in tree["tokens"]["epoch"].values())
    return 6 * parameters * tokens / speed, 16 * parameters / 1e9


def row(what: str, planned: float, measured: float, unit: str, thumb: float | None = None) -> None:
    rule = f", rule of thumb {thumb:.2f} {unit} ({thumb / measured - 1:+.0%})" if thumb else ""
    print(f"{what:24s} planned {planned:8.2f} {unit}, measured {measured:8.2f} {unit} ({planned / measured - 1:+.0%}){rule}", flush=True)


if __name__ == "__main__":
    calibrate.SECONDS = 6.0
    main()
