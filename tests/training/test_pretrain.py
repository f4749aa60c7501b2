"""Pretraining of the branches without the LLM (training.pretrain)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training import Lab
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from serdesc import models
from serdesc.data import rejections
from serdesc.errors import Checkpointed, UserError
from serdesc.features import batches
from serdesc.features.encoder import Encoder
from serdesc.features.live import Live
from serdesc.files import read_jsonl
from serdesc.models import checkpoint
from serdesc.models import llm as llms
from serdesc.models.words import embeddings_of, vocabulary_of
from serdesc.training import trainer
from serdesc.training.examples import Example, examples
from serdesc.training.pretrain import Pretraining
from serdesc.training.stopping import StopRequest
from serdesc.training.teacher import mean_of_layers
from serdesc.training.unusable import Unusable

CPU = torch.device("cpu")
ONLY = ("training.content.epochs=0", "training.descriptor.epochs=0", "training.pretrain.epochs=2")
THEN = ("training.content.epochs=1", "training.descriptor.epochs=1", "training.pretrain.epochs=2")
LEARN = "training.pretrain.lr=1e-2"


def weights(exp: Path) -> dict[str, torch.Tensor]:
    folder = exp / "checkpoint"
    lora = load_file(folder / "lora" / "adapter_model.safetensors")
    return load_file(folder / "model.safetensors") | lora


def prepared(lab: Lab, *settings: str, data: list[Example] | None = None) -> Pretraining:
    config = lab.configured(*ONLY, *settings)
    torch.manual_seed(0)
    model = models.initialise(config, lab.features, CPU)
    data = data or examples(lab.train_part, config)[0]
    return Pretraining(model, lab.features, data, config, Unusable(lab.folder, len(data)))


def test_content_loss_against_its_definition(lab: Lab) -> None:
    """CTC by summing over all paths, and the distance to what a token is taken for."""
    work = prepared(lab)
    words, model = work.words, work.model
    assert words is not None
    v = 3
    words.embeddings = words.embeddings[:v]
    example = next(iter(work.data.values()))
    words.texts = {example.utterance.utt_id: [1, 2]}
    s = torch.randn(1, 4, model.llm_width, generator=torch.Generator().manual_seed(3))
    s *= (words.unit / s.shape[-1]).sqrt()  # as long as an embedding
    e = words.embeddings
    distances = (s[0, :3, None] - e).square().sum(-1) / words.unit  # the last token is padding
    p = (-30 * distances).softmax(-1)
    total = 0.0
    for path in np.ndindex(v, v, v):
        merged = [c for i, c in enumerate(path) if c and (i == 0 or c != path[i - 1])]
        if merged == [1, 2]:
            total += float(torch.stack([p[u, c] for u, c in enumerate(path)]).prod())
    drawn = ((s[0, :3] - p @ e).square().sum(-1) / words.unit).log1p().mean()
    expected = -np.log(total) / 2 + float(drawn)
    assert float(words.loss(s, torch.tensor([3]), [example])) == pytest.approx(expected, rel=1e-4)


def test_words_are_the_llms_tokens_without_the_blank(lab: Lab) -> None:
    work = prepared(lab)
    words, tokenizer = work.words, work.model.tokenizer
    assert words is not None
    rows = llms.embeddings(work.model.llm).weight.detach()
    for utt_id, text in words.texts.items():
        ids = tokenizer.encode(f" {work.data[utt_id].transcript}", add_special_tokens=False)
        blank = tokenizer.encode(" ", add_special_tokens=False)[0]
        found = words.embeddings[text]
        assert torch.equal(found, rows[[token for token in ids if token != blank]])


def test_losses_fall_and_the_llm_does_not_move(lab: Lab) -> None:
    start = weights(lab.train("start", *ONLY[:2]))
    exp = lab.train("pretrained", *ONLY, "training.pretrain.epochs=60", LEARN)
    rows = read_jsonl(exp / "pretrain.jsonl")
    assert rows[-1]["content"] < 0.1 * rows[0]["content"]
    assert rows[-1]["pitch"] < rows[0]["pitch"] and rows[-1]["speed"] < rows[0]["speed"]
    end = weights(exp)
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    speech = {name for name in start if name.startswith(("content.", "descriptor."))}
    assert moved == speech
    assert not (exp / "train.jsonl").exists()


def test_a_teacher_answers_where_there_is_no_label_but_not_for_the_sex_of_a_child(lab: Lab) -> None:
    data = examples(lab.train_part, lab.configured())[0]
    labels = data[0].utterance.labels
    assert labels is not None
    unknown = replace(data[0].utterance, labels=replace(labels, emotion=None, gender=None))
    data[0] = replace(data[0], utterance=unknown)
    work = prepared(lab, data=data)
    assert {"emotion", "gender"} <= work.teachers.keys()
    x = lab.features.load([data[0].utterance, data[1].utterance])
    means = torch.stack([mean_of_layers(one) for one in x])
    emotion = work._field_targets("emotion", data[:2], means)
    assert torch.equal(emotion, work.teachers["emotion"](means))
    gender = work._field_targets("gender", data[:2], means)
    assert gender[0].sum() == 0 and gender[1].sum() == pytest.approx(1)
    pitch = work._field_targets("pitch", data[:2], means)
    assert pitch[0, work.classes["pitch"].index(labels.pitch or "")] == pitch[0].sum() == 1


def test_field_losses_against_pytorch_and_by_hand(lab: Lab) -> None:
    heads, slots = prepared(lab), prepared(lab, "adapter.slots=8")
    rng = torch.Generator().manual_seed(3)
    s = torch.randn(3, 9, heads.model.llm_width, generator=rng)
    s *= (heads.unit / s.shape[-1]).sqrt()
    mask = (torch.arange(9) < torch.tensor([[9], [4], [1]])).float()
    targets = torch.tensor([[0.3, 0.7], [0.0, 0.0], [1.0, 0.0]])  # nothing is known of the second
    for work in (heads, slots):
        work.classes["emotion"] = ["angry", "sad"]
    heads.heads["emotion"] = torch.nn.Linear(s.shape[-1], 2)
    known = [0, 2]
    mean = torch.stack([s[0].mean(0), s[2, 0]])
    expected = functional.cross_entropy(
        heads.heads["emotion"](mean), targets[known], reduction="sum"
    )
    torch.testing.assert_close(heads._field_loss("emotion", s, mask, targets), expected)
    words = embeddings_of(slots.model.llm, slots.model.tokenizer, ["angry", "sad"])
    slots.values["emotion"] = words
    total = torch.zeros(())
    for i, tokens in ((0, (0, 8)), (2, (0,))):  # of slot 0, without padding
        for u in tokens:
            logits = -30 * (s[i, u] - words).square().sum(-1) / slots.unit
            drawn = ((s[i, u] - targets[i] @ words).square().sum() / slots.unit).log1p()
            loss = drawn + functional.cross_entropy(logits, targets[i])
            total = total + loss / len(tokens)
    torch.testing.assert_close(slots._field_loss("emotion", s, mask, targets), total)


def test_without_a_teacher_labels_are_the_targets(lab: Lab) -> None:
    work = prepared(lab, "training.pretrain.teacher=0")
    assert not work.teachers
    group = list(work.data.values())
    means = torch.zeros(len(group), 1)
    targets = work._field_targets("emotion", group, means)
    found = [work.classes["emotion"][i] for i in targets.argmax(1).tolist()]
    assert found == [e.utterance.labels and e.utterance.labels.emotion for e in group]


def test_a_start_after_it_does_not_repeat_it_and_ends_as_an_unbroken_training(lab: Lab) -> None:
    whole = lab.train("whole", *THEN)
    stop = StopRequest()
    taken = []

    class AfterTheFirstStep(StopRequest):
        def seconds_left(self) -> float:
            taken.append(1)
            return 0.0 if len(taken) > len(read_jsonl(whole / "pretrain.jsonl")) + 1 else 1e9

    with pytest.raises(Checkpointed, match="with a checkpoint"):
        lab.train("broken", *THEN, stop=AfterTheFirstStep())
    exp = lab.exp("broken")
    before = (exp / "pretrain.jsonl").stat().st_mtime_ns
    lab.train("broken", *THEN, stop=stop)
    assert (exp / "pretrain.jsonl").stat().st_mtime_ns == before
    assert (exp / "train.jsonl").read_bytes() == (whole / "train.jsonl").read_bytes()
    ends = weights(whole), weights(exp)
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_stopped_while_pretraining_it_says_so_and_starts_again(lab: Lab) -> None:
    stop = StopRequest()
    stop.received = "SIGTERM"
    with pytest.raises(Checkpointed, match="by SIGTERM while pretraining .*starts it again"):
        lab.train("stopped", *THEN, stop=stop)
    assert not (lab.exp("stopped") / "checkpoint").exists()
    whole, again = lab.train("whole", *THEN), lab.train("stopped", *THEN)
    assert (again / "train.jsonl").read_bytes() == (whole / "train.jsonl").read_bytes()


def test_two_processes_pretrain_as_one(lab: Lab) -> None:
    one = lab.train("one", *ONLY)
    for process in lab.forked("two", *ONLY, ranks=2):
        process.join()
        assert process.exitcode == 0
    rows = [read_jsonl(exp / "pretrain.jsonl") for exp in (one, lab.exp("two"))]
    for first, second in zip(*rows, strict=True):
        assert first == pytest.approx(second, rel=1e-4)


def test_with_slots_a_token_becomes_the_word_of_its_field(
    lab: Lab, tiny_llm: Path, tmp_path: Path
) -> None:
    llm = AutoModelForCausalLM.from_pretrained(tiny_llm)
    llm.get_input_embeddings().weight.data *= 20  # of the length that trained ones have
    llm.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_llm).save_pretrained(tmp_path)
    slots = ("adapter.slots=8", "adapter.k=1", "training.pretrain.teacher=0")
    slots += (f"llm.model={tmp_path}", "training.beta=0", LEARN)
    exp = lab.train("slots", *ONLY, *slots, "training.pretrain.epochs=120")
    work = prepared(lab, *slots)
    model, _ = checkpoint.load_model(exp, lab.features, CPU)
    example = next(iter(work.data.values()))
    x, frames = batches.pad(lab.features.load([example.utterance]))
    with torch.no_grad():
        s = model.encode_speech(x, frames, "joint", {}).s_des[0]  # (U, H), slot 0 first
    for number, name in enumerate(("emotion", "pitch", "energy", "speed")):
        label = getattr(example.utterance.labels, name)
        word = work.values[name][work.classes[name].index(label)]
        other = work.values["gender"][0]
        near, far = ((s[number] - e).square().sum() / work.unit for e in (word, other))
        assert near < 0.3 and near < far, name


def test_without_transcripts_the_content_branch_does_not_move(lab: Lab) -> None:
    start = weights(lab.train("start", *ONLY[:2]))
    end = weights(lab.train("described", *ONLY, "target.transcript=false"))
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved and all(name.startswith("descriptor.") for name in moved)


def test_a_checkpoint_has_the_vocabulary_and_a_further_training_adds_to_it(lab: Lab) -> None:
    data = [replace(utt, text="door") for utt in lab.train_part]
    first, tokenizer = lab.train("first", *ONLY, data=data), prepared(lab).model.tokenizer
    model, _ = checkpoint.load_model(first, lab.features, CPU)
    assert model.vocabulary == sorted(vocabulary_of(tokenizer, ["door"]))  # type: ignore[union-attr]
    data = [replace(utt, text="window") for utt in lab.train_part]
    second = lab.train("second", *ONLY, f"training.init={first}", data=data)
    expected = sorted(vocabulary_of(tokenizer, ["door", "window"]))
    assert load_file(second / "checkpoint" / "model.safetensors")["vocabulary"].tolist() == expected
    assert "vocabulary" not in weights(lab.train("without", *ONLY[:2]))


def test_branches_that_are_not_trained_stay_as_pretrained(lab: Lab) -> None:
    start = weights(lab.train("start", *ONLY))
    end = weights(lab.train("then", *THEN, "training.branches=false"))
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved and all("lora" in name for name in moved)


def test_branches_are_pretrained_where_later_only_their_words_are_used(lab: Lab) -> None:
    """A word has no gradient: adapter.words must not act while the branches learn."""
    more = ("adapter.slots=8", "adapter.words=true", "training.branches=false")
    start = weights(lab.train("start", *ONLY[:2], *more))
    end = weights(lab.train("words", *ONLY, *more))
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert {name for name in moved if ".adapter." in name} == {
        name for name in start if ".adapter." in name
    }


def test_an_utterance_without_usable_audio_is_listed_once(lab: Lab) -> None:
    """Pretraining and the phases share the list."""
    lab.train_part[0] = replace(lab.train_part[0], wav=str(lab.folder / "absent.wav"))
    live = Live(Encoder.load(lab.config.encoder, CPU))
    exp, config = lab.exp("live"), lab.configured(*THEN)
    trainer.train(lab.train_part, live, config, exp, 1, CPU)
    assert [row[0] for row in rejections.read(exp)] == [lab.train_part[0].utt_id]


def test_a_training_of_the_branches_alone_says_that_lora_is_untrained(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    note = "LoRA stays untrained"
    lab.train("branches", *ONLY)
    assert note in capsys.readouterr().out
    whole = lab.train("whole", *THEN)
    assert note not in capsys.readouterr().out
    lab.train("further", *ONLY, f"training.init={whole}")
    assert note not in capsys.readouterr().out


def test_a_training_of_nothing_is_refused(lab: Lab) -> None:
    with pytest.raises(UserError, match="training.lora and training.branches are false"):
        lab.train("nothing", "training.lora=false", "training.branches=false")


def test_one_group_of_speech_tokens_is_pretrained_too(lab: Lab) -> None:
    exp = lab.train("undivided", *ONLY, "model=undivided", "training.pretrain.epochs=12")
    rows = read_jsonl(exp / "pretrain.jsonl")
    assert rows[-1]["content"] < rows[0]["content"] and rows[-1]["gender"] < rows[0]["gender"]


def test_a_system_without_llm_is_refused(lab: Lab) -> None:
    with pytest.raises(UserError, match="training.pretrain.epochs is 2, and system .*set it to 0"):
        lab.train("ssl", *ONLY, "model=ssl_baseline")


def test_transcripts_with_more_tokens_than_speech_tokens_are_counted(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    """A blank is needed between equal tokens: two of them and three frames fit k = 1 alone."""
    first, second = (replace(utt, seconds=0.06, uniq=None) for utt in lab.train_part[:2])
    data, _ = examples([first, second], lab.config)
    work = prepared(lab, data=data)
    assert work.words is not None
    work.words.texts = {first.utt_id: [1, 1], second.utt_id: [1]}
    work.words.note_too_long(data, 1)
    assert not capsys.readouterr().out
    work.words.note_too_long(data, 2)
    note = capsys.readouterr().out
    assert "1 of 2 transcripts" in note and "adapter.k 2)" in note and "With adapter.k 1" in note
