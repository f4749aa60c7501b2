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
from dataclasses import replace
from pathlib import Path

import torch

from serdesc import config as configs
from serdesc import runtime
from serdesc.captions.fields import VALUES, Fields
from serdesc.data import datadir
from serdesc.features import batches
from serdesc.features.store import open_features
from serdesc.models import checkpoint
from serdesc.models.describer import Describer
from serdesc.models.words import closeness, embeddings_of, mean_of_slot, slot_of
from serdesc.training.pretrain import Words


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
    model.eval()
    words = Words(model, [])
    slots, written = config.adapter.slots, []
    chosen: Counter[str] = Counter()
    longest = config.training.max_seconds
    utterances = [utt for utt in datadir.read(args.data) if (utt.seconds or 0.0) <= longest]
    for group in batches.decoding_batches(utterances, 16):
        x, frames = batches.pad(features.load(group))
        counts = torch.tensor(model.token_counts(frames), device=device)
        with torch.inference_mode():
            speech = model.encode_speech(x.to(device), frames, "joint", {})
        assert speech.s_des is not None
        values = {}
        for name in list(VALUES)[:slots]:
            table = embeddings_of(model.llm, model.tokenizer, VALUES[name])
            mean = mean_of_slot(speech.s_des, counts, slot_of(name, slots), slots)
            values[name] = [VALUES[name][i] for i in closeness(mean, table).argmax(-1).tolist()]
        for i, utt in enumerate(group):
            text = words.read(speech.s_con[i, : counts[i]])
            chosen_of = {name: each[i] for name, each in values.items()}
            said, emotion = (
                Fields.from_dict({"transcript": text, **chosen_of}),
                values["emotion"][i],
            )
            if text and '"' not in text and counts[i] >= slots and chosen[emotion] < args.each:
                chosen[emotion] += 1
                written.append(replace(utt, text=text, emotion=emotion, labels=said, caption=None))
    datadir.write(args.out, written)
    print(f"{args.out}: {len(written)} utterances; {dict(chosen)}")


if __name__ == "__main__":
    main()
