"""Label speech of unknown emotion by a classifier of speech with labels, the same number of each.

Of each emotion, the utterances that a logistic regression of the encoder's layers gives it the
highest probability (pretrain_branches.py). Written with the utterances whose emotion is known,
without copies; with --balance, with the copies of all emotions but the commonest.

    python local/label_emotion.py data/base/fold1/train dump/whisper-base/base \\
      conf/describer_base.yaml data/base_emotion --each 100 --max-seconds 4
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

from pretrain_branches import Teachers, mean_of_layers

from serdesc import config as configs
from serdesc import runtime
from serdesc.data import datadir
from serdesc.features import batches
from serdesc.features.store import open_features


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("data", "store", "config", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--balance", action="store_true")
    parser.add_argument("--max-seconds", type=float, default=4.0)
    args = parser.parse_args()
    config = configs.load(args.config, [])
    features = open_features(str(args.store), config, runtime.start(config))
    utterances = datadir.read(args.data)
    means = {}
    for group in batches.decoding_batches(utterances, 32):
        for utt, x in zip(group, features.load(group)):
            means[utt.utt_id] = mean_of_layers(x)
    classes = sorted({utt.emotion for utt in utterances if utt.emotion})
    teachers = Teachers({"emotion": classes})
    teachers.fit(utterances, means)
    answers = teachers.answers["emotion"]
    unknown = [u for u in utterances if not u.emotion and (u.seconds or 0.0) <= args.max_seconds]
    best = Counter(classes[int(answers[utt.utt_id].argmax())] for utt in unknown)
    print(f"the likeliest emotion of {len(unknown)} utterances: {dict(best)}")
    known = [utt for utt in utterances if utt.emotion]
    kept = [utt for utt in known if "-" not in utt.utt_id]
    if args.balance:
        commonest = Counter(utt.emotion for utt in kept).most_common(1)[0][0]
        kept = [utt for utt in known if "-" not in utt.utt_id or utt.emotion != commonest]
    for i, name in enumerate(classes):
        unknown.sort(key=lambda utt: (-float(answers[utt.utt_id][i]), utt.utt_id))
        kept += [replace(utt, emotion=name) for utt in unknown[: args.each]]
        del unknown[: args.each]
    datadir.write(args.out, [replace(utt, labels=None, caption=None) for utt in kept])
    shutil.copy(args.data.parents[1] / "measure.json", args.out)
    print(f"{args.out}: {len(kept)} utterances")


if __name__ == "__main__":
    main()
