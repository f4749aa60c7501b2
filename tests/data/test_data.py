"""Data directories, audio, measures, labels and folds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Iterator

import librosa
import numpy as np
import pytest
import soundfile

from serdesc import config as configs
from serdesc.captions.fields import Fields
from serdesc.data import annotate, audio, datadir, descriptors, espeak, folds, perturb, prepare
from serdesc.data.corpora import mini
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.files import read_json, write_json
from serdesc.training.examples import examples

# ---- data directories ----


def test_a_data_directory_reads_back_as_it_was_written(corpus: Path, tmp_path: Path) -> None:
    utterances = datadir.read(corpus)
    assert len(utterances) == 12 and utterances[0].gender == "female" and utterances[0].emphasis == ("now",)
    full = [replace(u, measure={"pitch": 1.5}, labels=Fields("a", "sad", gender="male"), caption="A man.", age=7.5) for u in utterances]
    datadir.write(tmp_path / "copy", full)
    assert datadir.read(tmp_path / "copy") == full
    datadir.write(tmp_path / "copy", utterances)  # what is no longer known leaves no file behind
    assert datadir.read(tmp_path / "copy") == utterances


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("text", lambda lines: lines[::-1], "sort the file"),
        ("text", lambda lines: lines[:1] + lines, "listed twice"),
        ("text", lambda lines: lines[1:], "no line for 's0-0'"),
        ("utt2emo", lambda lines: [*lines, "zz angry\n"], "'zz' is not in wav.scp"),
        ("utt2spk", lambda lines: ["\n", *lines], "utt2spk:1: empty line"),
        ("utt2dur", lambda lines: ["s0-0 long\n", *lines[1:]], "'long' where a number"),
        ("spk2gender", lambda lines: [lines[0].replace(" f", " woman"), *lines[1:]], "'woman' where m or f"),
        ("utt2emo", lambda lines: [*lines[:2], "s0-2 furious\n", *lines[3:]], "utt2emo:3: 'furious' where one of angry, calm.* 's0-2'"),
    ],
)
def test_faults_of_a_data_directory_are_named(corpus: Path, name: str, change: Callable[[list[str]], list[str]], message: str) -> None:
    lines = (corpus / name).read_text().splitlines(keepends=True)
    (corpus / name).write_text("".join(change(lines)))
    with pytest.raises(UserError, match=message):
        datadir.read(corpus)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("text", "s0-0 caf\u00e9\n".encode("latin-1"), "text:1: not UTF-8: byte 8 is 0xe9.*iconv -f WINDOWS-1252 -t UTF-8 text"),
        ("utt2sed.jsonl", b'{"emotion": "sad"}\n', "utt2sed.jsonl:1: .*'emotion': 'sad'.* where an object with a text utt_id"),
        ("utt2sed.jsonl", b'{"utt_id": "s0-0"}\n{"utt_id": "s0-1", "emotion": "furious"}\n', "utt2sed.jsonl:2: 's0-1': emotion is 'furious'"),
        ("utt2sed.jsonl", b'{"utt_id": "s0-0", "emphasis": 5}\n', "utt2sed.jsonl:1: 's0-0': "),
        ("utt2measure.jsonl", b"[1, 2]\n", r"utt2measure.jsonl:1: \[1, 2\] where an object"),
        ("utt2measure.jsonl", b"\xff\n", "utt2measure.jsonl:1: not UTF-8"),
    ],
)
def test_files_of_another_encoding_or_form_are_named(corpus: Path, name: str, content: bytes, message: str) -> None:
    (corpus / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        datadir.read(corpus)


def test_a_byte_order_mark_is_no_part_of_an_id(corpus: Path) -> None:
    before = datadir.read(corpus)
    (corpus / "text").write_bytes(b"\xef\xbb\xbf" + (corpus / "text").read_bytes())
    assert datadir.read(corpus) == before


def test_a_missing_data_directory_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="serdesc prepare"):
        datadir.read(tmp_path / "none")


# ---- audio ----


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 8000}, {"rate": 48_000}, {"channels": 2}, {"subtype": "PCM_24"}, {"name": "x.flac"}, {"name": "x.ogg"}, {"subtype": "FLOAT"},
        {"rate": 44_100, "channels": 6, "subtype": "PCM_24"},
    ],
)  # fmt: skip
def test_any_audio_becomes_one_channel_at_16_khz(tone: Callable[..., Path], options: dict[str, object]) -> None:
    wave = audio.load(tone(seconds=1.0, **options))
    assert wave.dtype == np.float32 and wave.ndim == 1 and abs(len(wave) - 16_000) <= 1
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    assert abs(int(spectrum.argmax()) - 220) <= 4  # still the same tone


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """For each kind of fault a file, and what is said of it."""
    rng = np.random.default_rng(0)
    files = {
        "missing": "no such file", "empty": "not readable as audio", "no samples": "empty: no samples", "text": "not readable as audio",
        "nan": "not numbers", "silent": "silent",
    }  # fmt: skip
    paths = {kind: folder / f"{kind}.wav" for kind in files}
    paths["empty"].write_bytes(b"")
    paths["text"].write_text("this is not audio\n" * 20)
    soundfile.write(paths["no samples"], np.zeros(0), 16_000)
    soundfile.write(paths["nan"], np.where(np.arange(8000) == 17, np.nan, rng.normal(0, 0.1, 8000)), 16_000, subtype="FLOAT")
    soundfile.write(paths["silent"], np.zeros(16_000), 16_000)
    found = {kind: (path, files[kind]) for kind, path in paths.items()}
    for name, subtype, reason in (
        ("t.flac", "PCM_16", "not readable"), ("t.wav", "PCM_16", "cut off: the header declares 160000 samples, the file holds 79989"),
        ("f.wav", "FLOAT", "cut off"), ("t.aiff", "PCM_16", "cut off"), ("t.au", "PCM_16", "cut off"), ("t.mp3", "MPEG_LAYER_III", "cut off"),
        ("v.ogg", "VORBIS", "cut off: the last page"), ("o.ogg", "OPUS", "cut off: the last page"),
    ):  # fmt: skip
        soundfile.write(folder / name, 0.3 * np.sin(np.arange(160_000) / 9 + rng.normal(0, 0.1, 160_000)), 16_000, subtype=subtype)
        found[name] = (folder / f"cut-{name}", reason)
        assert len(audio.load(folder / name)) == pytest.approx(160_000, abs=1200), name
        found[name][0].write_bytes((whole := (folder / name).read_bytes())[: len(whole) // 2])
    return found


def test_a_wav_from_a_pipe_knows_no_length_and_a_segment_before_the_cut_is_whole(tmp_path: Path, tone: Callable[..., Path]) -> None:
    whole = bytearray(tone(seconds=1.0).read_bytes())
    (tmp_path / "cut.wav").write_bytes(whole[:20_044])
    assert len(audio.load(tmp_path / "cut.wav", span=(0.1, 0.5))) == 6400
    for unknown in (b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"):  # as ffmpeg and sox write it
        whole[40:44] = unknown
        (tmp_path / "piped.wav").write_bytes(whole)
        assert len(audio.load(tmp_path / "piped.wav")) == 16_000


def test_unusable_audio_is_refused_with_its_reason(tmp_path: Path, tone: Callable[..., Path]) -> None:
    for kind, (path, reason) in broken_files(tmp_path).items():
        with pytest.raises(audio.AudioError, match=reason):
            audio.load(path)
            pytest.fail(f"{kind} was accepted")


def test_mini_speaks_a_recording_that_is_none_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini, "lines", lambda every=mini.lines(): every[:2])
    mini.make(tmp_path, configs.Config().prepare, 1)
    first, second = sorted(tmp_path.iterdir())
    whole = first.read_bytes()
    first.write_bytes(b"")
    mini.make(tmp_path, configs.Config().prepare, 1)
    assert first.read_bytes() == whole and len([*mini.utterances(tmp_path)]) == 2


def test_speechocean_as_it_is_published(tmp_path: Path, tone: Callable[..., Path]) -> None:
    """WAVE/ beside the parts, suffixes in capitals."""
    (tmp_path / "so" / "train").mkdir(parents=True)
    for name, line in (("text", "1 MARK\n"), ("utt2spk", "1 0007\n"), ("spk2gender", "0007 m\n"), ("spk2age", "0007 6\n")):
        (tmp_path / "so" / "train" / name).write_text(line)
    (tmp_path / "so" / "WAVE" / "SPEAKER0007").mkdir(parents=True)
    tone("a.wav").rename(tmp_path / "so" / "WAVE" / "SPEAKER0007" / "1.WAV")
    accepted, rejected = prepare.prepare("speechocean", tmp_path / "so" / "train", tmp_path / "data", configs.Config().prepare, nj=1)
    assert [(u.utt_id, u.age, u.text) for u in accepted] == [("so0007-1", 6.0, "mark")] and not rejected


def test_data_without_lengths_is_timed_and_speeds_are_prepared_before_they_are_trained_on(corpus: Path, tmp_path: Path) -> None:
    (corpus / "utt2dur").unlink()
    annotate.annotate(corpus, configs.Config(), nj=1)
    assert all(utt.seconds == pytest.approx(audio.seconds(utt.wav), abs=1e-3) for utt in datadir.read(corpus / "fold1" / "train"))
    write_json(corpus / prepare.PREPARE_RECORD, {"corpus": "tones", "settings": {"speeds": []}})
    with pytest.raises(UserError, match=r"prepared with prepare.speeds \[\], the configuration has \[0.9\]"):
        annotate.annotate(corpus, configs.load(settings=["prepare.speeds=[0.9]"]), nj=1)


def test_a_full_disk_is_told_whoever_writes(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *given: object, **more: object) -> None:
        Path(path).write_bytes(b"R")
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(FailedError, match=r"sp0.9-s0-0.flac: could not be written .*make room"):
        perturb._copy(datadir.read(corpus)[0], 0.9, tmp_path)
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*"))


def test_preparing_costs_the_bad_files_alone(tmp_path: Path, tone: Callable[..., Path]) -> None:
    chapter = tmp_path / "src" / "dev" / "19" / "198"
    chapter.mkdir(parents=True)
    bad = broken_files(tmp_path)
    lines = []
    for i, (path, _) in enumerate(bad.values()):
        lines.append(f"19-198-{i:04d} BAD ONE")
        if path.exists():
            (chapter / f"19-198-{i:04d}{path.suffix}").write_bytes(path.read_bytes())
    for i, seconds in enumerate((1.0, 0.05, 70.0), start=100):
        tone(f"t{i}.wav", seconds=seconds).rename(chapter / f"19-198-{i:04d}.wav")
        lines.append(f'19-198-{i:04d} IT IS "GOOD"')
    (chapter / "19-198.trans.txt").write_text("\n".join(lines) + "\n")
    accepted, rejected = prepare.prepare("librispeech", tmp_path / "src", tmp_path / "data", configs.Config().prepare, nj=2)
    assert [(u.utt_id, u.text, u.seconds) for u in accepted] == [("19-198-0100", "it is 'good'", 1.0)]
    listed = (tmp_path / "data" / "rejected.tsv").read_text()
    assert len(rejected) == len(bad) + 2 and listed.count("\n") == len(rejected) + 1
    assert "too short: 0.050 s" in listed and "too long: 70.0 s" in listed
    assert datadir.read(tmp_path / "data") == accepted


def test_segments_of_long_recordings_are_heard_where_they_stand(tmp_path: Path) -> None:
    """An utterance of a recording has the recording's samples between its times, and only recordings stand in wav.scp."""
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000).astype(np.float32)
    soundfile.write(tmp_path / "long.flac", wave, 16_000, subtype="PCM_24")
    spans = {"rec_S1": (0.25, 1.0), "rec_S2": (1.5, 3.0)}
    utterances = [Utterance(i, str(tmp_path / "long.flac"), "a", text="x", recording="rec", span=span) for i, span in spans.items()]
    assert datadir.write(tmp_path / "data", utterances) == datadir.read(tmp_path / "data")
    assert (tmp_path / "data" / "wav.scp").read_text() == f"rec {tmp_path}/long.flac\n"
    assert (tmp_path / "data" / "segments").read_text() == "rec_S1 rec 0.250 1.000\nrec_S2 rec 1.500 3.000\n"
    for utt in datadir.read(tmp_path / "data"):
        first, last = (int(16_000 * second) for second in spans[utt.utt_id])
        np.testing.assert_allclose(audio.load(utt.wav, span=utt.span), wave[first:last], atol=1e-6)
    assert len(audio.load(str(tmp_path / "long.flac"), max_seconds=0.5, span=(1.5, 3.0))) == 8000
    with pytest.raises(audio.AudioError, match="ends at 3.00 s"):
        audio.load(str(tmp_path / "long.flac"), span=(2.0, 3.1))
    (tmp_path / "data" / "segments").write_text("rec_S1 rec 0.250 0.1\nrec_S2 other 1.500 3.000\n")
    with pytest.raises(UserError, match="from 0.25 to 0.1 s") as error:
        datadir.read(tmp_path / "data")
    assert "recording 'other'" in str(error.value)


