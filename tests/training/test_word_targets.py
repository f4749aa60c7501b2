"""Targets that say what frozen branches say (training.targets: words)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.training import Lab

from serdesc.captions import reader
from serdesc.captions.fields import VALUES, Fields
from serdesc.data.datadir import Utterance
from serdesc.errors import Checkpointed, UserError
from serdesc.features import batches
from serdesc.files import read_jsonl
from serdesc.models import checkpoint, words
from serdesc.models.describer import Describer
from serdesc.training import word_targets
from serdesc.training.examples import examples
from serdesc.training.stopping import StopRequest
from serdesc.training.unusable import Unusable

CPU = torch.device("cpu")
GIVEN = ("adapter.slots=8", "adapter.words=true", "adapter.k=1", "training.branches=false")
BRANCHES = (*GIVEN, "training.content.epochs=0", "training.descriptor.epochs=0")
BRANCHES += ("training.pretrain.epochs=4", "training.pretrain.lr=1e-2")
WORDS = (*GIVEN, "training.content.epochs=0", "training.descriptor.epochs=2")
WORDS += ("training.targets=words",)


@pytest.fixture
def branches(lab: Lab) -> Path:
    return lab.train("branches", *BRANCHES)


def loaded(lab: Lab, exp: Path) -> Describer:
    model, _ = checkpoint.load_model(exp, lab.features, CPU)
    assert isinstance(model, Describer)
    return model


def what_they_say(lab: Lab, exp: Path, utterances: list[Utterance]) -> list[Fields]:
    model = loaded(lab, exp)
    return [word_targets.read(model, lab.features.load([utt]))[0] for utt in utterances]


def test_they_are_the_words_that_the_llm_is_given(lab: Lab, branches: Path) -> None:
    model, utterances = loaded(lab, branches), lab.train_part[:5]
    x, frames = batches.pad(lab.features.load(utterances))
    with torch.no_grad():
        given = model.encode_speech(x, frames, "descriptor", {})
    assert given.s_des is not None
    said = word_targets.read(model, lab.features.load(utterances))  # a batch, each with its own end
    for i, (fields, count) in enumerate(zip(said, model.token_counts(frames), strict=True)):
        for name in list(VALUES)[: min(8, count)]:
            word = words.embeddings_of(model.llm, model.tokenizer, [getattr(fields, name)])
            assert torch.equal(given.s_des[i, words.slot_of(name, 8)], word[0]), name
        vocabulary = model.vocabulary
        path = words.transcript_of(model.llm, model.tokenizer, given.s_con[i, :count], vocabulary)
        assert fields.transcript == (path.replace('"', "") or None)
    assert said == what_they_say(lab, branches, utterances)


def test_reading_leaves_a_vocabulary_of_all_tokens_as_it_is(lab: Lab) -> None:
    model = loaded(lab, lab.train("untrained", *BRANCHES[:-2]))
    assert model.vocabulary == []
    first, again = (word_targets.read(model, lab.features.load(lab.train_part[:2])) for _ in "ab")
    assert model.vocabulary == [] and first == again


def test_a_field_without_a_token_is_not_in_the_caption(lab: Lab, branches: Path) -> None:
    model = loaded(lab, branches)
    short = [x[:, :3] for x in lab.features.load(lab.train_part[:1])]
    (said,) = word_targets.read(model, short)
    named = [name for name in VALUES if getattr(said, name)]
    assert set(named) <= set(list(VALUES)[:3]) and said.emotion in VALUES["emotion"]


def test_captions_say_them_and_copies_say_their_own(lab: Lab, branches: Path) -> None:
    model = loaded(lab, branches)
    first, second = lab.train_part[:2]
    data, _ = examples([first, replace(second, uniq=first.utt_id)], lab.configured(*WORDS))
    unusable = Unusable(lab.folder, 2)
    (found,) = word_targets.of_examples(model, lab.features, data, unusable, quiet=True)
    said = what_they_say(lab, branches, [first, second])
    for example, fields in zip((found, *found.copies), said, strict=True):
        read = reader.read(example.target("descriptor", 0))
        assert (read.emotion, read.pitch) == (fields.emotion, fields.pitch)


def test_training_is_that_on_data_with_these_labels(lab: Lab, branches: Path) -> None:
    """And the words are those of every start: a broken training ends as an unbroken one."""
    init = f"training.init={branches}"
    exp = lab.train("words", *WORDS, init)
    said = what_they_say(lab, branches, lab.train_part)
    data = [word_targets.relabelled(utt, one) for utt, one in zip(lab.train_part, said)]
    same = lab.train("data", *WORDS, init, "training.targets=labels", data=data)
    assert (exp / "train.jsonl").read_bytes() == (same / "train.jsonl").read_bytes()
    labels = lab.train("labels", *WORDS, init, "training.targets=labels")
    assert (exp / "train.jsonl").read_bytes() != (labels / "train.jsonl").read_bytes()

    class AfterTheFirstStep(StopRequest):
        taken = 0

        def seconds_left(self) -> float:
            self.taken += 1
            return 0.0 if self.taken > 1 else 1e9

    with pytest.raises(Checkpointed):
        lab.train("broken", *WORDS, init, stop=AfterTheFirstStep())
    broken = lab.train("broken", *WORDS, init)
    assert (broken / "train.jsonl").read_bytes() == (exp / "train.jsonl").read_bytes()


def test_after_pretraining_in_the_same_experiment(lab: Lab, branches: Path) -> None:
    exp = lab.train("both", *WORDS, *BRANCHES[-2:])
    further = lab.train("further", *WORDS, f"training.init={branches}")
    first, second = (read_jsonl(one / "train.jsonl")[0] for one in (exp, further))
    assert first["llm_loss"] == pytest.approx(second["llm_loss"], rel=1e-5)


def test_branches_that_are_not_trained_have_no_noise(lab: Lab, branches: Path) -> None:
    settings = (*GIVEN, f"training.init={branches}")
    noisy = lab.train("noisy", *settings)
    plain = lab.train("plain", *settings, "branch.noise=false")
    assert (noisy / "train.jsonl").read_bytes() == (plain / "train.jsonl").read_bytes()
    trained = lab.train("trained", *settings, "training.branches=true", "adapter.words=false")
    plain = lab.train(
        "trained2",
        *settings,
        "training.branches=true",
        "adapter.words=false",
        "branch.noise=false",
    )
    assert (trained / "train.jsonl").read_bytes() != (plain / "train.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("adapter.words=false", "given none: set adapter.words to true"),
        ("adapter.slots=0", "adapter.slots to 7"),
        ("training.branches=true", "set training.branches to false"),
        ("training.pretrain.epochs=0", "nothing has taught them: set training.pretrain.epochs"),
    ],
)
def test_words_that_do_not_exist_or_change_are_refused(
    lab: Lab, setting: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        lab.train("refused", *WORDS, "training.pretrain.epochs=2", setting)
    assert not (lab.exp("refused") / "config.yaml").exists()
