"""What the speech tokens of an experiment say by themselves, without its LLM.

    cd egs/builtin
    ../../tools/bench/words.py exp/branches data/heldout_labelled live

After pretraining (training.pretrain) speech tokens lie near embeddings of words. Content: WER of
the nearest tokens, repetitions merged and blanks left out (CTC's best path). Descriptors, with
adapter.slots: unweighted accuracy of the nearest value of each field, over the utterances that have
a label, in percent.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Sequence

import jiwer
import torch
from sklearn.metrics import recall_score
from tabulate import tabulate

from serdesc import config as configs
from serdesc import runtime
from serdesc.captions.fields import VALUES, Fields
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.features import batches
from serdesc.features.store import open_features
from serdesc.models import checkpoint
from serdesc.models.describer import Describer
from serdesc.models.words import closeness, embeddings_of, slot_of, transcript_of


def accuracies(
    model: Describer, utterances: Sequence[Utterance], said: dict[str, torch.Tensor]
) -> list[tuple[str, int, float, float]]:
    """Of each field with labels; said: the descriptor tokens (U, H) of each utterance."""
    rows, slots = [], model.config.adapter.slots
    for name in VALUES:
        labelled = []
        for utt in utterances:
            labels = utt.labels or Fields(emotion=utt.emotion, gender=utt.gender)
            own = said[utt.utt_id][slot_of(name, slots) :: slots] if said else ()
            if len(own) and (label := getattr(labels, name)):
                labelled.append((label, own.mean(0)))
        values = sorted({label for label, _ in labelled})
        if len(values) > 1:
            embeddings = embeddings_of(model.llm, model.tokenizer, values)
            true = [label for label, _ in labelled]
            said_of = closeness(torch.stack([token for _, token in labelled]), embeddings)
            answers = [values[i] for i in said_of.argmax(-1).tolist()]
            ua = 100 * float(recall_score(true, answers, average="macro", zero_division=0))
            rows.append((name, len(true), round(ua, 1), round(100 / len(values), 1)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("store")
    args = parser.parse_args()
    config = configs.load(args.experiment / "config.yaml")
    device = runtime.start(config)
    features = open_features(args.store, config, device)
    model, _ = checkpoint.load_model(args.experiment, features, device)
    assert isinstance(model, Describer)
    model.eval()
    utterances, said = datadir.read(args.data), {}
    texts: list[tuple[str, str]] = []
    for group in batches.decoding_batches(utterances, 16):
        x, frames = batches.pad(features.load(group))
        with torch.inference_mode():
            speech = model.encode_speech(x.to(device), frames, "joint", {})
        for i, count in enumerate(model.token_counts(frames)):
            utt, s = group[i], speech.s_con[i, :count]
            text = transcript_of(model.llm, model.tokenizer, s, model.vocabulary)
            texts.append(((utt.text or "").lower(), text.lower()))
            if speech.s_des is not None and config.adapter.slots:
                said[utt.utt_id] = speech.s_des[i, :count]
    print(f"WER {100 * jiwer.wer(*map(list, zip(*texts))):.1f} %, {len(texts)} utterances")
    print(
        tabulate(accuracies(model, utterances, said), ("field", "utterances", "UA %", "chance %"))
    )


if __name__ == "__main__":
    main()