def test_spans_of_a_long_opus_file_are_found_and_repeat_exactly(tmp_path: Path) -> None:
    """Random access differs from decoding it all by the codec's state alone, and an utterance never hears another second."""
    t = np.arange(120 * 16_000) / 16_000
    wave = 0.2 * np.sin(2 * np.pi * np.cumsum(200 + 20 * np.floor(t)) / 16_000)  # each second has a pitch of its own
    path = tmp_path / "long.opus"
    soundfile.write(path, wave, 16_000, format="OGG", subtype="OPUS")
    whole = audio.load(path)
    for start in np.random.default_rng(0).uniform(0, 115, 40):
        span = (float(start), float(start) + 2.5)
        part = audio.load(path, span=span)
        first = round(span[0] * 16_000)
        np.testing.assert_allclose(part, whole[first : first + 40_000], atol=0.0025)
        assert np.array_equal(part, audio.load(path, span=span))


def test_an_unknown_corpus_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="known are iemocap, librispeech, meld, mini, ravdess"):
        prepare.prepare("nope", tmp_path, tmp_path / "d", configs.Config().prepare, 1)


# ---- measures and labels ----


def test_pitch_measure_rises_with_the_tone_and_energy_ignores_gain() -> None:
    t = np.arange(16_000) / 16_000
    low, high = (np.sin(2 * np.pi * f * t).astype(np.float32) for f in (300.0, 900.0))
    settings = configs.MeasureConfig()
    assert abs(descriptors.measure(low, None, settings)["pitch"] - 300) < 15
    assert abs(descriptors.measure(high, None, settings)["pitch"] - 900) < 15
    a, b = descriptors.measure(high, None, settings), descriptors.measure(high * 0.01, None, settings)
    assert a["energy"] == pytest.approx(b["energy"], abs=1e-3)


