"""Control characters of captions, ids and paths on the terminal."""

from __future__ import annotations

import pytest

from serdesc.printable import printable
from serdesc.scoring import terminal


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a woman, sad", "a woman, sad"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\rb\x07\x9b2J", "a\\x0db\\x07\\x9b2J"),
        ("left \u202eright", "left \\u202eright"),
        ("süß 你好 😀\n\ttab", "süß 你好 😀\n\ttab"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_tables_show_markup_and_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    table = [["id", "caption"], ["[bold]u[/bold]", "\x1b[2Jsad [link=x]y[/link]"]]
    terminal.print_table(table, "title \x1b]0;owned\x07", labels=2)
    terminal.print_lines(["\x1b[5mline"])
    out = capsys.readouterr().out
    assert "[bold]u[/bold]" in out and "\\x1b[2Jsad [link=x]y[/link]" in out
    assert "\x1b" not in out and "\x07" not in out and "\\x1b[5mline" in out
