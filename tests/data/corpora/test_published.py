"""Published facts of a corpus: the names of version 0.1, which user plug-ins may have."""

from __future__ import annotations

from types import ModuleType

from serdesc.data.corpora import Known, Published, meld, published


def test_facts_of_a_plug_in_for_version_0_1() -> None:
    module = ModuleType("plug_in")
    assert published(module) == published(None) == Published()
    module.KNOWN = Known(total=3, bad={"a": "broken"}, loose_times=True, not_at_hand=("no such file",))  # type: ignore[attr-defined]
    expected = Published(
        total=3,
        broken_clips={"a": "broken"},
        loose_boundaries=True,
        reasons_of_subsets=("no such file",),
    )
    assert published(module) == expected and published(meld) is meld.PUBLISHED
