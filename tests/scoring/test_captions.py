"""Text of captions before it is compared."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.scoring import scored
from typer.testing import CliRunner

from serdesc.captions import reader, writer
from serdesc.captions.fields import Fields
from serdesc.cli import app
from serdesc.config import ScoringConfig
from serdesc.files import read_json
from serdesc.scoring import captions

needs_java = pytest.mark.skipif(
    shutil.which("java") is None, reason="no Java: METEOR, SPICE and PTB tokens cannot be had"
)


@pytest.mark.parametrize(
    "fields",
    [
        Fields(transcript="is it", emotion="sad", emphasis=("is",)),
        Fields(transcript="x y", speed="fast"),
        Fields(emotion="sad"),
    ],
)
def test_the_style_of_a_caption_has_no_transcript(fields: Fields) -> None:
    """Taking the quote out changes no field but the transcript, and a caption without one stays as
    it is.
    """
    for seed in range(20):
        caption = writer.render(fields, str(seed))
        style = captions.chosen(caption, ScoringConfig())
        said = reader.read(style)
        assert (
            said.transcript is None
            and said.emphasis == fields.emphasis
            and said.emotion == fields.emotion
            and said.speed == fields.speed
        )
        if fields.transcript is None:
            assert style == caption
    assert (
        captions.chosen('He says, "I am fine", sad.', ScoringConfig(caption_text="full"))
        == 'He says, "I am fine", sad.'
    )


@pytest.mark.parametrize(
    "segmentation, punctuation, tokens",
    [
        ("characters", "removed", "她 o k 很 伤 心"),
        ("mixed", "removed", "她 ok 很 伤 心"),
        ("mixed", "kept", "她 ok ， 很 伤 心 。"),
    ],
)
def test_mandarin_tokens(segmentation: Any, punctuation: Any, tokens: str) -> None:
    config = ScoringConfig(language="zh", segmentation=segmentation, punctuation=punctuation)
    assert captions.tokenise(["她OK，很伤心。"], config) == [tokens]


@needs_java
def test_captions_in_another_language_are_refused_unless_references_are_translated(
    tmp_path: Path,
) -> None:
    hyps, refs = ["She sounds sad."] * 3, ["她很伤心。"] * 3
    for setting, reason in (
        ("zh", "responses are in English, the references in Mandarin"),
        ("en", "set it to zh"),
    ):
        ours = scored(tmp_path, hyps, refs, f"scoring.language={setting}")
        assert all(
            ours[name]["value"] is None and reason in ours[name]["note"]
            for name in ("bleu4", "sacrebleu", "cider")
        ), ours
    (tmp_path / "refs").write_text("".join(f"u{i:04d} She sounds very sad.\n" for i in range(3)))
    command = [
        "score",
        str(tmp_path / "data"),
        "--hyp",
        str(tmp_path / "hyp.jsonl"),
        "--metric",
        "bleu4,rouge_l",
        "--refs",
        str(tmp_path / "refs"),
    ]
    assert CliRunner().invoke(app, command).exit_code == 0
    rouge = next(
        row for row in read_json(tmp_path / "score.json")["scores"] if row["metric"] == "rouge_l"
    )
    assert rouge["value"] > 80 and "refs:refs " in rouge["signature"]
    (tmp_path / "refs").write_text("u0000 She sounds very sad.\n")
    assert (
        "no caption of 2 utterances, the first is 'u0001'"
        in CliRunner().invoke(app, command).output
    )