def test_energy_measure_falls_with_pauses_and_trimming_raises_it() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.1, 32_000).astype(np.float32)
    paused = noise * (np.arange(32_000) // 4000 % 2)
    edged = np.concatenate([np.zeros(16_000, np.float32), noise])
    plain = configs.MeasureConfig()
    assert descriptors.measure(paused, None, plain)["energy"] < descriptors.measure(noise, None, plain)["energy"] - 0.1
    trimmed = descriptors.measure(edged, None, configs.MeasureConfig(trim=True))["energy"]
    assert trimmed > descriptors.measure(edged, None, plain)["energy"] + 0.1


def test_a_true_f0_and_syllables_by_key() -> None:
    t = np.arange(32_000) / 16_000
    for hertz in (110.0, 220.0):
        wave = sum(0.1 * np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 12)).astype(np.float32)
        measured = descriptors.measure(wave, "my sister is painting seven windows", configs.MeasureConfig(pitch="f0", speed="syllable"))
        assert measured["pitch"] == pytest.approx(hertz, rel=0.02) and measured["rate"] == pytest.approx(10 / 2)
        assert "speed" not in measured
    slow = librosa.effects.time_stretch(wave, rate=0.5)
    assert descriptors.measure(slow, "seven", configs.MeasureConfig(speed="syllable"))["rate"] == pytest.approx(2 / 4)
    assert "pitch" not in descriptors.measure(np.zeros(16_000, np.float32), None, configs.MeasureConfig(pitch="f0"))
    rates = [Utterance(f"u{i}", "", "s", measure={"rate": float(i)}) for i in range(9)]
    assert [descriptors.labels(utt, descriptors.fit(rates)).speed for utt in rates] == ["slow"] * 3 + ["normal"] * 3 + ["fast"] * 3


