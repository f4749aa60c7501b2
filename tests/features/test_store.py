"""Encoder and store: padding changes nothing, jobs change nothing, damage is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.cli import app
from serdesc.config import EncoderConfig, StoreConfig
from serdesc.data import audio, datadir, perturb
from serdesc.errors import FailedError, UserError
from serdesc.features import store as stores
from serdesc.features.encoder import Encoder

CPU = torch.device("cpu")


@pytest.fixture
def encoder(tiny_encoder: Path) -> Encoder:
    return Encoder.load(EncoderConfig(model=str(tiny_encoder)), CPU)


def waves(*samples: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(0, 0.1, n).astype(np.float32) for n in samples]


def test_padding_changes_nothing(encoder: Encoder) -> None:
    heard = waves(4000, 9100, 16_000)
    for together, wave in zip(encoder(heard), heard):
        alone = encoder([wave])[0]
        assert together.shape == alone.shape
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seconds, frames", [(1, 49), (4.4, 219), (10, 499), (30, 1499)])
def test_frames_by_the_models_own_length_function(encoder: Encoder, seconds: float, frames: int) -> None:
    assert encoder.frames(int(seconds * 16_000)) == frames


def test_another_family_is_one_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """data2vec, whose configuration says nothing of a norm: its waves are heard one at a time."""
    from transformers import Data2VecAudioConfig, Data2VecAudioModel, Wav2Vec2FeatureExtractor

    from serdesc.features import encoder as encoders

    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "conv_dim": (8,) * 7}
    Data2VecAudioModel(Data2VecAudioConfig(**shape, num_conv_pos_embeddings=2, num_conv_pos_embedding_groups=2)).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="a data2vec-audio model; known are hubert, wavlm, wav2vec2"):
        Encoder.load(EncoderConfig(model=str(tmp_path)), CPU)
    monkeypatch.setattr(encoders, "FAMILIES", (*encoders.FAMILIES, "data2vec-audio"))
    heard = Encoder.load(EncoderConfig(model=str(tmp_path)), CPU)
    assert not heard.batchable and heard(waves(16_000))[0].shape == (2, 49, 16)


def test_layers_are_the_outputs_of_the_transformer_layers_before_the_final_norm(tiny_encoder: Path) -> None:
    from transformers import AutoModel

    wave = waves(8000)[0]
    normal = torch.from_numpy((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))[None]
    model = AutoModel.from_pretrained(tiny_encoder).eval()
    with torch.no_grad():
        out = model(normal, attention_mask=torch.ones_like(normal, dtype=torch.long), output_hidden_states=True)
    x = Encoder.load(EncoderConfig(model=str(tiny_encoder)), CPU)([wave])[0]
    x0 = Encoder.load(EncoderConfig(model=str(tiny_encoder), layers="0..n"), CPU)([wave])[0]
    assert x.shape[0] == 3 and x0.shape[0] == 4
    torch.testing.assert_close(x0[1:], x)
    for layer in (0, 1, 2):  # hidden_states[i] is the input of layer i + 1
        torch.testing.assert_close(x0[layer], out.hidden_states[layer][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.encoder.layer_norm(x[-1]), out.last_hidden_state[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["Hubert", "Wav2Vec2", "WavLM"])
def test_group_norm_models_of_each_family_hear_one_wave_at_a_time(family: str, tmp_path: Path) -> None:
    import transformers

    config = getattr(transformers, f"{family}Config")(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(8,) * 7, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, feat_extract_norm="group",
    )  # fmt: skip
    getattr(transformers, f"{family}Model")(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(tmp_path)
    encoder = Encoder.load(EncoderConfig(model=str(tmp_path)), CPU)
    heard = waves(8000, 5000)
    both = stores.encode(encoder, heard)
    torch.testing.assert_close(both[1], encoder([heard[1]])[0])
    with pytest.raises(AssertionError, match="2 waves in a batch"):
        encoder(heard)


def test_only_the_first_seconds_are_heard(tiny_encoder: Path) -> None:
    encoder = Encoder.load(EncoderConfig(model=str(tiny_encoder), max_seconds=0.5), CPU)
    wave = waves(16_000)[0]
    torch.testing.assert_close(encoder([wave])[0], encoder([wave[:8000]])[0])


def test_an_encoder_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(UserError, match="HF_HUB_OFFLINE=1"):
        Encoder.load(EncoderConfig(model="nobody/no-such-model"), CPU)


# ---- store ----

CONFIG = StoreConfig(dtype="float32", shard_seconds=1.5)


def test_any_number_of_jobs_writes_the_same_bytes(corpus: Path, encoder: Encoder, tmp_path: Path) -> None:
    utterances = datadir.read(corpus)
    for jobs in (1, 2, 5):
        for i in reversed(range(1, jobs + 1)):
            stores.write(tmp_path / str(jobs), utterances, encoder, CONFIG, (i, jobs))
    files = sorted(p.name for p in (tmp_path / "1").iterdir())
    assert len(files) > 4 and "feats.scp" in files
    for jobs in ("2", "5"):
        assert files == sorted(p.name for p in (tmp_path / jobs).iterdir())
        assert all((tmp_path / "1" / f).read_bytes() == (tmp_path / jobs / f).read_bytes() for f in files)


@pytest.mark.parametrize("dtype, error", [("float32", 0), ("float16", 2e-3), ("bfloat16", 2e-2), ("int8", 1e-2)])
def test_stored_features_are_the_live_ones(corpus: Path, encoder: Encoder, tmp_path: Path, dtype: str, error: float) -> None:
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "s", utterances, encoder, StoreConfig(dtype=dtype, shard_seconds=1.5))  # type: ignore[arg-type]
    store, live = stores.Store(tmp_path / "s", encoder.identity()), stores.Live(encoder)
    assert (store.layers, store.width, store.verify()) == (live.layers, live.width, 12)
    for kept, computed in zip(store.load(utterances), live.load(utterances)):
        assert kept.dtype == torch.float32
        torch.testing.assert_close(kept, computed, atol=1e-5 + error * float(computed.abs().max()), rtol=error)


def test_a_stopped_extraction_goes_on_and_a_damaged_shard_is_made_again(corpus: Path, encoder: Encoder, tmp_path: Path) -> None:
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


def test_a_store_of_another_encoder_is_refused_and_kept(corpus: Path, encoder: Encoder, tiny_encoder: Path, tmp_path: Path) -> None:
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    other = Encoder.load(EncoderConfig(model=str(tiny_encoder), layers="0..n"), CPU)
    with pytest.raises(UserError, match="layers is '1..n', expected '0..n'"):
        stores.write(tmp_path / "s", utterances, other, CONFIG)
    torch.nn.init.normal_(encoder.model.encoder.layers[0].attention.k_proj.weight)
    with pytest.raises(UserError, match="weights is"):
        stores.Store(tmp_path / "s", encoder.identity())
    assert stores.Store(tmp_path / "s").verify() == 12


def test_damage_is_found_when_a_store_is_read(corpus: Path, encoder: Encoder, tmp_path: Path) -> None:
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    shard = tmp_path / "s" / "shard-00001.safetensors"
    names = list(load_file(shard))
    shard.write_bytes(shard.read_bytes()[:300])
    with pytest.raises(UserError, match="shard-00001.safetensors: damaged shard"):
        stores.Store(tmp_path / "s").load([u for u in utterances if u.utt_id in names])
    with pytest.raises(UserError, match="no features of 'stranger'"):
        stores.Store(tmp_path / "s").load([replace(utterances[0], utt_id="stranger")])


def test_a_full_disk_names_what_is_needed_and_keeps_what_is_done(
    corpus: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = datadir.read(corpus)
    stores.write(tmp_path / "s", utterances, encoder, CONFIG, (1, 2))
    done = sorted(p.name for p in (tmp_path / "s").glob("shard*"))
    monkeypatch.setattr(stores, "free_gb", lambda folder: 0.0)
    with pytest.raises(FailedError, match="0.00 GB are free.*make\nroom|make room"):
        stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    assert sorted(p.name for p in (tmp_path / "s").iterdir() if p.name.startswith(("shard", "."))) == done


def test_an_utterance_whose_audio_went_bad_is_named_and_left_out(corpus: Path, encoder: Encoder, tmp_path: Path, tone: Callable[..., Path]) -> None:
    utterances = datadir.read(corpus)
    missing = Path(utterances[3].wav)
    kept = missing.read_bytes()
    missing.unlink()
    (unusable,) = stores.write(tmp_path / "s", utterances, encoder, CONFIG)
    assert (unusable.place, unusable.utt_id, str(unusable)) == (f"{missing} (s1-0)", "s1-0", "no such file")
    assert (tmp_path / "s" / "rejected.tsv").read_text().splitlines()[1] == f"s1-0\t{missing}\tno such file"
    store = stores.Store(tmp_path / "s")
    assert store.verify() == 11 and store.rejected == {"s1-0": "no such file"}
    for features in (store, stores.Live(encoder)):
        with pytest.raises(audio.AudioError, match="no such file") as error:
            features.load(utterances[2:5])
        assert error.value.utt_id == "s1-0" and str(missing) in error.value.place
    missing.write_bytes(kept)
    assert stores.write(tmp_path / "s", utterances, encoder, CONFIG) == []
    assert stores.Store(tmp_path / "s").verify() == 12 and not (tmp_path / "s" / "rejected.tsv").exists()
    for utt in utterances:
        Path(utt.wav).unlink()
    with pytest.raises(UserError, match="none of 12 utterances has usable audio"):
        stores.write(tmp_path / "none", utterances, encoder, CONFIG)


# ---- live where a store would not fit ----


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_the_size_is_known_before_anything_is_stored(corpus: Path, encoder: Encoder, tmp_path: Path, dtype: str) -> None:
    utterances = datadir.read(corpus)
    config = StoreConfig(dtype=dtype, shard_seconds=1.5)  # type: ignore[arg-type]
    stores.write(tmp_path / "s", utterances, encoder, config)
    held = sum(tensor.nbytes for shard in (tmp_path / "s").glob("shard*") for tensor in load_file(shard).values())
    assert stores.size(utterances, encoder, config) == pytest.approx(held, rel=0.05)


def test_features_that_would_not_fit_are_computed_live(corpus: Path, tiny_settings: list[str], tmp_path: Path) -> None:
    settled = configs.load(None, tiny_settings)
    options = [str(corpus), str(tmp_path / "s"), *(part for setting in tiny_settings for part in ("--set", setting))]

    def extract(*more: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["extract", *options, *more])
        return result.exit_code, result.output

    code, said = extract("--max-disk", "0.00001")
    assert code == 0 and "GB, more than 1e-05 GB (--max-disk): they are computed live" in said
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["header.json"]
    features = stores.open_features(str(tmp_path / "s"), settled, CPU)
    assert isinstance(features, stores.Live)
    with pytest.raises(UserError, match="layers is '1..n', expected '0..n'"):
        stores.open_features(str(tmp_path / "s"), configs.load(None, [*tiny_settings, "encoder.layers=0..n"]), CPU)
    with pytest.raises(UserError, match="computed live"):
        stores.Store(tmp_path / "s")
    assert extract("--max-disk", "1")[0] == 0  # with room it becomes a store
    kept = stores.open_features(str(tmp_path / "s"), settled, CPU)
    assert isinstance(kept, stores.Store) and kept.made_by == features.made_by and kept.verify() == 12
    code, said = extract("--max-disk", "0.00001")
    assert code == 2 and "is a feature store already" in said


def test_audio_that_was_put_right_is_heard_again(corpus: Path, tmp_path: Path, encoder: Encoder) -> None:
    utterances = datadir.read(corpus)
    first, other = (choose(utterances, key=lambda utt: utt.seconds or 0.0) for choose in (max, min))
    config = StoreConfig(shard_seconds=1.0)

    def frames() -> list[int]:
        stores.write(tmp_path / "s", utterances, encoder, config)
        return [x.shape[1] for x in stores.Store(tmp_path / "s").load([first, other])]

    whole = Path(first.wav).read_bytes()
    soundfile.write(first.wav, audio.load(first.wav)[:4800], audio.SAMPLE_RATE)
    before, shards = frames(), {path: path.stat().st_mtime_ns for path in (tmp_path / "s").glob("*.safetensors")}
    Path(first.wav).write_bytes(whole)
    Path(other.wav).touch()  # the same sound
    after = frames()
    assert after[0] > before[0] and after[1] == before[1]
    assert len(shards) > 2 and sum(path.stat().st_mtime_ns != stamp for path, stamp in shards.items()) == 1
    Path(first.wav).write_bytes(b"RIFF")  # what was heard stays
    assert frames() == after


def test_copies_at_other_speeds_are_made_anew_when_their_source_is(corpus: Path, tmp_path: Path) -> None:
    utt = datadir.read(corpus)[0]
    whole = audio.load(utt.wav)
    soundfile.write(utt.wav, whole[:4800], audio.SAMPLE_RATE)
    assert perturb.copies([utt], [0.8], tmp_path / "p", 1)[0].seconds == pytest.approx(0.375)
    soundfile.write(utt.wav, whole, audio.SAMPLE_RATE)
    assert perturb.copies([utt], [0.8], tmp_path / "p", 1)[0].seconds == pytest.approx(len(whole) / 16_000 / 0.8, abs=0.01)
