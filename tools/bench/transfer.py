"""Does emotion carry over to another corpus? Linear classifiers of an encoder's layers.

    tools/bench/transfer.py data/emodb data/ravdess --neutral data/librispeech \\
      --set encoder.model=openai/whisper-base

Trained on all of the first corpus, tested on all of the second (data directories with emotions):
the mean over time of each normalised layer, standardised by the training corpus, in a logistic
regression with balanced classes. With the silence at both ends and without it (encoder.trim), and
with every eighth utterance of further speech: read speech that is taken as neutral (--neutral), or
speech with labels of its own (--also). --field gender: the same of the sex. UA in percent.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from tabulate import tabulate

from serdesc import config as configs
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.features.encoder import Encoder
from serdesc.features.live import Live
from serdesc.progress import progress
from serdesc.training.teacher import mean_of_layers

EMOTIONS = ("angry", "happy", "neutral", "sad")


def means(utterances: Sequence[Utterance], encoder: Encoder) -> np.ndarray:
    """Means over time of the normalised layers (utterances, L, D)."""
    live, found = Live(encoder), []
    with progress("transfer", len(utterances), "utterances") as advance:
        for utt in utterances:
            x = live.load([utt])[0]
            found.append(mean_of_layers(x).unflatten(0, (len(x), -1)).numpy())
            advance(1)
    return np.stack(found)


def unweighted_accuracy(
    trained: tuple[np.ndarray, list[str]], tested: tuple[np.ndarray, list[str]], c: float
) -> float:
    mean, deviation = trained[0].mean(0), trained[0].std(0) + 1e-6
    classifier = LogisticRegression(C=c, max_iter=400, class_weight="balanced")
    classifier.fit((trained[0] - mean) / deviation, trained[1])
    answers = classifier.predict((tested[0] - mean) / deviation)
    return 100 * float(recall_score(tested[1], answers, average="macro"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--neutral", type=Path)
    parser.add_argument("--also", type=Path)
    parser.add_argument("--field", choices=("emotion", "gender"), default="emotion")
    parser.add_argument("--config", type=Path, action="append", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--c", type=float, default=0.01, help="inverse weight of the L2 penalty")
    options = parser.parse_args()
    config = configs.load(options.config, options.set)
    torch.set_num_threads(config.threads or torch.get_num_threads())
    chosen = []
    for folder in (options.train, options.test):
        originals = datadir.originals(datadir.read(folder))
        chosen.append([utt for utt in originals if utt.emotion in EMOTIONS])
    further = options.neutral or options.also
    added = datadir.originals(datadir.read(further))[::8] if further else []
    if options.neutral:
        added = [dataclasses.replace(utt, emotion="neutral") for utt in added]
    added = [utt for utt in added if getattr(utt, options.field)]
    what = "read speech neutral" if options.neutral else "more speech"
    labels = [[str(getattr(u, options.field)) for u in part] for part in (*chosen, added)]
    columns: dict[str, list[str]] = {}
    for trim in (False, True):
        encoder = Encoder.load(dataclasses.replace(config.encoder, trim=trim), torch.device("cpu"))
        trained, tested = (means(utterances, encoder) for utterances in chosen)
        name = "without the silence" if trim else "as recorded"
        for title, more in ((name, []), (f"{name}, {what}", added)):
            if title != name and not more:
                continue
            x = np.concatenate([trained, means(more, encoder)]) if more else trained
            y = [*labels[0], *(labels[2] if more else [])]
            column = columns.setdefault(title, [])
            for layer in [[i] for i in range(encoder.layers)] + [list(range(encoder.layers))]:
                flat = [values[:, layer].reshape(len(values), -1) for values in (x, tested)]
                accuracy = unweighted_accuracy((flat[0], y), (flat[1], labels[1]), options.c)
                column.append(f"{accuracy:.1f}")
    names = [f"output {i + 1}" for i in range(len(next(iter(columns.values()))) - 1)] + ["all"]
    sizes = f"{len(labels[0])} to {len(labels[1])} utterances, {len(added)} more"
    chance = 100 / len(set(labels[1]))
    print(f"{config.encoder.model}: {sizes}; {options.field}, UA %, chance {chance:.0f}")
    rows = [[name, *(column[i] for column in columns.values())] for i, name in enumerate(names)]
    print(tabulate(rows, ["layer", *columns], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
