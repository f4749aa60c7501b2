"""Machine translation of references: the built-in LLM stands in for a chat LLM."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from serdesc import config as configs
from serdesc.captions.fields import Fields
from serdesc.data import datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import file_digest, partial_of, read_json
from serdesc.inference import translate as translation
from serdesc.inference.translate import Translator, is_english, translate
from serdesc.scoring import evaluate

CPU = torch.device("cpu")
CAPTIONS = {
    "a1": "语气轻快，充满喜悦。",
    "a2": "他非常愤怒，大声喊叫。",
    "a3": "She sounds sad.",
    "a4": "声音低沉，流露出悲伤。",
    "a5": "平静地讲述。",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "fold1" / "test"
    utterances = [
        Utterance(utt_id, f"/{utt_id}.wav", "s", caption=text, labels=Fields())
        for utt_id, text in CAPTIONS.items()
    ]
    datadir.write(folder, utterances)
    return folder


def config(*more: str) -> configs.Config:
    settings = ["llm.model=llama-mini", "llm.dtype=float32", "device=cpu", "threads=1"]
    return configs.load(settings=[*settings, "translation.max_new_tokens=12", *more])


def test_an_interrupted_translation_is_resumed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = data / "../whole.txt", data / "../out.txt"
    count, _ = translate(data, whole, config("translation.batch_size=2"))
    assert count == 5 and len(whole.read_text().splitlines()) == 5
    calls: list[int] = []
    call = Translator.__call__

    def interrupted(self: Translator, captions: list[str]) -> list[str]:
        calls.append(len(captions))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return call(self, captions)

    monkeypatch.setattr(Translator, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        translate(data, out, config("translation.batch_size=2"))
    assert partial_of(out).exists() and not out.exists()
    translate(data, out, config("translation.batch_size=2"))
    assert calls == [2, 2, 2, 1], "the first batch is not translated again"
    assert out.read_text() == whole.read_text() and not partial_of(out).exists()
    translate(data, out, config("translation.batch_size=3"))
    assert len(calls) == 4, "finished, and the batch size changes nothing"
    with pytest.raises(UserError, match="another translation"):
        translate(data, out, config("translation.instruction=Say it in English."))


def test_batches_change_no_translation(data: Path) -> None:
    translator = Translator(config(), CPU)
    texts = list(CAPTIONS.values())
    assert translator(texts) == [translator([text])[0] for text in texts]
    ids = translator._ids("abc")
    prompt = translator.prompt
    assert ids[: len(prompt.before)] == prompt.before and ids[-len(prompt.after) :] == prompt.after


def test_the_signature_names_the_llm_its_weights_and_the_prompt(data: Path) -> None:
    out = data / "../english.txt"
    translate(data, out, config())
    record = read_json(out.with_suffix(".made.json"))
    assert record["sha256"] == file_digest(out) and record["llm"] == "llama-mini"
    assert record["translation"]["instruction"].startswith("Translate this description")
    out.write_text("".join(f"{utt_id} A happy voice.\n" for utt_id in CAPTIONS))
    record["sha256"] = file_digest(out)
    request = evaluate.Request.of(data, data / "hyp.tsv", configs.Config(), "bleu4", out)
    signed = request.signature_fields()["translated"]
    assert signed.startswith(f"llama-mini {record['weights'][:8]} prompt ")
    assert signed.endswith(" edited"), "the lines are not those that the LLM wrote"
    other = data / "../other.txt"
    other.write_text(out.read_text())
    request = evaluate.Request.of(data, data / "hyp.tsv", configs.Config(), "bleu4", other)
    assert "translated" not in request.signature_fields()


def test_answers_are_one_line_without_quotation_marks() -> None:
    translator = Translator(config(), CPU)
    end = translator.prompt.end

    def read(text: str) -> str:
        return translator._text([*translator.tokenizer.encode(text), end, 5, 5])

    assert read('"a calm voice"') == "a calm voice"
    assert read("a calm\n voice") == "a calm voice"


def test_what_is_english() -> None:
    assert is_english("A café, calm.") and not is_english("语气轻快") and not is_english(" ... ")
    assert not is_english("")


def test_a_directory_without_captions_is_refused(tmp_path: Path) -> None:
    datadir.write(tmp_path, [Utterance("a", "/a.wav", "s")])
    with pytest.raises(UserError, match="no captions"):
        translation.translate(tmp_path, tmp_path / "out.txt", config())