def test_speed_measure_is_seconds_a_phoneme_and_only_the_first_seconds_are_measured() -> None:
    assert espeak.phonemes("kids are talking") == ["k", "I", "d", "z", "A@", "t", "O", "k", "I", "N"] or len(espeak.phonemes("kids are talking")) in (
        10,
        11,
    )
    rng = np.random.default_rng(2)
    wave = rng.normal(0, 0.1, 16_000).astype(np.float32)
    settings = configs.MeasureConfig()
    count = len(espeak.phonemes("one two three"))
    assert descriptors.measure(wave, "one two three", settings)["speed"] == pytest.approx(1 / count, rel=1e-3)
    assert descriptors.measure(np.tile(wave, 2), "one two three", settings)["speed"] == pytest.approx(2 / count, rel=1e-3)
    assert "speed" not in descriptors.measure(wave, "", settings)
    first = descriptors.measure(wave, None, configs.MeasureConfig(seconds=0.5))
    assert first == descriptors.measure(np.concatenate([wave[:8000], wave[:8000] * 3]), None, configs.MeasureConfig(seconds=0.5))


def test_bins_by_sex_and_thirds_ties_below() -> None:
    def utt(i: int, gender: str) -> Utterance:
        return Utterance(f"u{i:03d}", "", "s", gender=gender, measure={"pitch": float(i), "energy": float(i), "speed": float(i)})

    training = [utt(i, gender) for gender in ("female", "male") for i in range(101)]
    thresholds = descriptors.fit(training)
    assert thresholds.pitch == {"female": (10.0, 60.0), "male": (40.0, 90.0)}
    assert thresholds.energy == pytest.approx((33.333, 66.667), abs=0.5)
    said = {(g, i): descriptors.labels(utt(i, g), thresholds) for g in ("female", "male") for i in (10, 11, 40, 60, 61, 90, 91)}
    assert [said["female", i].pitch for i in (10, 11, 60, 61)] == ["low", "normal", "normal", "high"]
    assert [said["male", i].pitch for i in (40, 60, 90, 91)] == ["low", "normal", "normal", "high"]
    assert (said["male", 10].speed, said["male", 40].speed, said["male", 91].speed) == ("fast", "normal", "slow")
    alone = descriptors.fit([utt(5, "male")])
    assert descriptors.labels(utt(5, "male"), alone).pitch == "low" and descriptors.labels(utt(5, "female"), alone).pitch is None


