"""The report in a real browser: sorting, filters, search, sound, keyboard, links, both widths."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest
from helpers.browser import Browser, chromium
from helpers.report import HOSTILE, captions, experiment

from serdesc import config as configs
from serdesc.captions.fields import Fields
from serdesc.data.datadir import Utterance
from serdesc.report import experiment as reports
from serdesc.report import recordings

pytestmark = pytest.mark.slow
ARROW_DOWN, ESCAPE, RIGHT = "\ue015", "\ue00c", "\ue014"
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(parts: Path, tmp_path: Path) -> Path:
    exp = experiment(parts, tmp_path / "exp" / "full", hostile)
    other = experiment(parts, tmp_path / "exp" / "other", lambda i, utt, fields: utt.caption or "")
    return reports.write(exp, "test", configs.Config(), tmp_path / "page", compare=other)


def hostile(number: int, utt: Utterance, fields: Fields) -> str:
    return HOSTILE if utt.utt_id == "s0-1" else captions(number, utt, fields)


def check_quiet(browser: Browser) -> None:
    """No message on the console, and no request but for files of the page."""
    assert not browser.errors()
    assert all(url.startswith(("file:", "data:", "about:")) for url in browser.requests())


def test_lists_are_sorted_searched_and_filtered(browser: Browser, page: Path) -> None:
    browser.open(page, "#view=utterances")
    assert len(browser.ids()) == 12 and browser.ids()[0] == "s0-0"
    browser.find("button[data-sort=sec]").click()
    seconds = [float(cell.text) for cell in browser.all(".rows .c:nth-last-child(2)")]
    assert browser.find("[aria-sort=ascending]").text.startswith("s")
    browser.find("button[data-sort=sec]").click()
    assert browser.run("return state.dir") == "down" and len(seconds) == 12
    lengths = browser.run("return list.rows.map((row) => row.sec)")
    assert lengths == sorted(lengths, reverse=True)
    browser.find("#search").send_keys("say three s2")
    browser.wait("location.hash.includes('q=say')")
    browser.wait("list.rows.length === 1")
    assert browser.ids() == ["s2-2"] and browser.text(".count") == "1 of 12"
    assert browser.run("return document.activeElement.id") == "search"
    browser.find(".clear").click()
    browser.run("const s = document.querySelector('select[name=field]'); s.value = 'emotion:wrong';"
                " s.dispatchEvent(new Event('change'))")  # fmt: skip
    browser.wait("list.rows.length < 12")
    wrong = browser.run("return list.rows.map((row) => row.right.emotion)")
    assert wrong and set(wrong) == {0}
    check_quiet(browser)


def test_a_cell_of_the_confusion_matrix_is_a_link_to_its_utterances(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    cell = browser.find("#confusion a[href*='ref=angry'][href*='hyp=sad']")
    count = int(cell.find_element("css selector", "b").text)
    cell.click()
    browser.wait("document.querySelectorAll('.rows .r').length > 0")
    assert len(browser.ids()) == count > 0
    shared = browser.run("return location.hash")
    browser.open(page, shared)  # as somebody who was sent the link
    assert len(browser.ids()) == count
    browser.driver.back()
    check_quiet(browser)


def test_sound_plays_and_keys_work(browser: Browser, page: Path) -> None:
    browser.open(page, "#view=utterances")
    browser.press(ARROW_DOWN, ARROW_DOWN, "j")
    assert browser.run("return state.u") == "s0-2" == browser.find(".card").get_attribute("data-id")
    browser.wait("document.querySelectorAll('.track').length >= 6")
    browser.find(".play").click()
    browser.wait("player.audio.currentTime > 0.1 || player.audio.ended")
    assert browser.run("return player.audio.error") is None
    browser.wait("player.audio.paused")
    browser.press("k")
    assert browser.run("return state.u") == "s0-1"
    assert len(browser.all("audio")) == 1
    browser.run("document.getElementById('rows').focus()")
    browser.press(" ")
    browser.wait("player.audio.currentTime > 0 && player.row.id === 's0-1'")
    browser.press("/", "x")
    browser.wait("state.q === 'x'")
    browser.press(ESCAPE)  # leaves the search and empties it
    browser.wait("!state.q && document.activeElement.id !== 'search'")
    browser.press(ESCAPE)
    browser.wait("!state.u")
    check_quiet(browser)


def test_hostile_texts_are_shown_as_texts(browser: Browser, page: Path) -> None:
    title = browser.driver.title
    browser.open(page, "#view=utterances&u=s0-1")
    browser.wait("document.querySelectorAll('.track').length > 1")
    shown = browser.text(".caption p")
    assert '</script><script>document.title = "owned"</script>' in shown
    assert "\\x1b[31mred" in shown and "<img src=x" in shown
    assert (
        browser.run("return document.querySelectorAll('.card img, .card script, .card b i').length")
        == 0
    )
    assert "owned" not in browser.driver.title and title is not None
    browser.open(page, "#view=run")
    assert "serdesc train <i>data</i>" in browser.text("pre")
    check_quiet(browser)


def test_claims_are_marked_and_two_experiments_compared(browser: Browser, page: Path) -> None:
    browser.open(page, "#view=utterances&u=s0-0")
    browser.wait("document.querySelectorAll('.track').length > 1")
    emotion = browser.find(".caption .claim[data-field=emotion]")
    assert (
        emotion.get_attribute("data-right") == "false"
        and emotion.find_element("css selector", "sup").get_attribute("data-mark") == "Em ✗"
    )
    assert browser.find(".caption .claim[data-field=energy]").get_attribute("data-right") == "true"
    browser.open(page)
    browser.find("#compare a[href$='who=emotion%3Ab']").click()
    browser.wait("state.who === 'emotion:b'")
    rights = browser.run(
        "return list.rows.map((row) => [row.right.emotion, row.other.right.emotion])"
    )
    assert rights and all(pair == [0, 1] for pair in rights)
    check_quiet(browser)


def test_counts_of_the_page_are_those_of_the_scores(browser: Browser, page: Path) -> None:
    browser.open(page)
    recalls = [float(cell.text) for cell in browser.all("#confusion tbody td:nth-last-child(2)")]
    ua = browser.run("return scoreOf('ua').value")
    assert abs(sum(recalls) / len(recalls) - ua) < 0.06


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(page: Path, width: int) -> None:
    with chromium(width, 844) as browser:
        for hash_ in (
            "",
            "#view=utterances",
            "#view=utterances&u=s0-1",
            "#view=training",
            "#view=run",
        ):
            browser.open(page, hash_)
            assert browser.run(OVERFLOW) <= 0, hash_
            outside = browser.run(
                "return [...document.querySelectorAll('main *')].filter((e) => {"
                " const box = e.getBoundingClientRect();"
                " return box.right > innerWidth + 1 && !e.closest('.scroll, pre, .head, svg, .rows') }).length"
            )
            assert outside == 0, hash_
        if width == 390:
            browser.find(".brand")
            browser.open(page, "#view=utterances&u=s0-1")
            browser.find(".back").click()
            browser.wait("!state.u")
            assert browser.find(".listpane").is_displayed()
        check_quiet(browser)


def test_light_and_dark(browser: Browser, page: Path) -> None:
    browser.open(page)
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = browser.run(colour)
    browser.find("#theme").click()
    dark = browser.run(colour)
    assert light != dark
    browser.find("#theme").click()
    assert browser.run(colour) == light


def test_rows_are_drawn_as_they_come_into_view(browser: Browser, page: Path) -> None:
    browser.open(page, "#view=utterances")
    browser.run(
        "const rows = serdesc.rows; serdesc.rows = Array.from({length: 5531}, (_, i) =>"
        " ({...rows[i % 12], id: 'u' + i})); redrawList();"
    )
    drawn = len(browser.ids())
    assert 15 < drawn < 60
    browser.run("document.getElementById('rows').scrollTop = 36 * 5000")
    browser.wait("document.querySelector('[data-id=u5003]')")
    assert len(browser.ids()) < 60
    browser.press("\ue010")  # End
    browser.wait("state.u === 'u5530'")
    browser.wait("document.querySelector('[data-id=u5530].selected')")


def test_pieces_of_a_recording_stand_on_a_timeline(
    browser: Browser, corpus: Path, tmp_path: Path
) -> None:
    from serdesc.data import curves, datadir

    utt = datadir.read(corpus)[-1]
    made = curves.of_wave(utt.load_audio())
    described = []
    for start in (0.0, 0.3):
        described.append(
            recordings.Described(
                path=Path(utt.wav),
                start=start,
                seconds=0.3,
                caption="A <b>man</b>, angry, high pitch.",
                fields=Fields(emotion="angry", gender="male", pitch="high"),
                posterior={"angry": 0.75, "sad": 0.25},
                kl={},
                curves=made,
            )
        )
    run = {"model": "m", "config": "", "environment": {}, "command": "serdesc describe"}
    page = recordings.write(tmp_path / "page", described, run, [["x", "<silent>"]])
    browser.open(page)
    assert len(browser.all(".timeline a")) == 2
    browser.find(".timeline a:nth-of-type(2)").click()
    browser.wait("document.querySelectorAll('.track').length > 1")
    assert "A <b>man</b>" in browser.text(".caption p")
    assert "0.750" in browser.text(".posterior")
    browser.find(".play").click()
    browser.wait("player.audio.paused && player.audio.currentTime >= 0.5")
    check_quiet(browser)
