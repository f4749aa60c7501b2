"""GigaSpeech as whole recordings, Parquet files and clip files: the same data directory."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers import cut_clips, parquet_clips

from serdesc import config as configs
from serdesc.data import annotate, audio, check, datadir, parquet, prepare
from serdesc.data.corpora import Rejected
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError

SETTINGS = ["measure.source=corpus", "folds.rule=recordings", "folds.test_utterances=3"]
EQUAL = ("text", "utt2spk", "utt2dur", "utt2emo", "utt2cap", "utt2sed.jsonl")
needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs pyarrow")
in_parquet = pytest.param("parquet", marks=needs_pyarrow)


def prepared(craft: Path, data: Path, *settings: str) -> tuple[list[Utterance], list[Rejected]]:
    config = configs.load(None, [*SETTINGS, *settings])
    accepted, rejected = prepare.prepare("speechcraft", craft, data, config.prepare, nj=2)
    annotate.annotate(data, config, nj=1)
    return accepted, rejected


def in_form(craft: Path, folder: Path, form: str) -> Path:
    return parquet_clips(craft, folder) if form == "parquet" else cut_clips(craft, folder, form)


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("form", [in_parquet, ".wav", ".flac", ".opus", ".mp3"])
def test_every_form_gives_the_same_data_directory(
    craft: Path, tmp_path: Path, form: str, metadata: bool
) -> None:
    whole, _ = prepared(craft, tmp_path / "whole")
    clips = in_form(craft, tmp_path / "clips", form)
    if not metadata:
        (craft / "GigaSpeech.json").unlink()
        shutil.rmtree(craft / "audio")
    accepted, rejected = prepared(craft, tmp_path / "cut", f"prepare.recordings={clips}")
    assert len(accepted) == 9 and not rejected
    for part in (".", "fold1/train", "fold1/test"):
        for name in EQUAL:
            one, other = (tmp_path / data / part / name for data in ("whole", "cut"))
            assert one.read_bytes() == other.read_bytes(), f"{part}/{name}"
    assert (tmp_path / "whole/segments").exists() and not (tmp_path / "cut/segments").exists()
    if metadata:
        for one, other in zip(whole, accepted):
            expected, decoded = audio.load(one.wav, span=one.span), audio.load(other.wav)
            assert len(expected) == len(decoded)
            if form in ("parquet", ".wav", ".flac"):
                assert np.array_equal(expected, decoded)
            else:  # white noise, which no codec keeps well
                assert np.corrcoef(expected, decoded)[0, 1] > 0.7
    assert not [f for f in check.check(tmp_path / "cut", "speechcraft", None, 1) if f.is_error]


@needs_pyarrow
def test_clips_are_unpacked_once_and_a_stopped_run_resumes(
    craft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, unpacked = parquet_clips(craft, tmp_path / "parquet"), tmp_path / "unpacked"
    settings = (f"prepare.recordings={folder}", f"prepare.unpacked={unpacked}")
    written: list[str] = []

    def write(clip: str, data: bytes) -> None:
        if len(written) == stop_after:
            raise KeyboardInterrupt
        written.append(clip)
        original(clip, data)

    original, stop_after = parquet._write_clip, 4
    monkeypatch.setattr(parquet, "_write_clip", write)
    config = configs.load(None, [*SETTINGS, *settings]).prepare
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare("speechcraft", craft, tmp_path / "data", config, nj=1)
    assert "unpacking 9 clips of 3 Parquet file(s), about" in capsys.readouterr().err
    stop_after = -1
    (unpacked / "POD0000000000" / "POD0000000000_S0000001.wav").write_bytes(b"")  # power failure
    prepared(craft, tmp_path / "data", *settings)
    assert len(written) == 4 + 6 and len(set(written)) == 9
    assert "unpacking 6 clips" in capsys.readouterr().err
    prepared(craft, tmp_path / "data2", *settings)
    assert len(written) == 10 and "unpacking" not in capsys.readouterr().err
    names = {path.name for path in unpacked.rglob("*.*")}
    assert names == {f"{utt.utt_id}.wav" for utt in datadir.read(tmp_path / "data2")}


@needs_pyarrow
def test_a_disk_that_is_too_small_is_reported_before_unpacking(
    craft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = parquet_clips(craft, tmp_path / "parquet")
    monkeypatch.setattr(parquet, "free_gb", lambda folder: 1e-6)
    with pytest.raises(UserError, match="9 clips of 3 .* 0.0 GB are free. .*prepare.unpacked=DIR"):
        prepared(craft, tmp_path / "data", f"prepare.recordings={folder}")
    assert not (tmp_path / "data").exists()


@needs_pyarrow
def test_rows_without_audio_and_segments_without_row_are_rejected(
    craft: Path, tmp_path: Path
) -> None:
    import pyarrow
    from pyarrow.parquet import read_table, write_table

    folder = parquet_clips(craft, tmp_path / "parquet", rows_per_file=12)
    (path,) = folder.rglob("*.parquet")
    rows = read_table(path).to_pylist()
    rows[0]["audio"]["bytes"] = None
    rows[1]["end_time"] += 2
    rows[2]["audio"]["path"] = None
    del rows[4]  # YOU0000000001_S0000000
    write_table(pyarrow.Table.from_pylist(rows), path)
    shutil.copy(path, folder / "again.parquet")  # as a subset within another
    setting = f"prepare.recordings={folder}"
    for with_json in (True, False):
        accepted, rejected = prepared(craft, tmp_path / f"data-{with_json}", setting)
        reasons = {item.utt_id: item.reason for item in rejected}
        assert "not readable as audio" in reasons.pop("POD0000000000_S0000000")
        if not with_json:
            reason = reasons.pop("POD0000000000_S0000001")
            assert reason == "clip of 1.20 s, its metadata have 3.20 s"
        reason = "no clip of it" if with_json else "no such segment in it"
        assert reasons == {"YOU0000000001_S0000000": reason}
        assert len(accepted) == (7 if with_json else 6)
        (craft / "GigaSpeech.json").unlink(missing_ok=True)


def test_clip_files_take_their_metadata_from_gigaspeech_json(craft: Path, tmp_path: Path) -> None:
    clips = cut_clips(craft, tmp_path / "clips", ".wav")
    (clips / "POD0000000000" / "POD0000000000_S0000000.wav").unlink()
    labels = json.loads((craft / "Labels.json").read_text())
    labels["POD0000000000_S0000001"] = {"labels": "emotion:sad"}
    labels["YOU9999999999_S0000000"] = {"labels": "emotion:sad"}
    (craft / "Labels.json").write_text(json.dumps(labels))
    accepted, rejected = prepared(craft, tmp_path / "data", f"prepare.recordings={clips}")
    assert accepted[3].utt_id == "POD0000000000_S0000001"
    assert accepted[3].text == "well, 1 it is." and accepted[3].spk == "POD0000000000"
    assert {item.utt_id: (item.path, item.reason) for item in rejected} == {
        "POD0000000000_S0000000": (str(clips), "no clip of it"),
        "YOU9999999999_S0000000": (str(craft / "GigaSpeech.json"), "no such segment in it"),
    }
    errors = [f for f in check.check(tmp_path / "data", "speechcraft", None, 1) if f.is_error]
    assert not errors, "a part of the corpus is no error"
    (craft / "GigaSpeech.json").unlink()
    _, rejected = prepared(craft, tmp_path / "data2", f"prepare.recordings={clips}")
    assert {item.utt_id: (item.path, item.reason) for item in rejected} == {
        "POD0000000000_S0000000": (str(clips), "no such segment in it"),
        "POD0000000000_S0000001": (
            str(clips / "POD0000000000" / "POD0000000000_S0000001.wav"),
            "no transcript in the labels or in GigaSpeech",
        ),
        "YOU9999999999_S0000000": (str(clips), "no such segment in it"),
    }


def test_other_folders_are_described(craft: Path, tmp_path: Path) -> None:
    clips = cut_clips(craft, craft / "clips", ".wav")
    with pytest.raises(UserError) as raised:
        prepared(craft, tmp_path / "data")
    first = clips / "AUD0000000002" / "AUD0000000002_S0000000.wav"
    assert "more than one form" in str(raised.value) and "3 whole recording(s)" in str(raised.value)
    assert f"12 clip(s) ({first})" in str(raised.value)
    assert "--set prepare.recordings=DIR" in str(raised.value)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"empty: no audio of GigaSpeech .*found nothing"):
        prepared(craft, tmp_path / "data", f"prepare.recordings={empty}")
    for name in ("a.zip", "b.zip", "README", "other.wav"):
        (empty / name).touch()
    with pytest.raises(UserError, match=r"found 2 \*.zip, 1 \* without suffix, 1 \*.wav"):
        prepared(craft, tmp_path / "data", f"prepare.recordings={empty}")
    shutil.rmtree(clips)
    (craft / "GigaSpeech.json").unlink()
    with pytest.raises(UserError, match="whole recordings, which need GigaSpeech's metadata"):
        prepared(craft, tmp_path / "data")


def test_wrong_parquet_files_are_named(
    craft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "parquet"
    folder.mkdir()
    path = folder / "a.parquet"
    path.write_bytes(b"PAR1")
    setting = f"prepare.recordings={folder}"
    if find_spec("pyarrow"):
        import pyarrow
        from pyarrow.parquet import write_table

        with pytest.raises(UserError, match="a.parquet: not readable as Parquet .*download it"):
            prepared(craft, tmp_path / "data", setting)
        write_table(pyarrow.table({"segment_id": ["a"], "wav": ["b"]}), path)
        missing = "audio.bytes and audio.path and begin_time and end_time and text"
        with pytest.raises(UserError, match=f"{path}: no column {missing}, found segment_id, wav"):
            prepared(craft, tmp_path / "data", setting)
        whole = next(parquet_clips(craft, tmp_path / "whole").rglob("*.parquet")).read_bytes()
        path.write_bytes(
            whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[-len(whole) // 3 :]
        )
        with pytest.raises(UserError, match="a.parquet: not readable as Parquet .*download it"):
            prepared(craft, tmp_path / "data", setting)
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"{path}: Parquet needs pyarrow.*pip install pyarrow"):
        prepared(craft, tmp_path / "data", setting)