def test_official_speechcraft_labels_are_reproduced(real_data: Callable[[str], Path]) -> None:
    """All 220 strings, letter by letter, from the published raw values."""
    folder = real_data("speechcraft")
    rows = [line.split("\t")[1:] for line in (folder / "labels_LJspeech_0.scp").read_text().splitlines()]
    utterances = [
        Utterance(
            utt_id, "", utt_id, text=text.strip(), age=float(age), gender={"f": "female", "m": "male"}[gender[0].lower()], emotion=emotion,
            measure={"pitch": float(pitch), "energy": float(energy), "speed": float(speed)},
        )
        for utt_id, age, gender, pitch, energy, speed, emotion, text in rows
    ]  # fmt: skip
    thresholds = descriptors.fit(utterances)
    official = json.loads((folder / "labels_LJspeech_0.json").read_text())
    assert len(official) == len(utterances) == 220
    for utt in utterances:
        f = descriptors.labels(utt, thresholds)
        said = {"age": str(f.age).capitalize(), "gender": f.gender, "pitch": f.pitch, "volume": f.energy, "speed": f.speed, "emotion": f.emotion}
        string = "\t".join(f"{key}:{value}" for key, value in said.items()) + f"\ttranscription: {utt.text}"
        assert string == official[f"LJSpeech_{utt.utt_id}"]["labels"]


# ---- folds ----


def test_emobox_leaves_out_what_is_longer_than_its_limit(real_data: Callable[[str], Path]) -> None:
    """Two of IEMOCAP's fifth session: 1239 of 1241."""
    rows = [line.split("\t") for line in (real_data("lists") / "iemocap_5531.tsv").read_text().splitlines()[1:]]
    utterances = [Utterance(i, "", f"{i[:5]}{i[-4]}", seconds=float(seconds), session=i[:5]) for i, _, _, seconds in rows]
    sizes = {
        protocol: [len(fold.test) for fold in folds.split(utterances, configs.load(settings=[f"folds.protocol={protocol}"]).folds, 1)]
        for protocol in ("all", "emobox")
    }
    assert sizes == {"all": [1085, 1023, 1151, 1031, 1241], "emobox": [1085, 1023, 1151, 1031, 1239]}


def test_folds_never_share_a_speaker_and_test_everything_once(corpus: Path) -> None:
    utterances = datadir.read(corpus)
    made = folds.split(utterances, configs.FoldsConfig(rule="session"), seed=1)
    assert [f.number for f in made] == [1, 2]
    assert sorted(u.utt_id for f in made for u in f.test) == [u.utt_id for u in utterances]
    for fold in made:
        assert not {u.spk for u in fold.train} & {u.spk for u in fold.test}
    with_dev = folds.split(utterances, configs.FoldsConfig(dev="speakers", dev_fraction=0.5), seed=1)[0]
    assert with_dev.dev and not {u.spk for u in with_dev.dev} & {u.spk for u in with_dev.train}
    listed = folds.split(utterances, configs.FoldsConfig(rule="speakers", test_speakers=[["s0", "s1"], ["s2"], ["s3"]], labels=["angry", "sad"]), 1)
    assert [len(f.test) for f in listed] == [4, 2, 2]


