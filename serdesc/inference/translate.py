"""Machine translation of reference captions into English with a chat LLM.

OUT has lines `<utt_id> <translation>` (score --refs OUT); OUT.made.json the model, the hash of its
weights, the prompt and the hash of OUT, which scores state in their signature.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from serdesc import runtime
from serdesc.config import Config
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.features.batches import split_batches
from serdesc.features.encoder import weights_digest
from serdesc.features.pretrained import load_pretrained
from serdesc.files import (
    exclusive_lock,
    file_digest,
    partial_of,
    read_lines,
    write_json,
    write_text,
)
from serdesc.inference.decode import append_rows, has_resumable_output, read_partial
from serdesc.models.llm import quantization_options
from serdesc.models.prompt import build_prompt
from serdesc.progress import progress
from serdesc.runtime import DTYPES


class Translator:
    """The configured LLM without LoRA; greedy decoding."""

    def __init__(self, config: Config, device: torch.device) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        llm, self.config, self.device = config.llm, config.translation, device
        options = quantization_options(llm, device)
        self.tokenizer = load_pretrained(AutoTokenizer, llm.model)
        self.llm = load_pretrained(
            AutoModelForCausalLM, llm.model, dtype=DTYPES[llm.dtype], **options
        )
        if not options:
            self.llm.to(device)
        self.llm.eval()
        self.prompt = build_prompt(self.tokenizer, self.config.system, self.config.instruction)

    def identity(self) -> dict[str, Any]:
        """What the translations depend on."""
        texts = asdict(self.config)
        del texts["batch_size"]
        name = str(self.llm.config._name_or_path)
        return {"llm": Path(name).name, "weights": weights_digest(self.llm), "translation": texts}

    @torch.inference_mode()
    def __call__(self, captions: Sequence[str]) -> list[str]:
        from transformers import GenerationConfig

        rows = [torch.tensor(self._ids(caption)) for caption in captions]
        ids = pad_sequence(rows, batch_first=True, padding_side="left").to(self.device)
        ones = [torch.ones_like(row) for row in rows]
        mask = pad_sequence(ones, batch_first=True, padding_side="left").to(self.device)
        greedy = GenerationConfig(
            do_sample=False,
            repetition_penalty=1.0,  # some models' own configurations have another
            max_new_tokens=self.config.max_new_tokens,
            eos_token_id=self.prompt.end,
            pad_token_id=self.prompt.end,
        )
        answers = self.llm.generate(ids, attention_mask=mask, generation_config=greedy)
        return [self._text(row) for row in answers[:, ids.shape[1] :].tolist()]

    def _ids(self, caption: str) -> list[int]:
        text = list(self.tokenizer.encode(caption, add_special_tokens=False))
        return [*self.prompt.before, *text, *self.prompt.after]

    def _text(self, ids: list[int]) -> str:
        """The answer as one line, without quotation marks around it."""
        if self.prompt.end in ids:
            ids = ids[: ids.index(self.prompt.end)]
        text = " ".join(str(self.tokenizer.decode(ids, skip_special_tokens=True)).split())
        quoted = len(text) > 1 and text[0] in '"“' and text[-1] in '"”'
        return text[1:-1].strip() if quoted else text


def translate(data: Path, out: Path, config: Config) -> tuple[int, list[str]]:
    """Translate the captions of a data directory, or resume; writes `out`.

    Returns the number of captions and the ids of those whose translation is empty or not English.
    Raises UserError if there are no captions, or if `out` was made with another model or prompt.
    """
    utterances = [utt for utt in datadir.read(data) if utt.caption]
    if not utterances:
        raise UserError(f"{data}: no captions (utt2cap) to translate. Run `serdesc annotate` first")
    translator = Translator(config, runtime.start(config))
    with exclusive_lock(out):
        inputs = {**translator.identity(), "captions": datadir.identity(utterances)}
        if has_resumable_output(out, inputs) and out.exists():
            translations = _read(out)
        else:
            translations = _translate(translator, utterances, out)
            _write(out, translations, inputs)
    unusable = [utt_id for utt_id, text in translations.items() if not is_english(text)]
    return len(translations), unusable


def is_english(text: str) -> bool:
    """Whether a text has letters, at most a fifth of them outside ASCII."""
    letters = [character for character in text if character.isalpha()]
    foreign = sum(not character.isascii() for character in letters)
    return bool(letters) and foreign <= 0.2 * len(letters)


def _translate(
    translator: Translator, utterances: Sequence[Utterance], out: Path
) -> dict[str, str]:
    partial = partial_of(out)
    done = {utt_id: row["text"] for utt_id, row in read_partial(partial).items()}
    remaining = [utt for utt in utterances if utt.utt_id not in done]
    with progress("translate", len(remaining), "captions") as advance:
        with partial.open("a", encoding="utf-8") as file:
            for batch in split_batches(remaining, translator.config.batch_size):
                texts = translator([str(utt.caption) for utt in batch])
                rows = []
                for utt, text in zip(batch, texts):
                    rows.append({"utt_id": utt.utt_id, "text": text})
                    done[utt.utt_id] = text
                append_rows(file, partial, rows)
                advance(len(batch))
    return {utt.utt_id: done[utt.utt_id] for utt in utterances}


def _write(out: Path, translations: dict[str, str], inputs: dict[str, Any]) -> None:
    write_text(out, "".join(f"{utt_id} {text}\n" for utt_id, text in translations.items()))
    write_json(out.with_suffix(".made.json"), {**inputs, "sha256": file_digest(out)})
    partial_of(out).unlink(missing_ok=True)


def _read(out: Path) -> dict[str, str]:
    translations = {}
    for line in read_lines(out):
        utt_id, _, text = line.partition(" ")
        translations[utt_id] = text
    return translations
