"""Systems of the paper's tables."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.models import configured

from serdesc import config as configs
from serdesc import configfile, models
from serdesc.config import Config
from serdesc.data import annotate, datadir
from serdesc.errors import UserError
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder
from serdesc.files import read_jsonl
from serdesc.inference.decode import decode
from serdesc.models import checkpoint
from serdesc.training import trainer
from serdesc.training.examples import examples
from serdesc.training.phases import phases_of

CPU = torch.device("cpu")


CONFS = sorted(Path(__file__).parents[2].glob("egs/*/conf/*.yaml"))


@pytest.mark.parametrize("conf", CONFS, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
@pytest.mark.parametrize("system", configs.systems())
def test_a_system_is_its_difference_and_no_more(conf: Path, system: str) -> None:
    """Over any recipe's configuration a system sets its own keys, and leaves the recipe's others as
    they are.
    """
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "system", ["no_disentanglement", "ssl_hubert", "ser_asr", "ser_sed", "two_stage"]
)
def test_a_system_is_trained_resumed_and_decoded_by_the_same_code(
    corpus: Path, tmp_path: Path, tiny_settings: list[str], system: str
) -> None:
    config = configured([*tiny_settings, "training.descriptor.epochs=1"], system)
    annotate.annotate(corpus, config, nj=1)
    stores.write(
        tmp_path / "store", datadir.read(corpus), Encoder.load(config.encoder, CPU), config.store
    )
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
        assert all(
            hyp["emotion"]
            and hyp["transcript"] is not None
            and abs(sum(hyp["posterior"].values()) - 1) < 1e-3
            for hyp in hyps
        )
    target = examples(data, config)[0][0].caption
    assert ("say" in target, "pitch" in target) == (
        system != "ser_sed",
        system not in ("ssl_hubert", "ser_asr"),
    )


PAPERS = {"content": 2_361_624 + 9_705_472, "joint": 2 * (2_361_624 + 9_705_472)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "conf, system",
    [*((conf, "") for conf in CONFS), *((None, system) for system in configs.systems())],
    ids=str,
)
def test_every_configuration_builds_and_names_what_it_trains(
    conf: Path | None, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the meta device: the recipes' own configurations, and each system over the paper's
    defaults.
    """
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
        assert all(p.device.type == "meta" for p in trained.values()) and not any(
            "base_layer" in name for name in trained
        )
        if config.model == "describer":
            branches = models.describer.TRAINED[phase] if config.training.branches else ()
            assert kinds == {*branches, "llm"}
            if conf is None:
                own = sum(p.numel() for name, p in trained.items() if not name.startswith("llm."))
                assert own == PAPERS.get(phase, PAPERS["content"])
                assert (
                    sum(p.numel() for name, p in trained.items() if name.startswith("llm."))
                    == 3_407_872
                )
        elif config.model == "undivided":
            assert kinds == {"layer_weights", "adapter", "llm"}
            assert (
                sum(p.numel() for name, p in trained.items() if name.startswith("adapter"))
                == 18_880_512
            )
        else:
            assert kinds == {"layer_weights", "emotion", "characters"}
            assert (
                sum(p.numel() for p in trained.values())
                == 24 + 2 * (1024 * 256 + 256) + 256 * (10 + 29) + 10 + 29
            )
