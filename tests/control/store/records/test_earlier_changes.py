from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.control.store.records.earlier_changes import KEPT_S, KEYS_MAX, EarlierChange, earlier_changes
from router.control.store.records.effective import effective_of
from router.control.store.records.request_key import RequestKey
from router.rollout.facts.entry import Entry
from tests.entry_types import ABANDONED

NOW_S = 1_000_000.0


def made(seq: int, kind: str = "frozen", age_s: float = 60.0, **data: object) -> Entry:
    return Entry.of(kind, "svc", "ann", dict(data), NOW_S - age_s, 1, 1, seq)


def key(name: str, request: str = "r") -> RequestKey:
    return RequestKey(name, request)


def test_a_key_leads_to_the_first_entry_of_its_record() -> None:
    entries = [made(1), made(2), made(3)]
    assert earlier_changes({2: key("k")}, entries, NOW_S) == {"k": EarlierChange("r", entries[1])}


def test_a_record_that_was_struck_out_frees_its_key() -> None:
    entries = [made(1), made(2, ABANDONED, abandons=1), made(3)]
    assert earlier_changes({1: key("k")}, effective_of("svc", entries), NOW_S) == {}
    again = earlier_changes({1: key("k"), 3: key("k", "other")}, effective_of("svc", entries), NOW_S)
    assert again == {"k": EarlierChange("other", entries[2])}


def test_a_record_whose_route_was_never_stored_frees_its_key() -> None:
    route = made(2, "switched", generation=9, base=8, states={})
    for stored, found in ((8, {}), (9, {"k": EarlierChange("r", route)})):
        assert earlier_changes({2: key("k")}, effective_of("svc", [made(1), route], stored), NOW_S) == found


def test_a_key_is_kept_for_a_day() -> None:
    entries = [made(1, age_s=KEPT_S), made(2, age_s=KEPT_S - 1)]
    assert list(earlier_changes({1: key("a"), 2: key("b")}, entries, NOW_S)) == ["b"]


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=80))
def test_it_is_the_newest_record_of_each_key_and_never_too_many(told: list[tuple[int, bool]]) -> None:
    entries = [made(seq) for seq in range(1, len(told) + 1)]
    keys = {seq: key(f"k{name}", f"r{seq}") for seq, (name, has) in enumerate(told, 1) if has}
    found = earlier_changes(keys, entries, NOW_S)
    newest = {item.key: (seq, item.request) for seq, item in keys.items()}
    assert {name: (change.entry.seq, change.request) for name, change in found.items()} == newest
    numbers = [change.entry.seq for change in found.values()]
    assert numbers == sorted(numbers)


def test_the_oldest_keys_go_when_there_are_too_many() -> None:
    entries = [made(seq) for seq in range(1, KEYS_MAX + 3)]
    found = earlier_changes({entry.seq: key(f"k{entry.seq}") for entry in entries}, entries, NOW_S)
    assert (len(found), next(iter(found))) == (KEYS_MAX, "k3")
