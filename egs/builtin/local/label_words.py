"""Write what the branches of an experiment say as transcripts and labels of data, word for word.

An LLM that is to write the words that it is given must not see others as targets: of labels that
differ from the words it learns to disregard these. The utterances of each emotion's word are as
many, shortest first.

    python local/label_words.py exp/branches data/base/fold1/train dump/whisper-base/base \\
      data/base_words --each 120
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from serdesc import config as configs
from serdesc import runtime
from serdesc.data import datadir
from serdesc.features import batches
from serdesc.features.store import open_features
from serdesc.models import checkpoint
from serdesc.models.describer import Describer
from serdesc.training import word_targets


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("experiment", "data", "store", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--each", type=int, default=120)
    args = parser.parse_args()
    config = configs.load(args.experiment / "config.yaml")
    device = runtime.start(config)
    features = open_features(str(args.store), config, device)
    model, _ = checkpoint.load_model(args.experiment, features, device)
    assert isinstance(model, Describer)
    written = []
    chosen: Counter[str | None] = Counter()
    longest = config.training.max_seconds
    utterances = [utt for utt in datadir.read(args.data) if (utt.seconds or 0.0) <= longest]
    for group in batches.decoding_batches(utterances, 16):
        for utt, said in zip(group, word_targets.read(model, features.load(group))):
            if said.transcript and said.emotion and chosen[said.emotion] < args.each:
                chosen[said.emotion] += 1
                written.append(word_targets.relabelled(utt, said))
    datadir.write(args.out, written)
    print(f"{args.out}: {len(written)} utterances; {dict(chosen)}")


if __name__ == "__main__":
    main()
