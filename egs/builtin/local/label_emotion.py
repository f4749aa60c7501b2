"""Label speech of unknown emotion by a classifier of speech with labels, the same number of each.

Of each emotion, the utterances to which a logistic regression of the encoder's layers gives it the
highest probability (serdesc/training/pretrain.py); none of children, whose sex is in no caption.
Written with the utterances whose emotion is known: all of them but copies of the commonest.

    python local/label_emotion.py data/base/fold1/train dump/whisper-base/base \\
      conf/describer_base.yaml data/base_named --each 100
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch

from serdesc import config as configs
from serdesc import runtime
from serdesc.data import datadir
from serdesc.features import batches
from serdesc.features.store import open_features
from serdesc.training.pretrain import Teacher, mean_of_layers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("data", "store", "config", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--max-seconds", type=float, default=4.0)
    args = parser.parse_args()
    config = configs.load(args.config, [])
    features = open_features(str(args.store), config, runtime.start(config))
    utterances = datadir.read(args.data)
    means = {}
    for group in batches.decoding_batches(utterances, 32):
        for utt, x in zip(group, features.load(group)):
            means[utt.utt_id] = mean_of_layers(x)
    known = [utt for utt in utterances if utt.emotion]
    labels = [str(utt.emotion) for utt in known]
    teacher = Teacher(torch.stack([means[utt.utt_id] for utt in known]), labels, 1e-3)
    unknown = []
    for utt in utterances:
        child = utt.labels is not None and utt.labels.age == "child"
        if not (utt.emotion or child) and (utt.seconds or 0.0) <= args.max_seconds:
            unknown.append(utt)
    answers = dict(
        zip((u.utt_id for u in unknown), teacher(torch.stack([means[u.utt_id] for u in unknown])))
    )
    best = Counter(teacher.classes[int(answer.argmax())] for answer in answers.values())
    print(f"the likeliest emotion of {len(unknown)} utterances: {dict(best)}")
    originals = Counter(utt.emotion for utt in known if "-" not in utt.utt_id)
    commonest = originals.most_common(1)[0][0]
    kept = [utt for utt in known if "-" not in utt.utt_id or utt.emotion != commonest]
    for i, name in enumerate(teacher.classes):
        unknown.sort(key=lambda utt: (-float(answers[utt.utt_id][i]), utt.utt_id))
        kept += [replace(utt, emotion=name) for utt in unknown[: args.each]]
        del unknown[: args.each]
    datadir.write(args.out, [replace(utt, labels=None, caption=None) for utt in kept])
    shutil.copy(args.data.parents[1] / "measure.json", args.out)
    print(f"{args.out}: {len(kept)} utterances")


if __name__ == "__main__":
    main()
