"""Decoding: posteriors, resuming, other inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import Lab
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.captions.fields import Fields
from serdesc.cli import app
from serdesc.config import Config
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.inference.decode import emotions_of, hypotheses
from serdesc.models import checkpoint

CPU = torch.device("cpu")


class Says:
    """A model that always says the same; what ends in "anger in her voice" is as good as
    impossible.
    """

    config = Config()

    def __init__(self, said: str) -> None:
        self.said = said

    def generate(self, x: torch.Tensor, frames: torch.Tensor, max_new_tokens: int) -> list[str]:
        return [self.said] * len(x)

    def log_likelihoods(
        self, x: torch.Tensor, frames: torch.Tensor, answers: list[list[str]]
    ) -> list[list[float]]:
        return [
            [-20.0 if "anger in her voice" in answer else 0.0 for answer in said]
            for said in answers
        ]


class Silence:
    def load(self, utterances: list[Utterance]) -> list[torch.Tensor]:
        return [torch.zeros(1, 1, 1)] * len(utterances)


def test_a_small_posterior_is_not_none() -> None:
    def posterior(said: str) -> Any:
        return hypotheses(Says(said), Silence(), [Utterance("u", "u.wav", "s")], ["angry", "happy"])[0]["posterior"]  # type: ignore[arg-type]

    assert posterior("A woman speaks, joy in her voice.") == {"angry": 2.0611536e-09, "happy": 1.0}
    assert posterior("A woman speaks.") is None


def test_the_posterior_is_over_the_emotions_of_the_data_not_of_the_model() -> None:
    model: Any = Says("A woman speaks, surprise in her voice.")
    features: Any = Silence()
    (row,) = hypotheses(model, features, [Utterance("u", "u.wav", "s")], ["angry", "happy"])
    assert row["emotion"] == "surprised" and list(row["posterior"]) == ["angry", "happy"]


def test_the_emotions_of_data_are_those_of_labels_or_without_labels_those_of_the_corpus() -> None:
    data = [
        Utterance("a", "a.wav", "s", emotion="sad"),
        Utterance("b", "b.wav", "s", emotion="xxx"),  # no value of a caption
        Utterance("c", "c.wav", "s", emotion="angry", labels=Fields(emotion="happy")),
        Utterance("d", "d.wav", "s"),
    ]
    assert emotions_of(data) == ["happy", "sad"]


def test_decoding_goes_on_behind_a_cut_off_line(lab: Lab) -> None:
    exp = lab.train("exp")
    whole = lab.captions(exp)
    hyp = exp / "decode_test" / "hyp.jsonl"
    lines = whole.splitlines(keepends=True)
    hyp.rename(exp / "decode_test" / "kept")
    (exp / "decode_test" / ".hyp.jsonl.partial").write_bytes(b"".join(lines[:3]) + lines[3][:20])
    assert lab.captions(exp) == whole
    assert not (exp / "decode_test" / ".hyp.jsonl.partial").exists()


def test_answers_are_not_those_of_another_model_or_of_other_settings(
    lab: Lab, tmp_path: Path
) -> None:
    first, second = lab.train("one"), lab.train("two", "seed=2")
    out = tmp_path / "zs" / "decode_test" / "hyp.jsonl"

    def said(exp: Path, *more: str) -> tuple[int, str]:
        options = [part for setting in more for part in ("--set", setting)]
        done = CliRunner().invoke(
            app,
            [
                "decode",
                str(lab.corpus / "fold1/test"),
                str(lab.folder / "store"),
                str(exp),
                "--out",
                str(out),
                *options,
            ],
        )
        return done.exit_code, done.output

    assert said(first)[0] == 0
    answers = out.read_bytes()
    assert said(first, "decoding.batch_size=1") == (
        0,
        f"{out} exists already; remove it to decode again\n",
    )
    assert said(second)[0] == 2 and "was decoded with another model: remove it" in said(second)[1]
    for other in ("decoding.max_new_tokens=3", "adapter.words=true"):
        assert "with another settings" in said(first, other)[1]
    out.rename(out.with_name(".hyp.jsonl.partial"))
    assert said(second)[0] == 2 and said(first)[0] == 0 and out.read_bytes() == answers


def test_an_unfinished_experiment_is_not_decoded(lab: Lab) -> None:
    exp = lab.folder / "unfinished"
    configs.dump(lab.config, exp / "config.yaml")
    with pytest.raises(UserError, match="serdesc train"):
        checkpoint.load_model(exp, lab.features, CPU)