def test_faulty_folds_are_refused(corpus: Path) -> None:
    utterances = datadir.read(corpus)
    with pytest.raises(UserError, match="no fold tests: s2 s3"):
        folds.split(utterances, configs.FoldsConfig(rule="speakers", test_speakers=[["s0"], ["s1"]]), 1)
    mixed = [replace(u, spk="s0") for u in utterances]
    with pytest.raises(UserError, match="speakers s0 are in training and in test"):
        folds.split(mixed, configs.FoldsConfig(rule="session"), 1)
    with pytest.raises(UserError, match="utt2session"):
        folds.split([replace(u, session=None) for u in utterances], configs.FoldsConfig(), 1)


def test_thresholds_do_not_move_with_the_test_part(corpus: Path) -> None:
    config = configs.Config()
    annotate.annotate(corpus, config, nj=1)
    before = {k: (corpus / f"fold{k}" / "thresholds.json").read_text() for k in (1, 2)}
    for utt in datadir.read(corpus):
        if utt.session == "session0":  # fold 1's test part: an octave up, and slower
            wave, rate = soundfile.read(utt.wav)
            soundfile.write(utt.wav, np.repeat(wave[::2], 3), rate)
    (corpus / "utt2measure.jsonl").unlink()
    annotate.annotate(corpus, config, nj=2)
    assert (corpus / "fold1" / "thresholds.json").read_text() == before[1]
    assert (corpus / "fold2" / "thresholds.json").read_text() != before[2]


def test_annotated_parts_are_data_directories_with_what_the_captions_say(corpus: Path) -> None:
    from serdesc.captions import reader

    annotate.annotate(corpus, configs.Config(), nj=1)
    part = datadir.read(corpus / "fold1" / "test")
    assert [u.session for u in part] == ["session0"] * 6
    for utt in part:
        assert utt.labels is not None and utt.labels.age is None and reader.read(utt.caption or "") == utt.labels


def test_annotating_costs_the_bad_files_alone(corpus: Path, tone: Callable[..., Path]) -> None:
    """A user's own directory, which no `prepare` has looked at: bad files are listed and in no fold, and are tried again when they are mended."""
    first, second = datadir.read(corpus)[:2]
    before = (corpus / "wav.scp").read_bytes()
    whole = Path(first.wav).read_bytes()
    Path(first.wav).write_bytes(whole[:20])
    Path(second.wav).unlink()
    datadir.write_rejected(corpus, [("earlier", "x.wav", "too long")])
    fold, _ = annotate.annotate(corpus, configs.Config(), nj=2)
    assert len(fold.test) == 4 and len(datadir.read(corpus / "fold2" / "train")) == 4
    reasons = {utt_id: reason for utt_id, _, reason in datadir.read_rejected(corpus)}
    assert list(reasons) == ["earlier", first.utt_id, second.utt_id] and reasons[second.utt_id] == "no such file"
    assert (corpus / "wav.scp").read_bytes() == before, "nothing of the user's is taken away"
    Path(first.wav).write_bytes(whole)
    tone(Path(second.wav).name, seconds=0.5)
    assert len(annotate.annotate(corpus, configs.Config(), nj=1)[0].test) == 6
    assert [row[0] for row in datadir.read_rejected(corpus)] == ["earlier"]
    for utt in datadir.read(corpus):
        Path(utt.wav).unlink()
    (corpus / "utt2measure.jsonl").unlink()
    with pytest.raises(UserError, match="none of 12 utterances can be used"):
        annotate.annotate(corpus, configs.Config(), nj=1)


