"""The feature store: any number of jobs, resuming, damage."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Callable, Iterator

import pytest
import soundfile
import torch
from safetensors.torch import load_file

from serdesc.config import EncoderConfig, StoreConfig
from serdesc.data import audio, datadir
from serdesc.errors import FailedError, UserError
from serdesc.features import precision
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder

CPU = torch.device("cpu")


CONFIG = StoreConfig(dtype="float32", shard_seconds=1.5)


def test_any_number_of_jobs_writes_the_same_bytes(
    corpus: Path, encoder: Encoder, tmp_path: Path
) -> None:
    utterances = datadir.read(corpus)
    for jobs in (1, 2, 5):
        for i in reversed(range(1, jobs + 1)):
            stores.write(tmp_path / str(jobs), utterances, encoder, CONFIG, (i, jobs))
    files = sorted(p.name for p in (tmp_path / "1").iterdir())
    assert len(files) > 4 and "feats.scp" in files
    for jobs in ("2", "5"):
        assert files == sorted(p.name for p in (tmp_path / jobs).iterdir())
        assert all(
            (tmp_path / "1" / f).read_bytes() == (tmp_path / jobs / f).read_bytes() for f in files
        )


@pytest.mark.parametrize(
    "dtype, error", [("float32", 0), ("float16", 2e-3), ("bfloat16", 2e-2), ("int8", 1e-2)]
)
def test_stored_features_are_the_live_ones(
    corpus: Path, encoder: Encoder, tmp_path: Path, dtype: str, error: float
) -> None:
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "s", utterances, encoder, StoreConfig(dtype=dtype, shard_seconds=1.5))  # type: ignore[arg-type]
    store, live = stores.Store(tmp_path / "s", encoder.identity()), stores.Live(encoder)
    assert (store.layers, store.width, store.verify()) == (live.layers, live.width, 12)
    for kept, computed in zip(store.load(utterances), live.load(utterances)):
        assert kept.dtype == torch.float32
        torch.testing.assert_close(
            kept, computed, atol=1e-5 + error * float(computed.abs().max()), rtol=error
        )


def test_kaldis_feats_scp_is_no_store_and_is_kept(
    corpus: Path, encoder: Encoder, tmp_path: Path
) -> None:
    (tmp_path / "feats.scp").write_text("s0-0 raw_mfcc.1.ark:5\n")
    with pytest.raises(UserError, match="its feats.scp is of another toolkit"):
        stores.Store(tmp_path)
    with pytest.raises(UserError, match="its feats.scp is of another toolkit"):
        stores.write(tmp_path, datadir.read(corpus), encoder, StoreConfig())
    assert (tmp_path / "feats.scp").read_text() == "s0-0 raw_mfcc.1.ark:5\n"


def test_one_huge_value_leaves_the_other_dimensions_their_precision_in_int8() -> None:
    x = torch.randn(2, 50, 16, generator=torch.Generator().manual_seed(0))
    x[0, 7, 3] = 1e4  # one value of one dimension, and a dimension a thousand times the others
    x[1, :, 5] *= 1e3
    stored = precision.stored("a", x, "int8")
    again = stored["a"].float() * stored["a#scale"][..., None] * stored["a#range"][:, None]
    others = torch.ones_like(x, dtype=torch.bool)
    others[0, :, 3] = others[1, :, 5] = False
    assert float((again - x)[others].abs().max()) < 0.02
    assert float(again[0, 7, 3]) == pytest.approx(1e4, rel=0.01)
    torch.testing.assert_close(again[1, :, 5], x[1, :, 5], atol=20, rtol=0.01)


def test_stores_of_version_0_4_have_no_ranges_in_int8(
    corpus: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = datadir.read(corpus)[:2]

    def former(utt_id: str, x: torch.Tensor, dtype: str) -> dict[str, torch.Tensor]:
        scale = x.abs().amax(dim=-1) / 127
        values = (x / scale[..., None]).round().to(torch.int8)
        return {utt_id: values, utt_id + "#scale": scale}

    monkeypatch.setattr(precision, "stored", former)
    stores.write(tmp_path / "s", utterances, encoder, StoreConfig(dtype="int8"))
    live = stores.Live(encoder).load(utterances)
    for kept, computed in zip(stores.Store(tmp_path / "s").load(utterances), live):
        torch.testing.assert_close(kept, computed, atol=0.01 * float(computed.abs().max()), rtol=0)


def test_values_that_the_precision_cannot_hold_are_refused(
    corpus: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = datadir.read(corpus)
    real = stores.encode

    def scaled(factor: float) -> Callable[..., Iterator[torch.Tensor]]:
        return lambda *given: (x * factor for x in real(*given))

    monkeypatch.setattr(stores, "encode", scaled(1e8))
    message = r"reaches .*e\+0\d, and store.dtype float16 holds up to 6.55e\+04.*dtype=bfloat16"
    with pytest.raises(UserError, match=message):
        stores.write(tmp_path / "s", utterances, encoder, StoreConfig(dtype="float16"))
    for dtype in ("bfloat16", "float32", "int8"):
        stores.write(tmp_path / dtype, utterances, encoder, StoreConfig(dtype=dtype))  # type: ignore[arg-type]
        assert stores.Store(tmp_path / dtype).verify() == 12
    monkeypatch.setattr(stores, "encode", scaled(float("inf")))
    with pytest.raises(UserError, match="has values that are no numbers"):
        stores.write(tmp_path / "n", utterances, encoder, StoreConfig(dtype="float32"))


def test_a_stopped_extraction_goes_on_and_a_damaged_shard_is_made_again(
    corpus: Path, encoder: Encoder, tmp_path: Path
) -> None:
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "whole", utterances, encoder, CONFIG)
    stores.write(tmp_path / "s", utterances, encoder, CONFIG, (1, 2))
    assert not (tmp_path / "s" / "feats.scp").exists()
    with pytest.raises(UserError, match="no finished feature store"):
        stores.Store(tmp_path / "s")
    first = tmp_path / "s" / "shard-00000.safetensors"
    first.write_bytes(first.read_bytes()[:200])
    stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "s" / path.name).read_bytes()


def test_a_store_of_another_encoder_is_refused_and_kept(
    corpus: Path, encoder: Encoder, tiny_encoder: Path, tmp_path: Path
) -> None:
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    other = Encoder.load(EncoderConfig(model=str(tiny_encoder), layers="0..n"), CPU)
    with pytest.raises(UserError, match="layers is '1..n', expected '0..n'"):
        stores.write(tmp_path / "s", utterances, other, CONFIG)
    torch.nn.init.normal_(encoder.model.encoder.layers[0].attention.k_proj.weight)
    with pytest.raises(UserError, match="weights is"):
        stores.Store(tmp_path / "s", encoder.identity())
    assert stores.Store(tmp_path / "s").verify() == 12


def test_damage_is_found_when_a_store_is_read(
    corpus: Path, encoder: Encoder, tmp_path: Path
) -> None:
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    shard = tmp_path / "s" / "shard-00001.safetensors"
    names = list(load_file(shard))
    shard.write_bytes(shard.read_bytes()[:300])
    with pytest.raises(UserError, match="shard-00001.safetensors: damaged shard"):
        stores.Store(tmp_path / "s").load([u for u in utterances if u.utt_id in names])
    with pytest.raises(UserError, match="no features of 'stranger'"):
        stores.Store(tmp_path / "s").load([replace(utterances[0], utt_id="stranger")])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8"])
def test_a_flipped_bit_is_found_where_it_changes_a_feature(
    corpus: Path, encoder: Encoder, tmp_path: Path, dtype: str
) -> None:
    utterances = datadir.read(corpus)[:3]
    config = replace(CONFIG, dtype=dtype)  # type: ignore[arg-type]
    stores.write(tmp_path / "s", utterances, encoder, config)
    written = stores.Store(tmp_path / "s").load(utterances)
    shard = tmp_path / "s" / "shard-00000.safetensors"
    content = shard.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    rng = random.Random(1)
    places = [rng.randrange(8 * len(content)) for _ in range(60)]
    found = 0
    for place in [*places, *(8 * rng.randrange(header) for _ in range(60))]:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        shard.write_bytes(flipped)
        try:
            read = stores.Store(tmp_path / "s").load(utterances)
        except UserError as error:
            assert "shard-00000.safetensors: damaged shard" in str(error)
            found += 1
        else:
            assert all(torch.equal(a, b) for a, b in zip(read, written)), place
    assert found >= 40
    shard.write_bytes(content)
    assert stores.Store(tmp_path / "s").verify() == 3


def test_stores_without_checksums_are_read(
    corpus: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = datadir.read(corpus)
    monkeypatch.setattr(stores, "CHECKSUMS", "unknown to readers")
    stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    monkeypatch.undo()
    assert stores.Store(tmp_path / "s").verify() == 12


def test_a_full_disk_names_what_is_needed_and_keeps_what_is_done(
    corpus: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "s", utterances, encoder, CONFIG, (1, 2))
    done = sorted(p.name for p in (tmp_path / "s").glob("shard*"))
    monkeypatch.setattr(stores, "free_gb", lambda folder: 0.0)
    with pytest.raises(FailedError, match="0.00 GB are free.*make\nroom|make room"):
        stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    assert (
        sorted(p.name for p in (tmp_path / "s").iterdir() if p.name.startswith(("shard", ".")))
        == done
    )


def test_an_utterance_whose_audio_went_bad_is_named_and_left_out(
    corpus: Path, encoder: Encoder, tmp_path: Path, tone: Callable[..., Path]
) -> None:
    utterances = datadir.read(corpus)
    missing = Path(utterances[3].wav)
    kept = missing.read_bytes()
    missing.unlink()
    (unusable,) = stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    assert (unusable.place, unusable.utt_id, str(unusable)) == (
        f"{missing} (s1-0)",
        "s1-0",
        "no such file",
    )
    assert (tmp_path / "s" / "rejected.tsv").read_text().splitlines()[
        1
    ] == f"s1-0\t{missing}\tno such file"
    store = stores.Store(tmp_path / "s")
    assert store.verify() == 11 and store.rejected == {"s1-0": "no such file"}
    for features in (store, stores.Live(encoder)):
        with pytest.raises(audio.AudioError, match="no such file") as error:
            features.load(utterances[2:5])
        assert error.value.utt_id == "s1-0" and str(missing) in error.value.place
    missing.write_bytes(kept)
    assert stores.write(tmp_path / "s", utterances, encoder, CONFIG) == []
    assert (
        stores.Store(tmp_path / "s").verify() == 12
        and not (tmp_path / "s" / "rejected.tsv").exists()
    )
    for utt in utterances:
        Path(utt.wav).unlink()
    with pytest.raises(UserError, match="none of 12 utterances has usable audio"):
        stores.write(tmp_path / "none", utterances, encoder, CONFIG)


def test_audio_that_was_put_right_is_heard_again(
    corpus: Path, tmp_path: Path, encoder: Encoder
) -> None:
    utterances = datadir.read(corpus)
    first, other = (choose(utterances, key=lambda utt: utt.seconds or 0.0) for choose in (max, min))
    config = StoreConfig(shard_seconds=1.0)

    def frames() -> list[int]:
        stores.write(tmp_path / "s", utterances, encoder, config)
        return [x.shape[1] for x in stores.Store(tmp_path / "s").load([first, other])]

    whole = Path(first.wav).read_bytes()
    soundfile.write(first.wav, audio.load(first.wav)[:4800], audio.SAMPLE_RATE)
    before, shards = frames(), {
        path: path.stat().st_mtime_ns for path in (tmp_path / "s").glob("*.safetensors")
    }
    Path(first.wav).write_bytes(whole)
    Path(other.wav).touch()  # the same sound
    after = frames()
    assert after[0] > before[0] and after[1] == before[1]
    assert (
        len(shards) > 2
        and sum(path.stat().st_mtime_ns != stamp for path, stamp in shards.items()) == 1
    )
    Path(first.wav).write_bytes(b"RIFF")  # what was heard stays
    assert frames() == after
