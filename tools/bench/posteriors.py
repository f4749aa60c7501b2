"""How fast posteriors over the emotions are, and whether they are those of whole captions.

    python tools/bench/posteriors.py describer-base recordings/

The naive reference passes prompt, speech tokens and caption through the LLM once for each emotion,
as rows of one batch; serdesc passes what they have in common once. Same captions, same run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from serdesc.captions import reader, writer
from serdesc.captions.fields import EMOTIONS
from serdesc.data import audio, recording
from serdesc.features import batches
from serdesc.features.live import encode
from serdesc.inference.decode import softmax
from serdesc.inference.describe import Captioner
from serdesc.models.speech import SpeechTokens


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--emotions", type=int, default=4)
    options = parser.parse_args()
    captioner = Captioner(options.model)
    model, emotions = captioner.model, EMOTIONS[: options.emotions]
    seconds, largest, tokens = [0.0, 0.0, 0.0], 0.0, 0
    found = recording.find(options.recordings)
    paths = found[:: max(1, len(found) // options.count)][: options.count]
    for path in paths:
        wave = audio.load(path, captioner.config.encoder.max_seconds)
        x, frames = batches.pad(encode(captioner.encoder, [wave]))
        start = time.perf_counter()
        caption = model.generate(x, frames, captioner.config.decoding.max_new_tokens)[0]
        seconds[2] += time.perf_counter() - start
        if reader.read(caption).emotion is None:
            caption = caption.rstrip(".") + ", sounding happy."
        variants = [writer.with_emotion(caption, emotion) or "" for emotion in emotions]
        start = time.perf_counter()
        fast = softmax(emotions, model.log_likelihoods(x, frames, [variants])[0])
        seconds[1] += time.perf_counter() - start
        start = time.perf_counter()
        with torch.inference_mode():
            speech = model.encode_speech(x, frames, "descriptor", {})
            rows = []
            for s in (speech.s_con, speech.s_des):
                rows.append(None if s is None else s.expand(len(emotions), -1, -1))
            repeated = SpeechTokens(rows[0], rows[1], speech.kl)  # type: ignore[arg-type]
            counts = model.token_counts(frames) * len(emotions)
            whole = model.build_rows(model.prompt, repeated, counts, variants)
            lengths = [len(model.answer_ids(variant)) for variant in variants]
            losses = [one.sum() for one in model.token_losses(whole).split(lengths)]
            naive = softmax(emotions, (-torch.stack(losses)).tolist())
        seconds[0] += time.perf_counter() - start
        largest = max(largest, *(abs(naive[name] - fast[name]) for name in emotions))
        tokens += lengths[0]
    naive_s, fast_s, written_s = (value / len(paths) for value in seconds)
    print(f"{options.model}: {len(paths)} captions of {tokens / len(paths):.0f} tokens on average")
    print(f"{len(emotions)} emotions: {naive_s:.3f} s a caption naive, {fast_s:.3f} s here,")
    print(f"ratio {naive_s / fast_s:.1f}; writing the caption {written_s:.3f} s")
    print(f"largest difference of a probability: {largest:.1e}")


if __name__ == "__main__":
    main()
