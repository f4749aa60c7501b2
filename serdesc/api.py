"""The Python interface: `import serdesc` provides these functions.

They return dataclasses or DataFrames, print nothing, and raise UserError or FailedError. Heavy
packages are imported inside the functions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, overload

from serdesc import config as configs
from serdesc.captions import reader, writer
from serdesc.captions.fields import Fields
from serdesc.config import Config
from serdesc.errors import FailedError, UserError
from serdesc.files import read_json

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from serdesc.inference.describe import Captioner, Description

__all__ = [
    "FailedError",
    "UserError",
    "describe",
    "load",
    "load_data",
    "load_experiment",
    "read_caption",
    "render_caption",
    "score",
]


@dataclass(frozen=True)
class Experiment:
    """One fold of an experiment on disk."""

    path: Path
    config: Config
    environment: dict[str, Any]  # command, commit, versions and machine of the training
    log: pd.DataFrame  # train.jsonl: one row per step
    finished: bool
    hypotheses: dict[str, pd.DataFrame]  # part -> hyp.jsonl: one row per utterance
    scores: dict[str, pd.DataFrame]  # part -> score.json: one row per metric


def read_caption(text: str) -> Fields:
    """The fields that a caption states, by any author; None for what it does not state."""
    return reader.read(text)


def render_caption(fields: Fields | Mapping[str, Any], seed: str = "") -> str:
    """A caption that states exactly these fields; `read_caption` returns them again.

    fields: Fields, or a mapping such as {"emotion": "sad", "pitch": "low"}. The seed selects the
    wording. Raises UserError for an unknown field or value.
    """
    if not isinstance(fields, Fields):
        known = Fields().to_dict()
        if unknown := sorted(fields.keys() - known.keys()):
            raise UserError(f"'{unknown[0]}' is no field; known are {', '.join(known)}")
        try:
            fields = Fields.from_dict(dict(fields))
        except ValueError as error:
            raise UserError(str(error)) from error
    return writer.render(fields, seed)


@overload
def describe(
    audio: str | Path | np.ndarray, rate: int | None = ..., model: str = ...
) -> Description: ...


@overload
def describe(
    audio: list[str | Path | np.ndarray], rate: int | None = ..., model: str = ...
) -> list[Description]: ...


def describe(audio: Any, rate: int | None = None, model: str = "") -> Any:
    """Describe one recording, or a list of them: caption, fields and lengths.

    audio: path, or samples (S,) or (S, channels) with their sampling rate in Hz. model: experiment
    folder or built-in model; it is loaded once. Raises FailedError for unusable audio.
    """
    captioner = _captioner(model)
    if isinstance(audio, (list, tuple)):
        return [_describe_one(captioner, one, rate) for one in audio]
    return _describe_one(captioner, audio, rate)


def load(model: str = "") -> Captioner:
    """A model that describes recordings: load(MODEL).describe_file("recording.wav").caption.

    model: an experiment's fold, a folder of `serdesc export`, one on the Hugging Face hub, or a
    built-in model. Raises UserError if there is none of that name.
    """
    from serdesc.inference.describe import Captioner

    return Captioner(model)


@lru_cache(maxsize=1)
def _captioner(model: str) -> Captioner:
    from serdesc.inference.describe import Captioner

    return Captioner(model)


def _describe_one(captioner: Captioner, audio: Any, rate: int | None) -> Description:
    from serdesc.data import audio as audio_files

    limit = captioner.config.encoder.max_seconds
    if isinstance(audio, (str, Path)):
        return captioner.describe(audio_files.load(audio, limit), str(audio))
    if rate is None:
        raise UserError("describe: samples need their sampling rate: describe(samples, rate=16000)")
    return captioner.describe(audio_files.from_samples(audio, rate, limit))


def score(
    data: str | Path,
    hyp: str | Path,
    refs: str | Path | None = None,
    metric: str = "",
    settings: list[str] | None = None,
    answers: str = "caption",
) -> pd.DataFrame:
    """Scores of a file of hypotheses against a data directory; nothing is written.

    hyp: hyp.jsonl, Kaldi text, TSV, CSV, JSON, Parquet or SECap's result.txt. refs: other
    reference captions, one or several of an utterance. metric: names separated by commas, all by
    default. answers: caption, or transcript (of an ASR system). One row per metric: value, chance,
    n, low and high end of the 95 % interval and the number of its units, unit, signature, and a
    note if there is no value.
    """
    from serdesc.scoring import evaluate

    hypotheses = Path(hyp)
    config = evaluate.load_config(hypotheses, settings=settings)
    references = Path(refs) if refs else None
    request = evaluate.Request.of(
        Path(data), hypotheses, config, metric, references, answers=answers
    )
    return evaluate.evaluate(request).frame()


def load_data(path: str | Path) -> pd.DataFrame:
    """A data directory: one row per utterance, indexed by utt_id.

    Columns are those of the files that exist: wav, spk, text, seconds, emotion, caption ..., and
    label_<field> for the labels of a fold's part. Raises UserError for an invalid directory.
    """
    import pandas as pd

    from serdesc.data import datadir

    columns = [field.name for field in fields(datadir.Utterance) if field.name != "labels"]
    rows = []
    for utt in datadir.read(Path(path)):
        row = {column: getattr(utt, column) for column in columns}
        if utt.labels is not None:
            for name, value in utt.labels.to_dict().items():
                row[f"label_{name}"] = value
        rows.append(row)
    return pd.DataFrame(rows).set_index("utt_id").dropna(axis="columns", how="all")


def load_experiment(path: str | Path) -> Experiment:
    """One fold of an experiment, for example exp/mini/fold1. Raises UserError if there is none."""
    import pandas as pd

    from serdesc.files import read_jsonl
    from serdesc.training.log import read_log

    folder = Path(path)
    if not (folder / "config.yaml").exists():
        raise UserError(
            f"{folder}: no experiment there (config.yaml is missing): name a fold's folder, for "
            "example exp/mini/fold1"
        )
    state = folder / "checkpoint" / "state.json"
    progress = read_json(state) if state.exists() else {"done": 0, "blocks": None}
    hypotheses, scores = {}, {}
    for decoded in sorted(folder.glob("decode_*")):
        part = decoded.name.removeprefix("decode_")
        if (decoded / "hyp.jsonl").exists():
            hypotheses[part] = pd.DataFrame(read_jsonl(decoded / "hyp.jsonl"))
        if (decoded / "score.json").exists():
            scores[part] = pd.DataFrame(read_json(decoded / "score.json")["scores"])
    environment = folder / "env.json"
    return Experiment(
        path=folder,
        config=configs.load(folder / "config.yaml"),
        environment=read_json(environment) if environment.exists() else {},
        log=pd.DataFrame(read_log(folder / "train.jsonl")),
        finished=progress["done"] == progress["blocks"],
        hypotheses=hypotheses,
        scores=scores,
    )
