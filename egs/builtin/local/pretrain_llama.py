"""llama-mini: a small Llama with its own tokenizer that copies transcripts and writes captions from what it is told.

It reads text alone. In place of speech tokens its prompt holds embeddings of the words to write (repeated, spaced out and
blurred, as speech would be) and of the descriptors: an instruction-tuned LLM in miniature. Sentences: transcripts of the
training speakers, cut to phrases, and the same words in random order; nothing of mini, whose sentences are struck out.

    python local/pretrain_llama.py data/train exp/llama-start --steps 3500 --random 0.34
    python local/pretrain_llama.py data/train exp/llama-mini --steps 4000 --random 0.67 --init exp/llama-start
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from serdesc import config as configs
from serdesc.captions import writer
from serdesc.captions.fields import AGES, EMOTIONS, ENERGY, GENDERS, PITCH, SPEED, Fields
from serdesc.data import datadir
from serdesc.data.corpora import mini
from serdesc.models import prompt as prompts

SEED = 3
VOCABULARY, BATCH, PEAK_RATE = 900, 16, 2e-3
VOWELS, CONSONANTS = "aeiouy", "bcdfghjklmnpqrstvwxz"
PHRASE_TABLES = {
    "pitch": writer.PITCH_PHRASES,
    "energy": writer.ENERGY_PHRASES,
    "speed": writer.SPEED_PHRASES,
    "emotion": writer.EMOTION_WORDS,
}


def sentences(folder: Path) -> list[tuple[str, ...]]:
    forbidden = {line.words for line in mini.lines()}
    said = {tuple((utt.text or "").lower().split()) for utt in datadir.read(folder)}
    return sorted(words for words in said if words and words not in forbidden)


def some_words(
    pool: list[tuple[str, ...]], vocabulary: list[str], rng: np.random.Generator, share: float
) -> tuple[str, ...]:
    """Two to ten words: a run of a sentence or, so often as `share`, words at random, which can only be copied."""
    n = int(rng.integers(2, 11))
    if rng.random() < share:
        return tuple(vocabulary[int(i)] for i in rng.integers(len(vocabulary), size=n))
    words = pool[int(rng.integers(len(pool)))]
    start = int(rng.integers(max(1, len(words) - n + 1)))
    return words[start : start + n]


def some_fields(words: tuple[str, ...], rng: np.random.Generator) -> Fields:
    def maybe(values, share=0.85):
        return str(rng.choice(values)) if rng.random() < share else None

    stressed = tuple(w for w in dict.fromkeys(words) if rng.random() < 1.2 / len(words))[:2]
    return Fields(
        transcript=" ".join(words), emotion=maybe(EMOTIONS), pitch=maybe(PITCH), energy=maybe(ENERGY), speed=maybe(SPEED),
        age=maybe(AGES, 0.3), gender=maybe(GENDERS), emphasis=stressed or None,
    )  # fmt: skip


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    turns = prompts.TURNS["<|hears|>"]
    marks = ["<|pad|>", turns.system, turns.user, turns.assistant, turns.end]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=marks,
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=marks[0], bos_token=turns.system, eos_token=turns.end
    )


def shape(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=384, num_hidden_layers=5, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


class Interface:
    """Examples as embeddings: what stands where speech tokens will stand, and the target after it."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator) -> None:
        self.tokenizer, self.rng = tokenizer, rng
        self.prompt = prompts.build_prompt(tokenizer)

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def letters(self, word: str) -> list[list[int]]:
        """The word as a CTC head would spell it in slots of 60 ms: held letters, blanks, two letters in one, some misheard or missed."""
        slots: list[list[int]] = []
        for letter in " " + word:
            chance = self.rng.random(4)
            if chance[0] < 0.05:
                continue
            if chance[0] < 0.12 and letter != " ":
                letter = str(self.rng.choice(list(VOWELS if letter in VOWELS else CONSONANTS)))
            if slots and slots[-1] and chance[1] < 0.2:
                slots[-1] = slots[-1] + self.ids(letter)
                continue
            slots += [self.ids(letter)] * (2 if chance[2] < 0.2 else 1) + [[]] * (
                0 if chance[3] < 0.6 else 1 if chance[3] < 0.9 else 2
            )
        return slots + [[]] * int(self.rng.integers(0, 6) * (self.rng.random() < 0.3))

    def slots(self, fields: Fields, transcribe: bool) -> tuple[list[list[int]], list[list[int]]]:
        """For each speech token the ids whose mean it is; empty means silence."""
        content: list[list[int]] = [[]] * int(self.rng.integers(0, 6))
        stressed: list[list[int]] = [[]] * len(content)
        for word in (fields.transcript or "").split():
            mark = self.ids(" emphasis") if word in (fields.emphasis or ()) else []
            spelled = self.letters(word)
            content = content + spelled
            stressed = stressed + [[*slot, *mark] if mark and slot else [] for slot in spelled]
        if transcribe:
            return content, [[]] * len(content)
        traits = [
            self.ids(f" {table[getattr(fields, name)][0]}")
            for name, table in PHRASE_TABLES.items()
            if getattr(fields, name)
        ]
        if fields.age or fields.gender:
            traits.append(self.ids(" " + writer.SPEAKER_PHRASES[fields.age, fields.gender][0]))
        descriptors = []
        for i in range(len(content)):
            slot = list(stressed[i])
            for trait in traits:
                if self.rng.random() < 0.3 or i == len(content) // 2:
                    slot += trait
            descriptors.append(slot)
        return content, descriptors

    def batch(self, examples: list[Fields], embed: nn.Embedding) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, H) inputs, (B, N) mask, (B, N) labels. Every position is a bag of ids: one for text, any number for speech."""
        rows, labels, speech = [], [], []
        for fields in examples:
            transcribe = bool(self.rng.random() < 0.4)
            content, descriptors = self.slots(fields, transcribe)
            target = (
                self.ids(fields.transcript or "")
                if transcribe
                else self.ids(writer.render(fields, str(self.rng.integers(1 << 40))))
            )
            target.append(self.prompt.end)
            before, between, after = (
                [[i] for i in ids]
                for ids in (self.prompt.before, self.prompt.between, self.prompt.after)
            )
            row = [*before, *content, *between, *descriptors, *after, *([i] for i in target)]
            rows.append(row)
            labels.append(torch.tensor([-100] * (len(row) - len(target)) + target))
            heard = torch.zeros(len(row))
            heard[len(before) : len(before) + len(content)] = 1
            if not transcribe:
                heard[len(before) + len(content) + len(between) :][: len(descriptors)] = 1
            speech.append(heard)
        bags = [bag for row in rows for bag in row]
        sizes = torch.tensor([len(bag) for bag in bags])
        offsets = sizes.cumsum(0) - sizes
        weights = (1 / sizes.clamp(min=1).sqrt()).repeat_interleave(sizes)
        flat = nn.functional.embedding_bag(
            torch.tensor([i for bag in bags for i in bag]),
            embed.weight,
            offsets,
            mode="sum",
            per_sample_weights=weights,
        )
        x = nn.utils.rnn.pad_sequence(
            list(flat.split([len(row) for row in rows])), batch_first=True
        )
        heard = nn.utils.rnn.pad_sequence(speech, batch_first=True)[..., None]
        scale = float(embed.weight.detach().std())
        gain = torch.from_numpy(self.rng.uniform(0.6, 1.4, heard.shape).astype(np.float32))
        noise = torch.from_numpy(self.rng.normal(0, 0.3 * scale, x.shape).astype(np.float32))
        x = torch.where(heard > 0, x * gain + noise, x)
        mask = nn.utils.rnn.pad_sequence(
            [torch.ones(len(row), dtype=torch.long) for row in rows], batch_first=True
        )
        return x, mask, nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)


def loss_of(model: LlamaForCausalLM, x: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    hidden = model.model(inputs_embeds=x, attention_mask=mask).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    return nn.functional.cross_entropy(
        model.lm_head(hidden[wanted != -100]), wanted[wanted != -100]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument(
        "--random",
        type=float,
        required=True,
        help="share of examples whose words are drawn at random",
    )
    parser.add_argument("--init", type=Path, help="an earlier llama-mini to go on from")
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="compute in bfloat16, where the processor has AVX512-BF16",
    )
    args = parser.parse_args()
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED + bool(args.init))
    pool = sentences(args.data)
    vocabulary = sorted({word for words in pool for word in words})
    heldout, train = pool[::20], [s for i, s in enumerate(pool) if i % 20]
    if args.init:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(args.init)
        model = LlamaForCausalLM.from_pretrained(args.init, dtype=torch.float32)
    else:
        captions = [
            writer.render(some_fields(some_words(train, vocabulary, rng, args.random), rng), str(i))
            for i in range(4000)
        ]
        tokenizer = make_tokenizer(
            [" ".join(s) for s in train] * 2
            + captions
            + [configs.SYSTEM, "\n" + configs.INSTRUCTION] * 500
        )
        model = LlamaForCausalLM(shape(tokenizer))
    print(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {len(pool)} sentences, {len(tokenizer)} pieces",
        flush=True,
    )
    interface = Interface(tokenizer, rng)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    start, losses = time.time(), []
    waiting: list[list[Fields]] = []
    for step in range(1, args.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min(
                step / 150, max(0.01, 0.5 + 0.5 * math.cos(math.pi * step / args.steps))
            )
        if not waiting:  # batches of neighbours in length, four at a time: half the padding
            drawn = sorted(
                (
                    some_fields(some_words(train, vocabulary, rng, args.random), rng)
                    for _ in range(4 * BATCH)
                ),
                key=lambda f: len(f.transcript or ""),
            )
            waiting = [drawn[i : i + BATCH] for i in range(0, len(drawn), BATCH)]
            rng.shuffle(waiting)
        examples = waiting.pop()
        x, mask, labels = interface.batch(examples, model.model.embed_tokens)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss = loss_of(model, x, mask, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        if step % 50 == 0:
            print(
                f"{step}/{args.steps} loss {np.mean(losses[-50:]):.3f} {(time.time() - start) / step:.2f} s/step",
                flush=True,
            )
    model.eval()
    with torch.no_grad():
        examples = [some_fields(words[:10], rng) for words in heldout]
        held = float(
            np.mean(
                [
                    float(
                        loss_of(
                            model, *interface.batch(examples[i : i + 32], model.model.embed_tokens)
                        )
                    )
                    for i in range(0, len(examples), 32)
                ]
            )
        )
    model.to(torch.bfloat16).save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    log = json.loads((args.init / "training.json").read_text()) if args.init else []
    log.append(
        {
            "steps": args.steps,
            "random": args.random,
            "seconds": round(time.time() - start),
            "heldout_loss": round(held, 4),
            "heldout_sentences": len(heldout),
        }
    )
    (args.out / "training.json").write_text(json.dumps(log) + "\n")
    print(log[-1])


if __name__ == "__main__":
    main()
