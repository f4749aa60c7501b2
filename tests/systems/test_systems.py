"""The systems of the paper's tables that are not two branches: what they hear, what they train, and that they run to captions."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import pytest
import torch
from helpers import D, L, random_features
from torch import Tensor, nn

from serdesc import config as configs
from serdesc import configfile
from serdesc import models
from serdesc.captions import reader
from serdesc.captions.fields import EMOTIONS
from serdesc.config import AdapterConfig, Config
from serdesc.data import annotate, datadir
from serdesc.errors import UserError
from serdesc.features import store as stores
from serdesc.features.batches import pad
from serdesc.features.encoder import Encoder
from serdesc.files import read_jsonl
from serdesc.inference.decode import decode
from serdesc.models import checkpoint
from serdesc.models.adapter import Adapter
from serdesc.models.ssl_baseline import CHARACTERS, SslBaseline
from serdesc.models.undivided import Undivided
from serdesc.training import trainer
from serdesc.training.phases import phases_of

CPU = torch.device("cpu")
CONFS = sorted(Path(__file__).parents[2].glob("egs/*/conf/*.yaml"))


def configured(settings: Sequence[str], system: str) -> Config:
    return configs.load([Path(system)], [*settings, "llm.lora.dropout=0"])


@pytest.mark.parametrize("conf", CONFS, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
@pytest.mark.parametrize("system", configs.systems())
def test_a_system_is_its_difference_and_no_more(conf: Path, system: str) -> None:
    """Over any recipe's configuration a system sets its own keys, and leaves the recipe's others as they are."""
    import dataclasses

    import yaml

    with_it, without = (configs.load(paths) for paths in ([conf, Path(system)], conf))
    assert with_it.system == system
    own = configfile.read(configfile.SYSTEMS / f"{system}.yaml")
    merged = dataclasses.asdict(without)
    configfile.merge(merged, own)
    assert with_it == configfile.build(Config(), merged, "", [])
    assert len(yaml.safe_load((configfile.SYSTEMS / f"{system}.yaml").read_text())) <= 4


def test_the_names_of_systems_are_offered() -> None:
    with pytest.raises(UserError, match="nor a system .*no_disentanglement"):
        configs.load([Path("no_such_system")])


# ---- no disentanglement ----


def tiny(settings: Sequence[str], system: str) -> models.Model:
    torch.manual_seed(1)
    return models.build(configured(settings, system), L, D)


@pytest.fixture
def undivided(tiny_settings: list[str]) -> Undivided:
    assert isinstance(model := tiny(tiny_settings, "no_disentanglement"), Undivided)
    return model


def test_no_disentanglement_at_the_papers_shapes() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Adapter(1024, 4096, AdapterConfig()).parameters()) == 18_880_512


def test_one_group_of_tokens_stands_where_content_stood(undivided: Undivided) -> None:
    x, frames = pad(random_features(30))
    heard = undivided.encode_speech(x, frames, "descriptor", {})
    assert heard.s_des is None and heard.s_con.shape == (1, 6, undivided.llm_width) and float(heard.kl) == 0
    row = undivided.build_rows(undivided.prompt, heard, [None])[0]
    before, after = len(undivided.prompt.before), len(undivided.prompt.after)
    assert len(row.embeds) == before + 6 + after  # neither the line feed nor a second group
    torch.testing.assert_close(row.embeds[before : before + 6], heard.s_con[0])
    torch.testing.assert_close(undivided.layer_weights.softmax(0), torch.full((L,), 1 / L))


@pytest.mark.parametrize("phase", ["content", "descriptor"])
def test_both_phases_train_all_of_it(undivided: Undivided, phase: models.describer.Phase) -> None:
    undivided.train_phase(phase)
    loss = undivided(*pad(random_features(12, 33)), ["hello", "x"], phase)
    loss.llm.backward()
    named = {name for name, p in undivided.named_parameters() if p.grad is not None}
    assert named == {name for name, _ in undivided.trained(phase)} and float(loss.kl) == 0
    assert {name for name in named if not name.startswith("llm.")} == {
        "layer_weights", "adapter.layers.0.weight", "adapter.layers.0.bias", "adapter.layers.2.weight", "adapter.layers.2.bias",
    }  # fmt: skip


# ---- SSL baselines ----


@pytest.fixture
def baseline(tiny_settings: list[str]) -> SslBaseline:
    assert isinstance(model := tiny(tiny_settings, "ssl_hubert"), SslBaseline)
    return model


CAPTIONS = ['A speaker says "go on", sounding sad.', 'A speaker says "it is", sounding happy.', "A speaker speaks, sounding angry."]


def test_its_loss_is_cross_entropy_and_ctc_a_character(baseline: SslBaseline) -> None:
    x, frames = pad(random_features(30, 41, 25))
    loss = baseline(x, frames, CAPTIONS, "joint")
    emotions, characters = baseline.log_probs(x, frames)
    wanted = torch.zeros(())
    for i, (emotion, text) in enumerate((("sad", "go on"), ("happy", "it is"), ("angry", ""))):
        wanted = wanted - emotions[i, EMOTIONS.index(emotion)]
        if text:
            labels = torch.tensor([[CHARACTERS.index(c) for c in text]])
            wanted = wanted + nn.CTCLoss(reduction="mean")(
                characters[i : i + 1].transpose(0, 1), labels, frames[i : i + 1], torch.tensor([len(text)])
            )
    torch.testing.assert_close(loss.llm, wanted)
    assert (loss.tokens, loss.frames, float(loss.kl)) == (3, 0, 0.0)


def test_padding_and_batch_change_nothing(baseline: SslBaseline) -> None:
    rows = random_features(12, 33, 20)
    together = baseline(*pad(rows), CAPTIONS, "joint").llm
    alone = [baseline(*pad([row]), [caption], "joint").llm for row, caption in zip(rows, CAPTIONS)]
    torch.testing.assert_close(together, torch.stack(alone).sum(), atol=1e-4, rtol=1e-5)
    assert baseline.generate(*pad(rows), 8) == [baseline.generate(*pad([row]), 8)[0] for row in rows]


def test_the_best_path_is_collapsed(baseline: SslBaseline, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "hh_e_ll_llo_  w_ee"
    characters = torch.full((1, len(path), len(CHARACTERS)), -9.0)
    for t, c in enumerate(path):
        characters[0, t, CHARACTERS.index(c)] = 0
    emotions = torch.eye(len(EMOTIONS))[EMOTIONS.index("calm")][None]
    monkeypatch.setattr(baseline, "log_probs", lambda x, frames: (emotions.log_softmax(-1), characters))
    fields = reader.read(baseline.generate(torch.zeros(1), torch.tensor([len(path)]), 8)[0])
    assert (fields.transcript, fields.emotion) == ("hello we", "calm")
    found: Tensor = torch.tensor(baseline.log_likelihoods(torch.zeros(1), frames=torch.tensor([1]), answers=[[CAPTIONS[0], CAPTIONS[1]]]))
    torch.testing.assert_close(found[0, 0], found[0, 1])


@pytest.mark.parametrize("system", ["no_disentanglement", "ssl_hubert", "ser_asr", "ser_sed", "two_stage"])
def test_a_system_is_trained_resumed_and_decoded_by_the_same_code(corpus: Path, tmp_path: Path, tiny_settings: list[str], system: str) -> None:
    config = configured([*tiny_settings, "training.descriptor.epochs=1"], system)
    annotate.annotate(corpus, config, nj=1)
    stores.write(tmp_path / "store", datadir.read(corpus), Encoder.load(config.encoder, CPU), config.store)
    store = stores.Store(tmp_path / "store")
    exp = tmp_path / "exp" / "fold1"
    data = datadir.read(corpus / "fold1" / "train")
    trainer.train(data, store, config, exp, 1, CPU)
    saved = (exp / "checkpoint" / "model.safetensors").read_bytes()
    trainer.train(data, store, config, exp, 1, CPU)  # finished: nothing is done again
    assert saved == (exp / "checkpoint" / "model.safetensors").read_bytes()
    assert (exp / "checkpoint" / "lora").exists() == (system != "ssl_hubert")
    model, loaded = checkpoint.load_model(exp, store, CPU)
    assert loaded == config
    decode(model, store, datadir.read(corpus / "fold1" / "test"), exp / "decode_test" / "hyp.jsonl")
    hyps = read_jsonl(exp / "decode_test" / "hyp.jsonl")
    assert len(hyps) == len(datadir.read(corpus / "fold1" / "test"))
    if system == "ssl_hubert":
        assert all(hyp["emotion"] and hyp["transcript"] is not None and abs(sum(hyp["posterior"].values()) - 1) < 1e-3 for hyp in hyps)
    target = trainer.examples(data, config)[0][0].caption
    assert ("say" in target, "pitch" in target) == (system != "ser_sed", system not in ("ssl_hubert", "ser_asr"))


# ---- every configuration, at its real shapes ----

PAPERS = {"content": 2_361_624 + 9_705_472, "joint": 2 * (2_361_624 + 9_705_472)}


@pytest.mark.parametrize("conf, system", [*((conf, "") for conf in CONFS), *((None, system) for system in configs.systems())], ids=str)
def test_every_configuration_builds_and_names_what_it_trains(conf: Path | None, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device: the recipes' own configurations, and each system over the paper's defaults."""
    from serdesc.models import llm as llms
    from serdesc.plan import lengths, shapes

    config = configs.load([path for path in (conf, Path(system) if system else None) if path])
    encoder, _ = shapes.encoder(config.encoder)
    with shapes.META:
        found = shapes.shape(config.llm.model)
        words, _ = lengths.tokenizer(config.llm.model, found.config.model_type)
        monkeypatch.setattr(llms, "load", lambda *_: (shapes.llm(config)[0], words))
        model = models.build(config, encoder.layers, encoder.width)
    for phase in phases_of(config.training):
        trained = dict(model.trained(phase))
        kinds = {name.split(".")[0] for name in trained}
        assert all(p.device.type == "meta" for p in trained.values()) and not any("base_layer" in name for name in trained)
        if config.model == "describer":
            assert kinds == {*models.describer.TRAINED[phase], "llm"}
            if conf is None:
                own = sum(p.numel() for name, p in trained.items() if not name.startswith("llm."))
                assert own == PAPERS.get(phase, PAPERS["content"])
                assert sum(p.numel() for name, p in trained.items() if name.startswith("llm.")) == 3_407_872
        elif config.model == "undivided":
            assert kinds == {"layer_weights", "adapter", "llm"}
            assert sum(p.numel() for name, p in trained.items() if name.startswith("adapter")) == 18_880_512
        else:
            assert kinds == {"layer_weights", "emotion", "characters"}
            assert sum(p.numel() for p in trained.values()) == 24 + 2 * (1024 * 256 + 256) + 256 * (10 + 29) + 10 + 29
