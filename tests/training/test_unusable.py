"""Audio that is damaged after preparation: training skips it, lists it, and stops at a limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.training import Lab

from serdesc.data import rejections
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError
from serdesc.features.encoder import Encoder
from serdesc.features.live import Live
from serdesc.files import read_jsonl
from serdesc.training import trainer

CPU = torch.device("cpu")
SHORT = ("training.content.epochs=0", "training.descriptor.epochs=2", "training.batch_size=4")


def damaged(lab: Lab, tmp_path: Path, count: int) -> list[Utterance]:
    """The training part; the files of the first utterances end too early."""
    utterances = []
    for i, utt in enumerate(lab.train_part):
        if i < count:
            path = tmp_path / Path(utt.wav).name
            path.write_bytes(Path(utt.wav).read_bytes()[:2000])
            utt = replace(utt, wav=str(path))
        utterances.append(utt)
    return utterances


def train(lab: Lab, name: str, data: list[Utterance]) -> Path:
    config = lab.configured(*SHORT)
    exp = lab.folder / name / "fold1"
    features = Live(Encoder.load(config.encoder, CPU))
    trainer.train(data, features, config, exp, 1, CPU)
    return exp


def test_a_damaged_file_is_skipped_and_listed(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = damaged(lab, tmp_path, 1)
    exp = train(lab, "damaged", data)
    ((utt_id, path, reason),) = rejections.read(exp)
    assert (utt_id, path.split()[0]) == (data[0].utt_id, data[0].wav) and "cut off" in reason
    assert capsys.readouterr().err.count("skipped, see") == 1  # not again in the second epoch
    rows = read_jsonl(exp / "train.jsonl")
    assert len(rows) == 2 * -(-len(data) // 4) and all(row["llm_loss"] > 0 for row in rows)


def test_a_batch_of_damaged_files_alone_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    exp = train(lab, "alone", damaged(lab, tmp_path, 1)[:1])
    assert [row["llm_loss"] for row in read_jsonl(exp / "train.jsonl")] == [0, 0]


def test_more_damaged_files_than_the_limit_end_it(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(
        FailedError, match="2 training utterances .* at most 1 are skipped. Restore"
    ):
        train(lab, "many", damaged(lab, tmp_path, 2))
    assert len(rejections.read(lab.folder / "many" / "fold1")) == 2


def test_its_remedies_are_accepted(lab: Lab, tmp_path: Path) -> None:
    """Another start alone is refused again; restored files, or another tag without them, go on."""
    whole = [Path(utt.wav).read_bytes() for utt in lab.train_part[:2]]
    data = damaged(lab, tmp_path, 2)
    for _ in range(2):
        with pytest.raises(FailedError, match="2 training utterances .* Restore the files"):
            train(lab, "many", data)
    train(lab, "tag", data[2:])
    for utt, content in zip(data, whole):
        Path(utt.wav).write_bytes(content)
    exp = train(lab, "many", data)
    assert len(rejections.read(exp)) == 2  # as found by the first start
    assert len(read_jsonl(exp / "train.jsonl")) == 2 * -(-len(data) // 4)
