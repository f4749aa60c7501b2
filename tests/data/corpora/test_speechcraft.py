"""SpeechCraft: labels, captions, GigaSpeech's segments, hold-out."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest
import soundfile
from helpers import LABELS, ROOT, change, voice

from serdesc import config as configs
from serdesc.captions import reader
from serdesc.captions.fields import Fields
from serdesc.config import FoldsConfig, PrepareConfig
from serdesc.data import annotate, datadir, folds, prepare
from serdesc.data import decoded as decoded_module
from serdesc.data.corpora import speechcraft
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.scoring import normalise
from serdesc.training.examples import caption_of

RECORDINGS = ("POD0000000000", "YOU0000000001", "AUD0000000002")  # of the fixture craft
HAN = re.compile(r"[\u4e00-\u9fff]")


def test_a_label_string_gives_fields_and_transcription() -> None:
    fields, said = speechcraft.parse_labels(LABELS.format("Well: that\tis it."))
    assert fields == Fields(
        emotion="happy",
        pitch="low",
        energy="high",
        speed="fast",
        age="young adult",
        gender="female",
    )
    assert said == "Well: that\tis it."
    assert speechcraft.parse_labels("emotion:sad\tcategory:News\temphasis:very") == (
        Fields(emotion="sad", emphasis=("very",)),
        "",
    )
    ages = {
        speechcraft.parse_labels(f"age:{age}")[0].age
        for age in ("Child", "Teenager", "Young Adult", "Youth adult", "Middle-aged", "Elderly")
    }
    assert ages == {"child", "teenager", "young adult", "middle-aged", "elderly"}
    moved = speechcraft.parse_labels(
        "age:Elderly\tTRANSCRIPTION: So: it\tis. \tGender:Male\tcategory:News"
    )
    assert moved == (Fields(age="elderly", gender="male"), "So: it\tis.")
    assert speechcraft.parse_labels("Transcription: yes\temotion:sad") == (
        Fields(emotion="sad"),
        "yes",
    )
    for wrong, message in (
        ("emotion:bored", "emotion is 'bored'"),
        ("", "none of the keys"),
        ("transcription: hello", "none of the keys"),
    ):
        with pytest.raises(ValueError, match=message):
            speechcraft.parse_labels(wrong)


def test_all_official_label_strings_are_read_without_loss(real_data: Callable[[str], Path]) -> None:
    """Every string can be written again, letter by letter, from what was read of it."""
    official = dict(speechcraft.entries(real_data("speechcraft") / "labels_LJspeech_0.json"))
    assert len(official) == 220
    ages = {
        "child": "Child",
        "teenager": "Teenager",
        "young adult": "Young Adult",
        "middle-aged": "Middle-aged",
        "elderly": "Elderly",
    }
    for row in official.values():
        f, said = speechcraft.parse_labels(row["labels"])
        parts = {
            "age": ages[str(f.age)],
            "gender": f.gender,
            "pitch": f.pitch,
            "volume": f.energy,
            "speed": f.speed,
            "emotion": f.emotion,
        }
        again = (
            "\t".join(f"{key}:{value}" for key, value in parts.items()) + f"\ttranscription: {said}"
        )
        assert again == row["labels"]


def test_published_samples_are_read_in_every_form(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """26 English and 15 Mandarin samples: the same captions come back from JSON of both kinds and
    from TSV.
    """
    head, *rows = (
        line.split("\t")
        for line in (
            (real_data("speechcraft") / "demo_samples.tsv").read_text(encoding="utf-8").splitlines()
        )
    )
    samples = [dict(zip(head, row)) for row in rows]
    captions = {
        f"{i}-{name}": s[name]
        for i, s in enumerate(samples)
        for name in ("description", "instruction")
        if s[name]
    }
    mandarin = {key.split("-")[0] for key, text in captions.items() if HAN.search(text)}
    assert (len(samples), len(mandarin), sum(key.endswith("instruction") for key in captions)) == (
        41,
        15,
        18,
    )
    forms = {
        "a.json": json.dumps(captions),
        "b.json": json.dumps(
            {key: {"instruction": text, "labels": "x"} for key, text in captions.items()},
            ensure_ascii=False,
        ),
        "c.tsv": "".join(f"{key}\t{text}\r\n" for key, text in captions.items()),
    }
    for name, content in forms.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        read = {
            key: speechcraft._text(value, "instruction", tmp_path / name, key)
            for key, value in speechcraft.entries(tmp_path / name)
        }
        assert read == captions, name
    headings = [
        s for s in samples if s["caption"].startswith("[")
    ]  # a page's heading, in the rows 2.3en
    assert len(headings) == 7 and {s["section"] for s in headings} == {"2.3en"}
    stressed = [s["caption"] for s in samples if s["caption"].startswith("emphasis:")]
    assert len(stressed) == 8
    for text in stressed:
        assert speechcraft.parse_labels(text) == (
            Fields(emphasis=(text.removeprefix("emphasis:"),)),
            "",
        )


def test_gigaspeechs_tags_become_punctuation_and_noise_goes() -> None:
    text = (
        "<SIL> WHEN IT'S RAINING <COMMA> DO WE <MUSIC> TAKE THE TRAIN <QUESTIONMARK> YES"
        " <EXCLAMATIONPOINT>"
    )
    assert speechcraft.normalise(text) == "when it's raining, do we take the train? yes!"
    assert speechcraft.normalise("<NOISE>") == ""


def test_transcripts_of_both_corpora_become_plain_words_and_stay_so(
    real_data: Callable[[str], Path],
) -> None:
    """SECap's 600, character by character, and the 41 published samples of SpeechCraft, those in
    Mandarin too.
    """
    mandarin = [
        line.split(None, 1)[1]
        for line in (real_data("emosec600") / "text.txt").read_text(encoding="utf-8").splitlines()
    ]
    head, *rows = (
        line.split("\t")
        for line in (
            (real_data("speechcraft") / "demo_samples.tsv").read_text(encoding="utf-8").splitlines()
        )
    )
    spoken = [text for row in rows if (text := dict(zip(head, row))["transcript"].strip())]
    assert len(mandarin) == 600 and len(rows) == 41 and spoken
    for text in mandarin + spoken:
        words = normalise.words(text)
        assert words and words == normalise.words(" ".join(words)), text
        assert not any(re.search(r"[^\w']|[A-Z0-9]", word) for word in words), text
        assert sum(bool(HAN.fullmatch(word)) for word in words) == len(HAN.findall(text)), text


def test_labels_captions_and_times_are_joined(craft: Path, tmp_path: Path) -> None:
    change(
        craft / "Labels.json", lambda rows: {f"GigaSpeech_{key}": row for key, row in rows.items()}
    )
    accepted, rejected = prepare.prepare(
        "speechcraft", craft, tmp_path / "data", PrepareConfig(), nj=1
    )
    assert len(accepted) == 9 and not rejected
    first = accepted[0]
    assert (first.utt_id, first.spk, first.recording, first.span) == (
        "AUD0000000002_S0000000",
        "AUD0000000002",
        "AUD0000000002",
        (0.1, 1.3),
    )
    assert (
        first.text == "Well, one it is."
        and first.emotion == "happy"
        and first.seconds == pytest.approx(1.2)
    )
    assert (
        first.caption == "A young woman\u2019s  voice says, \u201cWell, one it is.\u201d, happily."
    )
    assert first.labels == Fields(
        emotion="happy",
        pitch="low",
        energy="high",
        speed="fast",
        age="young adult",
        gender="female",
    )
    assert [(u.utt_id, u.labels, u.caption) for u in datadir.read(tmp_path / "data")] == [
        (u.utt_id, u.labels, u.caption) for u in accepted
    ]
    captions = {}
    for text in ("description", "rendered"):
        captions[text] = [u.caption for u in speechcraft.utterances(craft, PrepareConfig(text=text)) if isinstance(u, Utterance)]  # type: ignore
    assert captions == {"description": ["A young woman speaks fast."] * 9, "rendered": [None] * 9}


def test_captions_come_from_the_labels_where_there_are_no_instructions(craft: Path) -> None:
    (craft / "Instructions" / "gigaspeech_m.json").unlink()
    with pytest.raises(UserError, match="put the download Instructions there"):
        list(speechcraft.utterances(craft))
    change(
        craft / "Labels.json",
        lambda rows: {
            key: {**row, "llama-instruction": "She says so."} for key, row in rows.items()
        },
    )
    assert {u.caption for u in speechcraft.utterances(craft) if isinstance(u, Utterance)} == {
        "She says so."
    }


def test_what_cannot_be_used_is_rejected_with_its_reason(craft: Path, tmp_path: Path) -> None:
    ids = [
        "POD0000000000_S0000000",
        "POD0000000000_S0000001",
        "POD0000000000_S0000002",
        "YOU0000000001_S0000000",
        "YOU0000000001_S0000001",
    ]

    def spoil(rows: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        rows[ids[0]] = {"labels": "emotion:bored\ttranscription: a"}
        rows[ids[1]] = {
            "labels": "emotion:sad\ttranscription:"
        }  # GigaSpeech's own text takes its place
        return {**rows, "POD9999999999_S0000001": rows[ids[2]], "LJ001-0001": rows[ids[2]]}

    def times(tree: dict[str, Any]) -> dict[str, Any]:
        tree["audios"][1]["segments"][0]["end_time"] = 0.1
        tree["audios"][1]["segments"][1]["end_time"] = 6.1
        return tree

    change(craft / "Labels.json", spoil)
    change(craft / "GigaSpeech.json", times)
    change(
        craft / "Instructions" / "gigaspeech_m.json",
        lambda rows: {key: text for key, text in rows.items() if key != ids[2]},
    )
    (craft / "audio" / "AUD0000000002.flac").unlink()
    accepted, rejected = prepare.prepare(
        "speechcraft", craft, tmp_path / "data", PrepareConfig(), nj=1
    )
    reasons = {item.utt_id: item.reason for item in rejected}
    assert "label emotion is 'bored'" in reasons[ids[0]] and "no caption" in reasons[ids[2]]
    assert (
        "from 0.1 to 0.1 s" in reasons[ids[3]]
        and "ends at 6.00 s, before the end of the segment at 6.10 s" in reasons[ids[4]]
    )
    assert (
        reasons["POD9999999999_S0000001"] == "no such segment in it"
        and "no GigaSpeech segment" in reasons["LJ001-0001"]
    )
    assert [reasons[f"AUD0000000002_S000000{s}"] for s in range(3)] == ["no such file"] * 3
    assert {u.utt_id: u.text for u in accepted} == {
        ids[1]: "well, 1 it is.",
        "YOU0000000001_S0000002": "Well, three it is.",
    }


def test_a_byte_order_mark_changes_nothing(craft: Path) -> None:
    before = list(speechcraft.utterances(craft, PrepareConfig(text="description")))
    for name in ("Labels.json", "GigaSpeech.json", "Descriptions.tsv"):
        (craft / name).write_bytes(b"\xef\xbb\xbf" + (craft / name).read_bytes())
    assert list(speechcraft.utterances(craft, PrepareConfig(text="description"))) == before


GIGA = '{{"audios": [{{"aid": "a", "path": "p", "segments": [{}]}}]}}'


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("Labels.json", "[1, 2]", r"Labels.json: begins with b'\[1, 2\]'"),
        ("Labels.json", '{"a": {"labels": "x"}', "is not one JSON object"),
        ("Labels.json", '{"a": 5}', "'a' has int 5"),
        ("Descriptions.tsv", "only words here\n", "begins with b'only words here"),
        (
            "Descriptions.tsv",
            '{"AUD0000000002_S0000000": {"one": "a", "two": "b"}}',
            "has the keys one, two",
        ),
        (
            "GigaSpeech.json",
            '{"audios": [{"aid": "a", "segments": []}]}',
            "a recording without path, found aid, segments",
        ),
        ("GigaSpeech.json", '{"audios": [{"aid": "a"', "not one JSON object"),
        (
            "GigaSpeech.json",
            '[{"aid": "a", "path": "p", "segments": []}]',
            "has no recording in a list `audios`: not GigaSpeech's format",
        ),
        (
            "GigaSpeech.json",
            '{"audios": ["a"]}',
            "a recording without aid and path and segments, found a",
        ),
        (
            "GigaSpeech.json",
            GIGA.format('{"begin_time": 1, "end_time": 2}'),
            "of a has no sid, begin_time and end_time in seconds",
        ),
        (
            "GigaSpeech.json",
            GIGA.format('{"sid": "s", "end_time": 2}'),
            r"segment {'sid': 's', 'end_time': 2} of a has no sid, begin_time",
        ),
        (
            "GigaSpeech.json",
            GIGA.format('{"sid": "s", "begin_time": "x", "end_time": 2}'),
            "could not convert string to float",
        ),
        ("GigaSpeech.json", GIGA.format('"s"'), "segment s of a has no sid"),
        (
            "Labels.json",
            '{"a": {"labels": "emotion:sad"}}\n{"b": {"labels": "emotion:sad"}}\n',
            r"\(JSON lines\): write all of them as one object",
        ),
        (
            "Labels.json",
            '{"a": {"labels": "caf\xe9"}}'.encode("latin-1"),
            "Labels.json: begins with .* but is not one JSON object",
        ),
        (
            "Descriptions.tsv",
            "a\tcaf\xe9\n".encode("latin-1"),
            "Descriptions.tsv:1: not UTF-8: byte 5 is 0xe9",
        ),
    ],
)
def test_files_of_another_form_are_shown(
    craft: Path, name: str, content: str | bytes, message: str
) -> None:
    (craft / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        list(speechcraft.utterances(craft, PrepareConfig(text="description")))


def test_missing_downloads_and_double_labels_are_named(craft: Path) -> None:
    (craft / "labels_2.json").write_text((craft / "Labels.json").read_text())
    with pytest.raises(UserError, match="is also in another"):
        list(speechcraft.utterances(craft))
    for name in ("labels_2.json", "Labels.json"):
        (craft / name).unlink()
    with pytest.raises(UserError, match="named Labels"):
        list(speechcraft.utterances(craft))
    with pytest.raises(UserError, match="prepare.gigaspeech=/path"):
        (craft / "Labels.tsv").write_text("AUD0000000002_S0000000\temotion:sad\ttranscription: a\n")
        list(speechcraft.utterances(craft, PrepareConfig(gigaspeech=str(craft / "none.json"))))


def test_a_stopped_preparation_goes_on_and_ends_the_same(
    craft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    prepare.prepare("speechcraft", craft, whole, PrepareConfig(), nj=1)
    lines = (whole / "utt2audio").read_text().splitlines(keepends=True)
    assert len(lines) == 9
    stopped.mkdir()
    (stopped / ".utt2audio.partial").write_text(
        "".join(lines[:2]) + lines[2][:-2]
    )  # killed in the middle of its third line
    decoded: list[str] = []

    def decode(utt: Utterance, *rest: Any) -> Any:
        decoded.append(utt.utt_id)
        return original(utt, *rest)

    original = decoded_module._decode
    monkeypatch.setattr(decoded_module, "_decode", decode)
    monkeypatch.setattr(decoded_module, "ProcessPoolExecutor", ThreadPoolExecutor)
    prepare.prepare("speechcraft", craft, stopped, PrepareConfig(), nj=1)
    assert sorted(decoded) == [line.split()[0] for line in lines[2:]]
    assert sorted(path.name for path in stopped.iterdir()) == sorted(
        path.name for path in whole.iterdir()
    )
    assert all((stopped / path.name).read_bytes() == path.read_bytes() for path in whole.iterdir())
    decoded.clear()
    prepare.prepare("speechcraft", craft, stopped, PrepareConfig(), nj=1)
    assert decoded == []
    recording = craft / "audio" / "YOU0000000001.flac"
    recording.write_bytes(recording.read_bytes()[:2000])
    accepted, rejected = prepare.prepare("speechcraft", craft, stopped, PrepareConfig(), nj=1)
    assert decoded == [f"YOU0000000001_S000000{i}" for i in range(3)]
    assert [item.utt_id for item in rejected] == decoded and len(accepted) == 6


def test_a_silent_segment_is_rejected_before_training(craft: Path, tmp_path: Path) -> None:
    recording = craft / "audio" / "YOU0000000001.flac"
    samples, rate = soundfile.read(recording)
    utterances = speechcraft.utterances(craft, PrepareConfig())
    spans = {u.utt_id: u.span for u in utterances if isinstance(u, Utterance)}
    start, end = (round(rate * second) for second in spans["YOU0000000001_S0000001"] or ())
    samples[start:end] = 0
    soundfile.write(recording, samples, rate)
    _, rejected = prepare.prepare("speechcraft", craft, tmp_path / "data", PrepareConfig(), nj=2)
    assert [(item.utt_id, item.reason[:6]) for item in rejected] == [
        ("YOU0000000001_S0000001", "silent")
    ]


def test_whole_recordings_are_held_out(craft: Path) -> None:
    utterances = [
        Utterance(f"r{r:02d}_S{s}", "", f"r{r:02d}", recording=f"r{r:02d}", span=(s, s + 1.0)) for r in range(20) for s in range(1 + r % 5)
    ]  # fmt: skip
    rule = FoldsConfig(rule="recordings", test_utterances=15)
    (fold,) = folds.split(utterances, rule, seed=1)
    assert 15 <= len(fold.test) < 15 + 5 and len(fold.train) + len(fold.test) == len(utterances)
    assert not {u.recording for u in fold.train} & {u.recording for u in fold.test}
    assert folds.split(utterances[::-1], rule, seed=1)[0].parts().keys() == {"train", "test"}
    held = [
        {u.utt_id for u in folds.split(order, rule, seed)[0].test}
        for order, seed in ((utterances, 1), (utterances[::-1], 1), (utterances, 2))
    ]
    assert held[0] == held[1] != held[2]
    with pytest.raises(UserError, match="only 60 utterances of 20 recordings"):
        folds.split(utterances, FoldsConfig(rule="recordings", test_utterances=60), seed=1)
    clips = [Utterance(utt.utt_id, "", utt.spk) for utt in utterances]  # without segments
    assert {u.utt_id for u in folds.split(clips, rule, seed=1)[0].test} == held[0]


def test_a_share_of_the_recordings_depends_on_their_ids_alone(craft: Path, tmp_path: Path) -> None:
    ids = [f"POD{i:010d}" for i in range(20_000)]
    tenth = {name for name in ids if speechcraft.in_share(name, 0.1)}
    assert len(tenth) == 2015 and sorted(tenth)[:3] == [ids[0], ids[12], ids[15]]
    assert tenth < {name for name in ids if speechcraft.in_share(name, 0.2)}
    assert all(speechcraft.in_share(name, 1.0) for name in ids)
    assert not any(speechcraft.in_share(name, 0.0) for name in ids)
    shares = {name: speechcraft.in_share(name, 0.5) for name in RECORDINGS}
    assert set(shares.values()) == {True, False}
    config = PrepareConfig(recordings_share=0.5)
    accepted, rejected = prepare.prepare("speechcraft", craft, tmp_path / "data", config, nj=1)
    assert {utt.recording for utt in accepted} == {name for name in shares if shares[name]}
    assert not rejected and (tmp_path / "data/rejected.tsv").read_text().count("\n") == 1
    settings = ["folds.rule=recordings", "folds.test_utterances=1", "measure.source=corpus"]
    with pytest.raises(UserError, match="prepare.recordings_share 0.5, the configuration has 1.0"):
        annotate.annotate(tmp_path / "data", configs.load(None, settings), nj=1)


def test_the_tenth_is_the_recipes_configuration_with_a_share() -> None:
    folder = ROOT / "egs/speechcraft/conf"
    full, tenth = (configs.load([folder / f"{name}.yaml"]) for name in ("speechcraft", "tenth"))
    assert tenth.prepare.recordings_share == 0.1 and tenth.folds.test_utterances == 2000
    assert replace(tenth, prepare=replace(tenth.prepare, recordings_share=1.0)) == full


def test_ser_sed_is_trained_on_descriptions_and_full_on_instructions(
    craft: Path, tmp_path: Path
) -> None:
    """Both from one data directory, which ser_sed shares with the other systems."""
    description = craft / "Descriptions.tsv"
    lines = description.read_text().splitlines(keepends=True)
    description.write_text("".join(lines[1:]))  # one segment has none
    missing = lines[0].split("\t")[0]
    settings = ["measure.source=corpus", "folds.rule=none"]
    config, data = configs.load(None, settings), tmp_path / "data"
    prepare.prepare("speechcraft", craft, data, config.prepare, nj=1)
    annotate.annotate(data, config, nj=1)
    train = datadir.read(data / "fold1" / "train")
    systems = {
        name: configs.load([Path(name)], settings) for name in ("full", "ser_sed", "ser_asr")
    }
    for utt in train:
        targets = {name: caption_of(utt, config.target) for name, config in systems.items()}
        assert targets["full"] == utt.caption and str(utt.text) in str(utt.caption)
        assert "pitch" not in targets["ser_asr"] and str(utt.text) in targets["ser_asr"]
        if utt.utt_id == missing:
            assert reader.read(targets["ser_sed"]) == replace(
                utt.labels or Fields(), transcript=None
            )
        else:
            assert targets["ser_sed"] == utt.description == "A young woman speaks fast."
    assert len(train) == 9


@pytest.mark.parametrize("text", ["instruction", "description", "rendered"])
def test_annotate_keeps_what_the_corpus_brought(craft: Path, tmp_path: Path, text: str) -> None:
    settings = [
        f"prepare.text={text}",
        "measure.source=corpus",
        "folds.rule=recordings",
        "folds.test_utterances=3",
    ]
    config, data = configs.load(None, settings), tmp_path / "data"
    prepared, _ = prepare.prepare("speechcraft", craft, data, config.prepare, nj=1)
    annotate.annotate(data, config, nj=1)
    train, test = (datadir.read(data / "fold1" / part) for part in ("train", "test"))
    assert (len(train), len(test)) == (6, 3) and not (data / "fold1" / "thresholds.json").exists()
    for utt in train + test:
        (with_corpus_labels,) = (u for u in prepared if u.utt_id == utt.utt_id)
        assert (
            utt.labels is not None and with_corpus_labels.labels is not None and utt.measure is None
        )
        assert (
            utt.labels.transcript == (None if text == "description" else utt.text)
            and utt.labels.pitch == with_corpus_labels.labels.pitch
        )
        assert (
            utt.caption == with_corpus_labels.caption
            or text == "rendered"
            and str(utt.text) in str(utt.caption)
        )


@pytest.mark.slow
def test_a_corpus_without_training_part_measures_nothing(tmp_path: Path) -> None:
    voice(tmp_path / "a.wav", 0.5, 0)
    datadir.write(
        tmp_path / "data",
        [Utterance("a", str(tmp_path / "a.wav"), "s", text="ja", seconds=0.5, caption="Froh.")],
    )
    with pytest.raises(UserError, match="measure.source: corpus"):
        annotate.annotate(tmp_path / "data", configs.load(None, ["folds.rule=test"]), nj=1)
    annotate.annotate(
        tmp_path / "data", configs.load(None, ["folds.rule=test", "measure.source=corpus"]), nj=1
    )
    (utt,) = datadir.read(tmp_path / "data" / "fold1" / "test")
    assert utt.caption == "Froh." and utt.labels == Fields(transcript="ja")
    assert not (tmp_path / "data" / "fold1" / "train").exists()
