from __future__ import annotations

from dataclasses import replace

from router.rollout.facts.automation import Frozen
from router.rollout.facts.entry import Entry, route_generation

ENTRY = Entry(Frozen(reason="x"), "svc", "ann", 1.5, 77, 3, 9)


def entry(kind: str, **data: object) -> Entry:
    return Entry.of(kind, "svc", "ann", dict(data), 1.5, 77, 3)


def test_an_entry_is_plain_json_and_back() -> None:
    plain = ENTRY.as_dict()
    assert plain == {
        "type": "frozen",
        "service": "svc",
        "actor": "ann",
        "data": {"reason": "x"},
        "at": 1.5,
        "monotonic_ns": 77,
        "boot": 3,
        "seq": 9,
    }
    assert Entry.of(**plain) == ENTRY
    assert replace(ENTRY, seq=10).type == "frozen"


def test_which_entries_publish_a_route() -> None:
    assert route_generation(entry("switched", generation=5, states={})) == 5
    assert route_generation(entry("approved", proposal="p", generation=5, states={})) == 5
    assert route_generation(entry("switched", generation=5)) is None
    assert route_generation(entry("version_verified", states={"v1": "ready"})) is None
    assert route_generation(entry("confirmed", generation=5)) is None
