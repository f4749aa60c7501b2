"""Pretrain llama-mini: a small Llama, with its tokenizer, that writes transcripts and captions.

It is trained on text only. In place of speech tokens its prompt has noisy embeddings of the words
to write (repeated and separated, like frames of speech) and of the descriptors. Sentences are parts
of transcripts of the training speakers, and the same words in random order; mini's sentences are
excluded.

    python local/pretrain_llama.py data/train exp/llama-start --steps 3500 --random 0.34
    python local/pretrain_llama.py data/train exp/llama-mini --steps 4000 --random 0.67 \
      --init exp/llama-start
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Sequence

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
VOCABULARY, BATCH, PEAK_LR = 900, 16, 2e-3
WARMUP_STEPS = 150
VOWELS, CONSONANTS = "aeiouy", "bcdfghjklmnpqrstvwxz"
PHRASE_TABLES = {
    "pitch": writer.PITCH_PHRASES,
    "energy": writer.ENERGY_PHRASES,
    "speed": writer.SPEED_PHRASES,
    "emotion": writer.EMOTION_WORDS,
}


def sentences(folder: Path) -> list[tuple[str, ...]]:
    """The sentences of a data directory without mini's, sorted."""
    forbidden = {line.words for line in mini.lines()}
    texts = {tuple((utt.text or "").lower().split()) for utt in datadir.read(folder)}
    return sorted(words for words in texts if words and words not in forbidden)


def draw_words(
    pool: list[tuple[str, ...]], vocabulary: list[str], rng: np.random.Generator, share: float
) -> tuple[str, ...]:
    """Two to ten words: a part of a sentence or, with probability `share`, random words."""
    n = int(rng.integers(2, 11))
    if rng.random() < share:
        return tuple(vocabulary[int(i)] for i in rng.integers(len(vocabulary), size=n))
    words = pool[int(rng.integers(len(pool)))]
    start = int(rng.integers(max(1, len(words) - n + 1)))
    return words[start : start + n]


def draw_fields(words: tuple[str, ...], rng: np.random.Generator) -> Fields:
    """Random fields; each may be absent."""

    def draw(values: tuple[str, ...], share: float = 0.85) -> str | None:
        return str(rng.choice(values)) if rng.random() < share else None

    stressed = tuple(w for w in dict.fromkeys(words) if rng.random() < 1.2 / len(words))[:2]
    return Fields(
        transcript=" ".join(words),
        emotion=draw(EMOTIONS),
        pitch=draw(PITCH),
        energy=draw(ENERGY),
        speed=draw(SPEED),
        age=draw(AGES, 0.3),
        gender=draw(GENDERS),
        emphasis=stressed or None,
    )


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    turns = prompts.TURNS["<|hears|>"]
    special = ["<|pad|>", turns.system, turns.user, turns.assistant, turns.end]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=special[0], bos_token=turns.system, eos_token=turns.end
    )


def llama_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def as_bags(ids: Sequence[int]) -> list[list[int]]:
    """One bag a token."""
    return [[i] for i in ids]


