"""Linear probe of a frozen encoder on the folds of a corpus: what its layers contain.

    tools/bench/probe.py egs/emodb/data/whisper egs/emodb/dump/whisper-base/whisper \\
      --config egs/emodb/conf/whisper.yaml

DATA: folds of `serdesc annotate`; STORE: its feature store, or `live`. Each layer's mean and
standard deviation over time, of all layers together and of each layer alone, are standardised and
classified by logistic regression, as the log-mel baseline of `serdesc baselines` is; beside it that
baseline, with the difference. --padded computes the features live from recordings followed by
silence up to encoder.max_seconds, which is what transformers' Whisper encoder takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Sequence

import numpy as np
import torch
from tabulate import tabulate

from serdesc import config as configs
from serdesc.config import Config
from serdesc.data.audio import SAMPLE_RATE
from serdesc.data.datadir import Utterance
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.features.live import load_wave
from serdesc.progress import progress
from serdesc.scoring import baselines, bootstrap, intervals, metrics, typeset
from serdesc.scoring.bootstrap import Rows

CPU = torch.device("cpu")
METRICS = ("ua", "wa")


def statistics(x: torch.Tensor) -> np.ndarray:
    """Mean and standard deviation over time of each layer of x (L, T, D): (L, 2 D)."""
    deviation = x.std(dim=1, correction=0)
    return torch.cat([x.mean(dim=1), deviation], dim=1).numpy()


def of_store(utterances: Sequence[Utterance], store: str, config: Config) -> baselines.Vectors:
    """Utterance -> the statistics of its layers."""
    features, vectors = stores.open_features(store, config, CPU), {}
    with progress("probe", len(utterances), "utterances") as advance:
        for utt in utterances:
            vectors[utt.utt_id] = statistics(features.load([utt])[0])
            advance(1)
    return vectors


def of_padded(utterances: Sequence[Utterance], config: Config) -> baselines.Vectors:
    """Utterance -> the statistics of its own frames, encoded with silence up to max_seconds.

    Prints how similar each layer's frames are to those without silence.
    """
    encoder, vectors = Encoder.load(config.encoder, CPU), {}
    cosines: list[torch.Tensor] = []
    samples = round(config.encoder.max_seconds * SAMPLE_RATE)
    with progress("probe", len(utterances), "utterances") as advance:
        for utt in utterances:
            wave = load_wave(utt, encoder)[:samples]
            alone = encoder([wave])[0]
            x = encoder([np.pad(wave, (0, samples - len(wave)))])[0][:, : alone.shape[1]]
            vectors[utt.utt_id] = statistics(x)
            cosines.append(torch.cosine_similarity(x, alone, dim=-1).mean(dim=1))  # (L,)
            advance(1)
    means = torch.stack(cosines).mean(dim=0).tolist()
    print("cosine to frames without silence, by layer:", *(f"{value:.3f}" for value in means))
    return vectors


def row(title: str, scored: dict[str, Rows], reference: dict[str, Rows], config: Config) -> list:
    """Title, UA and WA with 95 % intervals, and the difference of UA to the reference."""
    by_name = {metric.name: metric for metric in metrics.every()}
    cells: list[object] = [title]
    for name in METRICS:
        value = by_name[name].value(bootstrap.total([counts for _, counts in scored[name]]))
        limits = intervals.interval(by_name[name], scored[name], config.scoring)
        cells += [f"{value:.1f}", typeset.span(limits)]
    ua = by_name["ua"]
    gain, limits = intervals.difference(ua, scored["ua"], reference["ua"], config.scoring)
    of_gain = f" ({limits[0]:+.1f} to {limits[1]:+.1f})" if limits else ""
    return [*cells, f"{gain:+.1f}{of_gain}"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("store")
    parser.add_argument("--config", type=Path, action="append", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--padded", action="store_true")
    parser.add_argument("--layers", action="store_true", help="each layer alone, too")
    options = parser.parse_args()
    config = configs.load(options.config, options.set)
    torch.set_num_threads(config.threads or torch.get_num_threads())
    folds = baselines.read_folds(options.data)
    utterances = baselines.utterances_of(folds)
    if options.padded:
        layers = of_padded(utterances, config)
    else:
        layers = of_store(utterances, options.store, config)
    logmel = baselines.linear_probe(folds, baselines.log_mel(utterances, 1), ("emotion",))
    together = {utt_id: values.ravel() for utt_id, values in layers.items()}
    probes = {"all layers": baselines.linear_probe(folds, together, ("emotion",))}
    count = len(next(iter(layers.values())))
    for layer in range(count if options.layers else 0):
        vectors = {utt_id: values[layer] for utt_id, values in layers.items()}
        probes[f"output {layer + 1}"] = baselines.linear_probe(folds, vectors, ("emotion",))
    rows = [row(baselines.LOGMEL, logmel, logmel, config)]
    rows += [row(title, scored, logmel, config) for title, scored in probes.items()]
    tested = len(logmel["ua"])
    print(f"{config.encoder.model}: {tested} test utterances in {len(folds)} folds")
    headers = ["classifier", "UA %", "95 %", "WA %", "95 %", "UA above log-mel (95 %)"]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