def test_a_stopped_annotation_keeps_its_measures(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    real = annotate.descriptors.measure

    def stop_at_seven(*args: object) -> dict[str, float]:
        measured.append("")
        if len(measured) == 7:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    @contextmanager
    def here(_: int) -> Iterator[object]:  # a pool of this process, so that what is patched is called
        yield SimpleNamespace(map=lambda function, *items, chunksize: map(function, *items))

    monkeypatch.setattr(annotate.descriptors, "compile_librosa", lambda config: None)
    monkeypatch.setattr(annotate, "BLOCK", 3)
    monkeypatch.setattr(annotate, "ProcessPoolExecutor", here)
    monkeypatch.setattr(annotate.descriptors, "measure", stop_at_seven)
    with pytest.raises(KeyboardInterrupt):
        annotate.annotate(corpus, configs.Config(), nj=1)
    assert sum(utt.measure is not None for utt in datadir.read(corpus)) == 6
    annotate.annotate(corpus, configs.Config(), nj=1)
    assert len(measured) == 7 + 6, "only what is not there yet is measured"
    stopped = (corpus / "utt2measure.jsonl").read_bytes()
    (corpus / "measure.json").unlink()
    annotate.annotate(corpus, configs.Config(), nj=1)
    assert (corpus / "utt2measure.jsonl").read_bytes() == stopped


def test_a_configuration_that_prepares_otherwise_is_refused(corpus: Path) -> None:
    (corpus / "prepare.json").write_text(json.dumps({"corpus": "iemocap", "settings": {"excited": "excited", "turns": "all"}}))
    with pytest.raises(UserError, match="prepared with prepare.excited excited, the configuration has happy. Prepare it again"):
        annotate.annotate(corpus, configs.Config(), nj=1)
    annotate.annotate(corpus, configs.load(settings=["prepare.excited=excited"]), nj=1)
    made = read_json(corpus / "labelled.json")
    assert (made["corpus"], made["settings"]["excited"], made["folds"]["protocol"]) == ("iemocap", "excited", "all")
    with pytest.raises(UserError, match="folds.labels: no utterance is excited; the data has angry, happy, sad"):
        annotate.annotate(corpus, configs.load(settings=["prepare.excited=excited", "folds.labels=[happy, excited]"]), nj=1)


def test_what_an_earlier_run_made_does_not_stay(corpus: Path) -> None:
    """Parts, folds, thresholds and adjusted.tsv of other settings; a file that somebody else put there does."""
    annotate.annotate(corpus, configs.load(settings=["folds.dev=utterances", "encoder.max_seconds=0.5"]), nj=1)
    assert (corpus / "fold1" / "dev" / "wav.scp").exists() and (corpus / "adjusted.tsv").exists()
    (corpus / "fold2" / "notes.txt").write_text("mine")
    (corpus / "folder").mkdir()
    annotate.annotate(corpus, configs.load(settings=["folds.rule=none", "measure.source=corpus"]), nj=1)
    left = sorted(str(path.relative_to(corpus)) for folder in corpus.glob("fold*") for path in [folder, *folder.iterdir()])
    assert left == ["fold1", "fold1/train", "fold2", "fold2/notes.txt", "folder"] and not (corpus / "adjusted.tsv").exists()


def test_paths_are_written_from_the_root(tmp_path: Path, tone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `prepare` was called from makes no difference to who reads the data later."""
    (tmp_path / "src" / "Actor_01").mkdir(parents=True)
    tone().rename(tmp_path / "src" / "Actor_01" / "03-01-01-01-01-01-01.wav")
    monkeypatch.chdir(tmp_path)
    prepare.prepare("ravdess", Path("src"), Path("data"), configs.load(settings=["prepare.speeds=[0.9]", "prepare.gigaspeech=g.json"]).prepare, 1)
    monkeypatch.chdir("/")
    for utt in datadir.read(tmp_path / "data"):
        assert utt.wav.startswith(str(tmp_path)) and Path(utt.wav).exists()
    assert read_json(tmp_path / "data" / "prepare.json")["settings"]["gigaspeech"] == str(tmp_path / "g.json")


# ---- mini ----


def test_minis_generator_is_the_frozen_one() -> None:
    recipe = configs.load(Path(__file__).parents[2] / "egs/mini/conf/mini.yaml")
    assert mini.fingerprint() == recipe.prepare.fingerprint
    with pytest.raises(UserError, match="would not be comparable"):
        mini.make(Path("unused"), configs.load(None, ["prepare.fingerprint='0000'"]).prepare, 1)


def test_mini_is_what_its_page_says() -> None:
    lines = mini.lines()
    vocabulary = {word for line in lines for word in line.words}
    assert len(lines) == 1000 and len(vocabulary) <= 300
    session = {line.utt_id: line.utt_id[:2] for line in lines}
    for tested in ("01", "02", "03", "04", "05"):
        trained = [line for line in lines if session[line.utt_id] != tested]
        test = [line for line in lines if session[line.utt_id] == tested]
        assert {w for line in test for w in line.words} <= {w for line in trained for w in line.words}
        assert not {line.words for line in test} & {line.words for line in trained}
    spoken = {(line.utt_id[:3], line.words): set() for line in lines}
    for line in lines:
        spoken[line.utt_id[:3], line.words].add(line.emotion)
    assert all(len(emotions) == 4 for emotions in spoken.values())
    assert len({line.voice for line in lines}) == 10


def test_made_speech_is_the_same_in_any_order_and_number_of_jobs(tmp_path: Path) -> None:
    from serdesc.data import acting

    some = mini.lines()[::250]
    for name, order, nj in (("a", range(4), 1), ("b", reversed(range(4)), 3)):
        (tmp_path / name).mkdir()
        espeak.run_forked(lambda i: acting.write(some[i], tmp_path / name / f"{i}.wav"), order, nj)
    for i in range(4):
        assert (tmp_path / "a" / f"{i}.wav").read_bytes() == (tmp_path / "b" / f"{i}.wav").read_bytes()


def test_ravdess_as_it_is(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    from serdesc.data.corpora import ravdess

    utterances = list(ravdess.utterances(real_data("ravdess")))
    assert len(utterances) == 1080 and len({u.spk for u in utterances}) == 18
    assert sum(u.emotion == "neutral" for u in utterances) == 72 and sum(u.emotion == "angry" for u in utterances) == 144
    config = configs.load(Path(__file__).parents[2] / "egs/ravdess/conf/eight.yaml")
    made = folds.split(utterances, config.folds, 1)
    assert len(made) == 5
    for fold in made:
        assert {u.gender for u in fold.test} == {"female", "male"}


def test_a_breathy_voice_is_the_same_whenever_it_speaks(tmp_path: Path) -> None:
    """espeak-ng seeds breath with the time of day, to a second; what mini's two breathy voices say must not depend on it."""
    code = (
        "import sys, numpy; from serdesc.data import espeak\n"
        "def job(i): numpy.save(sys.argv[1], espeak.synthesise('<speak>all is quiet</speak>', 'en-us+f2')[0])\n"
        "espeak.run_forked(job, [0])"
    )
    for name in ("one", "other"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / f"{name}.npy")], check=True, cwd=Path(__file__).parents[2])
        time.sleep(1.1)
    one, other = (np.load(tmp_path / f"{name}.npy") for name in ("one", "other"))
    assert len(one) > 10_000 and np.array_equal(one, other)


