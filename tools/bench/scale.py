"""Memory and processor seconds of every stage on many tiny utterances.

Segments of 0.3 s of made-up recordings go through check, annotate (the corpus's own labels),
extract, a minute of training, and score, with an encoder and an LLM of random weights. With two or
more sizes the growth of seconds and memory is seen. Figures: tools/bench/RESULTS.md.

    tools/bench/scale.py 10000 100000 --work /scratch/scale
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Iterator

import numpy as np
import soundfile

from serdesc.captions import writer
from serdesc.captions.fields import Fields
from serdesc.data import datadir
from serdesc.data.datadir import Utterance

SECONDS, IN_RECORDING, SPEAKERS = 0.3, 1000, 40
EMOTIONS = ("angry", "happy", "neutral", "sad")
WORDS = "one two three four five six seven eight nine ten".split()


def models(folder: Path) -> list[str]:
    """Settings of a HuBERT and a Llama of random weights with 16 dimensions."""
    import torch
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import HubertConfig, HubertModel, LlamaConfig, LlamaForCausalLM
    from transformers import PreTrainedTokenizerFast, Wav2Vec2FeatureExtractor

    from serdesc.models.prompt import TURNS

    torch.manual_seed(0)
    sizes = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    encoder = HubertConfig(
        **sizes,
        conv_dim=(8,) * 7,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    HubertModel(encoder).save_pretrained(folder / "encoder")
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder / "encoder")
    turns = TURNS["<|hears|>"]
    marks = ["<|pad|>", turns.system, turns.user, turns.assistant, turns.end]
    tokens = [*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bpe = Tokenizer(BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(marks)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=marks[0], eos_token=turns.end
    )
    tokenizer.save_pretrained(folder / "llm")
    llama = LlamaConfig(
        **sizes, vocab_size=len(tokens), num_key_value_heads=1, max_position_embeddings=1024
    )
    LlamaForCausalLM(llama).save_pretrained(folder / "llm")
    return [
        f"encoder.model={folder / 'encoder'}",
        f"llm.model={folder / 'llm'}",
        "llm.dtype=float32",
        "branch.latent=4",
        "adapter.hidden=8",
        "training.batch_size=64",
        "measure.source=corpus",
        "folds.rule=session",
        "threads=1",
        "device=cpu",
        "prepare.text=rendered",
    ]


def data(folder: Path, count: int) -> None:
    """A data directory of `count` segments with labels of a corpus, in two sessions."""
    rng = np.random.default_rng(count)
    t = np.arange(int(SECONDS * IN_RECORDING * 16_000)) / 16_000
    utterances = []
    for i in range(count):
        number, place = divmod(i, IN_RECORDING)
        recording = f"r{number:05d}"
        wav = folder / "audio" / f"{recording}.flac"
        if not place:
            wav.parent.mkdir(parents=True, exist_ok=True)
            tone = np.sin(2 * np.pi * (100 + number) * t) * (0.3 + 0.2 * np.sin(20 * t))
            soundfile.write(wav, tone + rng.normal(0, 0.01, len(t)), 16_000)
        speaker = int(rng.integers(SPEAKERS))
        text = " ".join(rng.choice(WORDS, 3))
        labels = Fields(transcript=text, emotion=str(rng.choice(EMOTIONS)), pitch="low")
        utterances.append(
            Utterance(
                f"{recording}-{place:04d}",
                str(wav),
                f"s{speaker:02d}",
                text=text,
                seconds=SECONDS,
                session=f"session{speaker % 2}",
                emotion=labels.emotion,
                labels=labels,
                recording=recording,
                span=(SECONDS * place, SECONDS * (place + 1)),
            )
        )
    datadir.write(folder, utterances)


def answers(part: Path, hyp: Path) -> None:
    """A caption of every third utterance is another's."""
    hyp.parent.mkdir(parents=True, exist_ok=True)
    utterances = datadir.read(part)
    with hyp.open("w", encoding="utf-8") as file:
        for i, utt in enumerate(utterances):
            of = utterances[i - 1] if i % 3 == 0 else utt
            caption = writer.render(of.labels or Fields(), utt.utt_id)
            file.write(json.dumps({"utt_id": utt.utt_id, "response": caption}) + "\n")


def stages(work: Path, settings: list[str]) -> Iterator[tuple[str, list[str], tuple[int, ...]]]:
    """Name, command and expected exit codes."""
    options = [word for setting in settings for word in ("--set", setting)]
    folder, dump, exp = work / "data", work / "dump", work / "exp" / "fold1"
    part, hyp = folder / "fold1" / "test", exp / "decode_test" / "hyp.jsonl"
    yield "annotate", ["annotate", str(folder), *options], (0,)
    yield "check", ["check", str(folder)], (0,)
    yield "extract", ["extract", str(folder), str(dump), *options], (0,)
    train = ["train", str(folder / "fold1" / "train"), str(dump), str(exp), *options]
    yield "train, 60 s", [*train, "--time-limit", "60"], (0, 75)
    answers(part, hyp)
    metrics = "ua,macro_f1,wer,cer,pitch"
    yield "score", ["score", str(part), "--hyp", str(hyp), "--metric", metrics, *options], (0,)


def run(command: list[str], codes: tuple[int, ...]) -> tuple[float, float, float]:
    """Seconds, processor seconds with those of worker processes, and peak memory in GB."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "serdesc.cli", *command], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in codes:
        raise SystemExit(f"{command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def main() -> None:
    """Print a row a size and stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="+", help="numbers of utterances")
    parser.add_argument("--work", type=Path, required=True, help="a folder; what is made stays")
    options = parser.parse_args()
    # In a process of its own: the peak memory of a child is at least its parent's at the fork.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        settings = apart.submit(models, options.work / "models").result()
    print("utterances | stage | seconds | processor seconds | peak memory GB", flush=True)
    for count in options.sizes:
        work = options.work / str(count)
        if not (work / "data" / "wav.scp").exists():
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
                apart.submit(data, work / "data", count).result()
        for name, command, codes in stages(work, settings):
            seconds, processor, memory = run(command, codes)
            row = f"{count} | {name} | {seconds:.1f} | {processor:.1f} | {memory:.2f}"
            print(row, flush=True)


if __name__ == "__main__":
    main()
