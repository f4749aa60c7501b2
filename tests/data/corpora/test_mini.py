"""mini's generator and its speech."""

from __future__ import annotations

from pathlib import Path

import pytest

from serdesc import config as configs
from serdesc.data import espeak
from serdesc.data.corpora import mini
from serdesc.errors import UserError


def test_minis_generator_is_the_frozen_one() -> None:
    recipe = configs.load(Path(__file__).parents[3] / "egs/mini/conf/mini.yaml")
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
        assert {w for line in test for w in line.words} <= {
            w for line in trained for w in line.words
        }
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
        assert (tmp_path / "a" / f"{i}.wav").read_bytes() == (
            tmp_path / "b" / f"{i}.wav"
        ).read_bytes()


def test_made_speech_does_not_depend_on_what_the_process_synthesised_before(
    tmp_path: Path,
) -> None:
    from serdesc.data import acting

    line = mini.lines()[0]

    def make(name: str) -> tuple[bytes, str]:
        path = tmp_path / f"{name}.wav"
        espeak.run_forked(lambda _: acting.write(line, path), [0])
        return path.read_bytes(), path.with_suffix(".ctm").read_text()

    first = make("first")
    espeak.synthesise("<speak>another voice, another text</speak>", "en-us+f2")
    assert make("second") == first


def test_words_have_the_times_of_their_phonemes(tmp_path: Path) -> None:
    from serdesc.data import acting, audio, words

    line = mini.lines()[0]
    espeak.run_forked(lambda _: acting.write(line, tmp_path / f"{line.utt_id}.wav"), [0])
    (times,) = list(mini.word_times(tmp_path))[:1]
    (tmp_path / words.NAME).write_text(times)
    read = words.read(tmp_path)[line.utt_id]
    assert [word for _, _, word in read] == list(line.words)
    starts = [start for start, _, _ in read]
    assert starts == sorted(starts) and starts[0] < 0.3
    seconds = audio.seconds(tmp_path / f"{line.utt_id}.wav")
    assert all(length > 0.03 for _, length, _ in read) and sum(read[-1][:2]) <= seconds + 0.001


def test_a_line_that_is_no_ctm_is_named(tmp_path: Path) -> None:
    import pytest

    from serdesc.data import words
    from serdesc.errors import UserError

    (tmp_path / words.NAME).write_text(";; comment\nu 1 0.5 0.25 word 0.9\nu 1 here\n")
    with pytest.raises(UserError, match="ctm:3: 'u 1 here'"):
        words.read(tmp_path)
