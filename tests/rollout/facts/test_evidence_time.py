from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.rollout.facts.entry import Entry
from router.rollout.facts.evidence_time import in_fact, in_memory, seconds_before

SECOND = 1_000_000_000


@given(now_ns=st.integers(1, 10**18), since_s=st.integers(0, 10**15))
def test_the_way_there_and_back_loses_nothing(now_ns: int, since_s: int) -> None:
    trigger = {"kind": "latency", "evidence_since_ns": max(1, now_ns - since_s)}
    assert in_memory(in_fact(trigger, now_ns), now_ns) == trigger


def test_a_fact_has_the_seconds_before_it() -> None:
    assert in_fact({"kind": "x", "evidence_since_ns": 3 * SECOND}, 10 * SECOND) == {"kind": "x", "evidence_since_s": 7}
    assert in_fact({"evidence_since_ns": None}, 10) == {"evidence_since_s": None}
    assert in_memory({"evidence_since_s": None}, 10) == {"evidence_since_ns": None}
    for trigger in (None, {}, {"kind": "x"}, {"evidence_since_s": 7.0}):
        assert in_fact(trigger, 10) is trigger
    for trigger in (None, {}, {"kind": "x"}):
        assert in_memory(trigger, 10) is trigger


def test_a_first_fault_after_the_decision_is_at_it() -> None:
    assert seconds_before({"evidence_since_s": -0.5}) == 0.0
    assert seconds_before({"evidence_since_s": 2.5}) == 2.5
    assert seconds_before({"evidence_since_s": None}) is seconds_before({}) is seconds_before(None) is None


def test_entries_of_older_releases_are_read_with_seconds() -> None:
    trigger: dict[str, Any] = {"kind": "latency", "evidence_since_ns": 4 * SECOND}
    item = {"cause": "latency", "trigger": trigger}
    for kind, data, member in (
        ("rolled_back", {"to": "v1", "trigger": trigger}, "trigger"),
        ("no_better_target", {"active": "v1", "obstacles": [], "trigger": trigger}, "trigger"),
        ("evidence_added", {"proposal": "p", "evidence": item}, "evidence"),
    ):
        found = Entry.of(kind, "svc", "ann", data, 1.0, 10 * SECOND, 1).fact.to_data()[member]
        assert (found.get("trigger") or found)["evidence_since_s"] == 6.0
        assert "evidence_since_ns" not in str(found)
    data = {"incident": "i", "version": "v1", "seen": 0, "until_ns": 9 * SECOND}
    frozen = Entry.of("cases_frozen", "svc", "control", data, 1.0, 10 * SECOND, 1).fact.to_data()
    assert (frozen["until_s"], "until_ns" in frozen) == (1.0, False)
