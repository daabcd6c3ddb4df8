from __future__ import annotations

from typing import Any

from router.rollout.facts.entry import Entry
from router.rollout.machine.replay import rebuild
from router.rollout.model.events import RollbackAsked, SwitchAsked
from router.rollout.versions.active_periods import REASON_CHARS_MAX, ActivePeriods
from tests.rollout.playbook import BOOT, Playbook


def rows_of(periods: ActivePeriods) -> list[tuple[str, float, float | None, str | None]]:
    return [(t["version"], t["since"], t["until"], t["to"]) for t in periods.kept]


def test_active_periods_with_their_causes() -> None:
    playbook = Playbook().seed("v1", "v2")
    playbook.now_ns += 5_000_000_000
    playbook.tell(SwitchAsked("v2", "ann", "better"))
    playbook.tell(RollbackAsked("wrong scores", "bob"), after_s=7)
    assert rows_of(playbook.registry.active_periods) == [
        ("v1", 10.0, 15.0, "v2"),
        ("v2", 15.0, 22.0, "v1"),
        ("v1", 22.0, None, None),
    ]
    second = playbook.registry.active_periods.kept[1]
    assert second["begun"] == {"event": "switched", "actor": "ann", "reason": "better", "incident": None}
    assert second["generation"] == BOOT + 1
    assert second["ended"] == {
        "event": "rolled_back", "actor": "bob", "reason": "wrong scores", "incident": f"svc-1-{(BOOT + 2) & 0xFFFFFF}",
    }  # fmt: skip
    assert playbook.registry.active_periods.of("v2") == [second]
    assert playbook.registry.active_periods.last_live(99.0) == {"v1": 99.0, "v2": 22.0}


def test_a_restart_ends_no_period() -> None:
    playbook = Playbook().seed("v1", "v2")
    playbook.tell(SwitchAsked("v2", "ann", "better"), after_s=3)
    playbook.fold(Entry.of("boot", "", "control", {"boot": 2}, 99.0, 5, 2))
    assert rows_of(playbook.registry.active_periods) == [("v1", 10.0, 13.0, "v2"), ("v2", 13.0, None, None)]
    assert rows_of(rebuild("svc", playbook.entries).active_periods) == rows_of(playbook.registry.active_periods)


def test_periods_are_bounded_and_dropped_ones_counted() -> None:
    periods = ActivePeriods(kept_max=3)
    for number in range(8):
        periods.record(entry(number), f"v{number}")
    assert [t["version"] for t in periods.kept] == ["v5", "v6", "v7"]
    assert periods.dropped == 5


def test_a_service_may_have_no_active_version() -> None:
    periods = ActivePeriods()
    periods.record(entry(1), None)
    periods.record(entry(2), "v1")
    periods.record(entry(3), "v1")
    periods.record(entry(4), None)
    periods.record(entry(5), None)
    assert rows_of(periods) == [("v1", 2.0, 4.0, None)]
    assert periods.open is None
    periods.record(entry(6), "v1")
    assert periods.open is not None


def test_a_reason_is_bounded() -> None:
    periods = ActivePeriods()
    periods.record(entry(1, reason="x" * 10_000), "v1")
    assert len(periods.kept[0]["begun"]["reason"]) == REASON_CHARS_MAX


def entry(at: float, **data: Any) -> Entry:
    return Entry.of("switched", "svc", "ann", data, float(at), 0, 1)
