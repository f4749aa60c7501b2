"""A trained fold as a folder to share: weights of branches and LoRA, configuration, and a card.

    config.yaml              without paths of this machine
    checkpoint/              model.safetensors, lora/ (PEFT), state.json with their hashes
    README.md                the card, made from the scores

No code, no weights of encoder or LLM, no training data. `serdesc describe --model DIR`, a start of
training (training.init) and serdesc.load(DIR) take the folder.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from serdesc import __version__
from serdesc import config as configs
from serdesc.builtin import names
from serdesc.config import Config
from serdesc.errors import UserError
from serdesc.export import card
from serdesc.files import file_digest, read_json, write_json, write_text
from serdesc.models import checkpoint


def export(exp: Path, out: Path, settings: list[str], licence: str = "") -> None:
    """Write the folder; `settings` may give the published names of encoder and LLM.

    Raises UserError for an unfinished training, a model that is a folder of this machine, and a
    folder that exists.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: exists already: name another folder, or remove it")
    source = checkpoint.finished(exp)
    checkpoint.verify(source)
    config = _without_paths(configs.load(exp / "config.yaml", settings))
    record = read_json(source / "state.json")
    record["encoder"]["encoder"] = config.encoder.model
    target = out / checkpoint.NAME
    shutil.copytree(source, target)
    for path in sorted(target.rglob("*")):
        name = str(path.relative_to(target))
        if path.is_file() and name not in record["files"]:
            path.unlink()
    adapter = target / "lora" / "adapter_config.json"
    if adapter.exists():
        lora: dict[str, Any] = read_json(adapter)
        lora["base_model_name_or_path"] = config.llm.model
        write_json(adapter, lora)
        name = str(adapter.relative_to(target))
        record["files"][name] = file_digest(adapter)[: len(record["files"][name])]
    write_json(target / "state.json", record)
    configs.dump(config, out / "config.yaml")
    write_text(out / "README.md", card.text(exp, config, out.name, licence, __version__))


def _without_paths(config: Config) -> Config:
    """The configuration without paths. Raises UserError for a model that is a local folder."""
    models = {"encoder.model": config.encoder.model}
    if config.model != "ssl_baseline":
        models["llm.model"] = config.llm.model
    for key, model in models.items():
        if model not in names() and (Path(model).expanduser().is_dir() or model[0] in "./~"):
            raise UserError(
                f"{key} is the folder {model} of this machine, which others do not have: give its"
                f" published name: --set {key}=ORGANISATION/NAME"
            )
    prepare = replace(config.prepare, gigaspeech="", recordings="", unpacked="")
    prepare = replace(prepare, exclude_speakers="", include_speakers="")
    return dataclasses.replace(
        config,
        prepare=prepare,
        training=replace(config.training, init=_published(config.training.init)),
        scoring=replace(config.scoring, spice_jars=""),
    )


def _published(init: str) -> str:
    return init if init in names() else ""
