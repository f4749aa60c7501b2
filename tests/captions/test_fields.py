"""Fields of a caption."""

from __future__ import annotations

from serdesc.captions.fields import age_group


def test_age_groups() -> None:
    assert [age_group(years) for years in (6, 13.9, 14, 25, 26, 39, 40, 54, 55, 90)] == [
        "child", "child", "teenager", "teenager", "young adult", "young adult", "middle-aged", "middle-aged", "elderly", "elderly",
    ]  # fmt: skip