class Interface:
    """Training examples as embeddings: simulated speech tokens in the prompt, and the target.

    A bag is a list of token ids; its embedding is their sum over the square root of their number.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator) -> None:
        self.tokenizer, self.rng = tokenizer, rng
        self.prompt = prompts.build_prompt(tokenizer)

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def letters(self, word: str) -> list[list[int]]:
        """Bags of 60 ms for a word, like the output of a CTC head.

        Letters are repeated, merged, replaced or missing, with blanks between them.
        """
        bags: list[list[int]] = []
        for letter in " " + word:
            chance = self.rng.random(4)
            if chance[0] < 0.05:
                continue
            if chance[0] < 0.12 and letter != " ":
                letter = str(self.rng.choice(list(VOWELS if letter in VOWELS else CONSONANTS)))
            if bags and bags[-1] and chance[1] < 0.2:
                bags[-1] = bags[-1] + self.ids(letter)
                continue
            bags += [self.ids(letter)] * (2 if chance[2] < 0.2 else 1)
            if chance[3] >= 0.6:
                bags += [[]] * (1 if chance[3] < 0.9 else 2)
        return bags + [[]] * int(self.rng.integers(0, 6) * (self.rng.random() < 0.3))

    def bags(self, fields: Fields, transcribe: bool) -> tuple[list[list[int]], list[list[int]]]:
        """Bags of the content and of the descriptor speech tokens; an empty one is silence."""
        content: list[list[int]] = [[]] * int(self.rng.integers(0, 6))
        stressed: list[list[int]] = [[]] * len(content)
        for word in (fields.transcript or "").split():
            is_stressed = word in (fields.emphasis or ())
            letters = self.letters(word)
            content = content + letters
            for bag in letters:
                stressed.append([*bag, *self.ids(" emphasis")] if is_stressed and bag else [])
        if transcribe:
            return content, [[]] * len(content)
        phrases = []
        for name, table in PHRASE_TABLES.items():
            if value := getattr(fields, name):
                phrases.append(self.ids(f" {table[value][0]}"))
        if fields.age or fields.gender:
            phrases.append(self.ids(" " + writer.SPEAKER_PHRASES[fields.age, fields.gender][0]))
        descriptors = []
        for i in range(len(content)):
            bag = list(stressed[i])
            for phrase in phrases:
                if self.rng.random() < 0.3 or i == len(content) // 2:
                    bag += phrase
            descriptors.append(bag)
        return content, descriptors

    def example(self, fields: Fields) -> tuple[list[list[int]], list[int], Tensor]:
        """Bags of a whole sequence, its target, and which positions are speech tokens (N,)."""
        transcribe = bool(self.rng.random() < 0.4)
        content, descriptors = self.bags(fields, transcribe)
        text = fields.transcript or ""
        if not transcribe:
            text = writer.render(fields, str(self.rng.integers(1 << 40)))
        target = [*self.ids(text), self.prompt.end]
        before, between = as_bags(self.prompt.before), as_bags(self.prompt.between)
        after = as_bags([*self.prompt.after, *target])
        row = [*before, *content, *between, *descriptors, *after]
        is_speech = torch.zeros(len(row))
        is_speech[len(before) : len(before) + len(content)] = 1
        if not transcribe:
            start = len(before) + len(content) + len(between)
            is_speech[start : start + len(descriptors)] = 1
        return row, target, is_speech

    def batch(self, examples: list[Fields], embed: nn.Embedding) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, H) inputs, (B, N) attention mask and (B, N) labels."""
        rows, labels, speech = [], [], []
        for fields in examples:
            row, target, is_speech = self.example(fields)
            rows.append(row)
            labels.append(torch.tensor([-100] * (len(row) - len(target)) + target))
            speech.append(is_speech)
        pad_sequence = nn.utils.rnn.pad_sequence
        x = pad_sequence(self._embed(rows, embed), batch_first=True)
        is_speech = pad_sequence(speech, batch_first=True)[..., None]
        scale = float(embed.weight.detach().std())
        gain = torch.from_numpy(self.rng.uniform(0.6, 1.4, is_speech.shape).astype(np.float32))
        noise = torch.from_numpy(self.rng.normal(0, 0.3 * scale, x.shape).astype(np.float32))
        x = torch.where(is_speech > 0, x * gain + noise, x)
        ones = [torch.ones(len(row), dtype=torch.long) for row in rows]
        mask = pad_sequence(ones, batch_first=True)
        return x, mask, pad_sequence(labels, batch_first=True, padding_value=-100)

    def _embed(self, rows: list[list[list[int]]], embed: nn.Embedding) -> list[Tensor]:
        """(N, H) embeddings of each row's bags."""
        bags = [bag for row in rows for bag in row]
        sizes = torch.tensor([len(bag) for bag in bags])
        ids = torch.tensor([i for bag in bags for i in bag])
        flat = nn.functional.embedding_bag(
            ids,
            embed.weight,
            sizes.cumsum(0) - sizes,
            mode="sum",
            per_sample_weights=(1 / sizes.clamp(min=1).sqrt()).repeat_interleave(sizes),
        )
        return list(flat.split([len(row) for row in rows]))


