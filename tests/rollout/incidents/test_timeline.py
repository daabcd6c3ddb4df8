from __future__ import annotations

from typing import Any

from router.rollout.facts.entry import Entry
from router.rollout.incidents.timeline import FOLLOWED_S, INCIDENTS_MAX, LINES_MAX, Timelines
from tests import entry_types


class TimelineWriter:
    """A chronicle that is told one fact a second."""

    def __init__(self) -> None:
        self.timelines = Timelines()
        self.seq = 0

    def tell(self, kind: str, service: str = "svc", **data: Any) -> set[str]:
        self.seq += 1
        return self.timelines.apply(Entry.of(kind, service, "ann", data, float(self.seq), self.seq, 1, self.seq))

    def switch(self, kind: str, left: str, to: str, **data: Any) -> set[str]:
        return self.tell(kind, **{"from": left, "to": to, "reason": "", "states": {}, **data})

    def edit(self, incident: str) -> set[str]:
        return self.tell(entry_types.INCIDENT_EDITED, incident=incident, edit="e1", comment="hm")

    def lines(self, incident: str) -> list[str]:
        return [result.kind for result in self.timelines.timelines[incident].lines.kept]


def test_a_story_begins_with_the_promotion_and_ends_with_the_next_switch() -> None:
    scribe = TimelineWriter()
    scribe.tell(entry_types.FROZEN)
    scribe.switch(entry_types.PROMOTED, "v1", "v2")
    scribe.tell(entry_types.SETTINGS_CHANGED, version=2)
    scribe.tell(entry_types.BASELINE, version="v2", baseline={})
    assert scribe.switch(entry_types.ROLLED_BACK, "v2", "v1", incident="i1") == {"i1"}
    assert scribe.tell(entry_types.BOOT, "", boot=2) == {"i1"}
    assert scribe.switch(entry_types.PROMOTED, "v1", "v3") == {"i1"}
    assert scribe.tell(entry_types.FROZEN) == set()
    assert scribe.edit("i1") == {"i1"}
    assert scribe.edit("i9") == set()
    assert scribe.lines("i1") == ["promoted", "settings_changed", "rolled_back", "boot", "promoted", "incident_edited"]
    story = scribe.timelines.timelines["i1"]
    assert (story.closed, story.ends, story.service) == (True, ("v2", "v1"), "svc")
    assert story.promoted is not None
    assert story.promoted.version == "v2"


def test_a_timeline_ends_after_an_hour_except_for_edits() -> None:
    scribe = TimelineWriter()
    scribe.switch(entry_types.ROLLED_BACK, "v2", "v1", incident="i1")
    scribe.seq += int(FOLLOWED_S)
    assert scribe.tell(entry_types.FROZEN) == set()
    assert scribe.edit("i1") == {"i1"}
    assert scribe.lines("i1") == ["rolled_back", "incident_edited"]


def test_a_second_rollback_closes_the_first_story_and_begins_with_it() -> None:
    scribe = TimelineWriter()
    scribe.switch(entry_types.PROMOTED, "v1", "v2")
    scribe.switch(entry_types.ROLLED_BACK, "v2", "v1", incident="i1")
    scribe.switch(entry_types.ROLLED_BACK, "v1", "v0", incident="i2")
    assert [scribe.timelines.timelines[name].closed for name in ("i1", "i2")] == [True, False]
    assert scribe.lines("i2") == ["rolled_back", "rolled_back"]


def test_how_the_workers_confirmed() -> None:
    scribe = TimelineWriter()
    scribe.switch(entry_types.ROLLED_BACK, "v2", "v1", incident="i1", generation=7)
    scribe.tell(entry_types.CONFIRMED, generation=6)
    assert scribe.timelines.timelines["i1"].confirmed is None
    scribe.tell(entry_types.CONFIRMED, generation=7, swap_us=3)
    confirmed = scribe.timelines.timelines["i1"].confirmed
    assert confirmed is not None
    assert confirmed.swap_us == 3


def test_other_services_have_their_own_story() -> None:
    scribe = TimelineWriter()
    scribe.tell(entry_types.FROZEN, "other")
    scribe.switch(entry_types.ROLLED_BACK, "v2", "v1", incident="i1")
    assert scribe.tell(entry_types.UNFROZEN, "other") == set()
    assert scribe.lines("i1") == ["rolled_back"]


def test_stories_and_their_lines_are_bounded() -> None:
    scribe = TimelineWriter()
    scribe.switch(entry_types.ROLLED_BACK, "v2", "v1", incident="i0")
    for _ in range(LINES_MAX + 5):
        scribe.tell(entry_types.FROZEN)
    story = scribe.timelines.timelines["i0"]
    assert (len(story.lines.kept), story.lines.left_out, story.lines.kept[0].kind) == (LINES_MAX, 6, "rolled_back")
    for number in range(INCIDENTS_MAX):
        scribe.switch(entry_types.ROLLED_BACK, "v2", "v1", incident=f"i{number + 1}")
    assert len(scribe.timelines.timelines) == INCIDENTS_MAX
    assert "i0" not in scribe.timelines.timelines