# ---- copies at other speeds ----


def test_copies_at_other_speeds_are_heard_in_training_alone(corpus: Path, tmp_path: Path) -> None:
    """Lengths and pitch go with the speed; a test part has neither a copy nor a threshold that a copy moved; an epoch hears one of them."""
    source = datadir.read(corpus)
    copies = perturb.copies(source, [0.8, 1.25], tmp_path / "perturbed", nj=2)
    assert (
        len(copies) == 24 and {c.uniq for c in copies} == {u.utt_id for u in source} and {c.spk for c in copies}.isdisjoint({u.spk for u in source})
    )
    slow = next(c for c in copies if c.utt_id == "sp0.8-s0-0")
    wave, original = audio.load(slow.wav), audio.load(source[0].wav)
    assert len(wave) == pytest.approx(len(original) / 0.8, abs=2) and slow.seconds == pytest.approx(len(wave) / 16_000)
    peak, before = (np.argmax(np.abs(np.fft.rfft(w))) * 16_000 / len(w) for w in (wave, original))
    assert peak == pytest.approx(0.8 * before, abs=3)
    stamp = Path(slow.wav).stat().st_mtime_ns
    assert perturb.copies(source, [0.8, 1.25], tmp_path / "perturbed", nj=1) == copies and Path(slow.wav).stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="0 is not between 0.5 and 2"):
        perturb.copies(source, [0.0], tmp_path / "perturbed", nj=1)

    data = tmp_path / "with"
    datadir.write(data, [*source, *copies])
    config = configs.load(settings=["training.paraphrase_targets=true"])
    plain, perturbed = (annotate.annotate(folder, config, nj=1) for folder in (corpus, data))
    for a, b in zip(plain, perturbed):
        assert a.test == b.test and len(b.train) == 3 * len(a.train)
        assert {u.uniq for u in b.train if u.uniq} == {u.utt_id for u in a.train}
        assert read_json(corpus / f"fold{a.number}/thresholds.json") == read_json(data / f"fold{b.number}/thresholds.json")
    ready, _ = examples(datadir.read(data / "fold1" / "train"), config)
    assert len(ready) == len(plain[0].train) and all(len(e.copies) == 2 for e in ready)
    assert {ready[0].at_speed(seed).utterance.utt_id for seed in range(30)} == {
        f"{mark}{ready[0].utterance.utt_id}" for mark in ("", "sp0.8-", "sp1.25-")
    }
    assert datadir.read(data / "fold1" / "train")[-1].uniq is not None