def loss_of(model: LlamaForCausalLM, x: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the target tokens."""
    hidden = model.model(inputs_embeds=x, attention_mask=mask).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    is_target = targets != -100
    return nn.functional.cross_entropy(model.lm_head(hidden[is_target]), targets[is_target])


class Sampler:
    """Random examples in batches of similar length."""

    def __init__(
        self,
        sentences: list[tuple[str, ...]],
        vocabulary: list[str],
        share: float,
        rng: np.random.Generator,
    ) -> None:
        """share: of examples with random words."""
        self.sentences, self.vocabulary, self.share, self.rng = sentences, vocabulary, share, rng
        self.batches: list[list[Fields]] = []

    def example(self) -> Fields:
        words = draw_words(self.sentences, self.vocabulary, self.rng, self.share)
        return draw_fields(words, self.rng)

    def batch(self) -> list[Fields]:
        """The next batch; four are drawn at a time and sorted by length: half the padding."""
        if not self.batches:
            drawn = [self.example() for _ in range(4 * BATCH)]
            drawn.sort(key=lambda fields: len(fields.transcript or ""))
            self.batches = [drawn[i : i + BATCH] for i in range(0, len(drawn), BATCH)]
            self.rng.shuffle(self.batches)
        return self.batches.pop()


def start_model(
    train: list[tuple[str, ...]], sampler: Sampler
) -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
    """A new tokenizer, and a model with random weights."""
    captions = [writer.render(sampler.example(), str(i)) for i in range(4000)]
    texts = [" ".join(words) for words in train] * 2
    prompts_text = [configs.SYSTEM, "\n" + configs.INSTRUCTION] * 500
    tokenizer = make_tokenizer(texts + captions + prompts_text)
    return tokenizer, LlamaForCausalLM(llama_config(tokenizer))


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, and cosine decay to 1 % of PEAK_LR."""
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return PEAK_LR * min(step / WARMUP_STEPS, max(0.01, cosine))


def train_model(
    model: LlamaForCausalLM, interface: Interface, sampler: Sampler, steps: int, bf16: bool
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    start, losses = time.time(), []
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        x, mask, labels = interface.batch(sampler.batch(), model.model.embed_tokens)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = loss_of(model, x, mask, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        if step % 50 == 0:
            speed = (time.time() - start) / step
            print(f"{step}/{steps} loss {np.mean(losses[-50:]):.3f} {speed:.2f} s/step", flush=True)


@torch.no_grad()
def heldout_loss(
    model: LlamaForCausalLM,
    interface: Interface,
    sentences: list[tuple[str, ...]],
    rng: np.random.Generator,
) -> float:
    model.eval()
    examples = [draw_fields(words[:10], rng) for words in sentences]
    losses = []
    for start in range(0, len(examples), 32):
        batch = interface.batch(examples[start : start + 32], model.model.embed_tokens)
        losses.append(float(loss_of(model, *batch)))
    return float(np.mean(losses))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument(
        "--random", type=float, required=True, help="share of examples with random words"
    )
    parser.add_argument("--init", type=Path, help="llama-mini to continue training from")
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="compute in bfloat16, on a processor with AVX512-BF16",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED + bool(args.init))
    pool = sentences(args.data)
    heldout, train = pool[::20], [words for i, words in enumerate(pool) if i % 20]
    vocabulary = sorted({word for words in pool for word in words})
    sampler = Sampler(train, vocabulary, args.random, rng)
    log = []
    if args.init:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(args.init)
        model = LlamaForCausalLM.from_pretrained(args.init, dtype=torch.float32)
        log = json.loads((args.init / "training.json").read_text())
    else:
        tokenizer, model = start_model(train, sampler)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{parameters:.2f} M parameters, {len(pool)} sentences, {len(tokenizer)} tokens", flush=True
    )
    interface = Interface(tokenizer, rng)
    start = time.time()
    train_model(model, interface, sampler, args.steps, args.bf16)
    loss = heldout_loss(model, interface, heldout, rng)
    record = {
        "steps": args.steps,
        "random": args.random,
        "seconds": round(time.time() - start),
        "heldout_loss": round(loss, 4),
        "heldout_sentences": len(heldout),
    }
    model.to(torch.bfloat16).save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    log.append(record)
    (args.out / "training.json").write_text(json.dumps(log) + "\n")
    print(log[-1])


if __name__ == "__main__":
    main()
