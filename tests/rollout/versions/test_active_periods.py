from __future__ import annotations

from typing import Any

import pytest

from router.rollout.machine.replay import rebuild
from router.rollout.model.entry import Entry
from router.rollout.model.events import RollbackAsked, SwitchAsked
from router.rollout.versions import active_periods
from router.rollout.versions.active_periods import ActivePeriods
from tests.rollout.playbook import BOOT, Playbook


def told(tenures: ActivePeriods) -> list[tuple[str, float, float | None, str | None]]:
    return [(t["version"], t["since"], t["until"], t["to"]) for t in tenures.kept]


def test_what_was_live_when_and_through_whom() -> None:
    playbook = Playbook().seed("v1", "v2")
    playbook.now_ns += 5_000_000_000
    playbook.tell(SwitchAsked("v2", "ann", "better"))
    playbook.tell(RollbackAsked("wrong scores", "bob"), after_s=7)
    assert told(playbook.registry.tenures) == [
        ("v1", 10.0, 15.0, "v2"),
        ("v2", 15.0, 22.0, "v1"),
        ("v1", 22.0, None, None),
    ]
    second = playbook.registry.tenures.kept[1]
    assert second["begun"] == {"event": "switched", "actor": "ann", "reason": "better", "incident": None}
    assert second["generation"] == BOOT + 1
    assert second["ended"] == {
        "event": "rolled_back", "actor": "bob", "reason": "wrong scores", "incident": f"svc-1-{(BOOT + 2) & 0xFFFFFF}",
    }  # fmt: skip
    assert playbook.registry.tenures.of("v2") == [second]
    assert playbook.registry.tenures.last_live(99.0) == {"v1": 99.0, "v2": 22.0}


def test_a_restart_ends_nothing_and_tells_the_same() -> None:
    playbook = Playbook().seed("v1", "v2")
    playbook.tell(SwitchAsked("v2", "ann", "better"), after_s=3)
    playbook.fold(Entry("boot", "", "control", {"boot": 2}, 99.0, 5, 2))
    assert told(playbook.registry.tenures) == [("v1", 10.0, 13.0, "v2"), ("v2", 13.0, None, None)]
    assert told(rebuild("svc", playbook.entries).tenures) == told(playbook.registry.tenures)


def test_it_is_bounded_and_says_what_it_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active_periods, "TENURES_MAX", 3)
    tenures = ActivePeriods()
    for number in range(8):
        tenures.note(entry(number), f"v{number}")
    assert [t["version"] for t in tenures.kept] == ["v5", "v6", "v7"]
    assert tenures.dropped == 5


def test_nobody_may_be_active() -> None:
    tenures = ActivePeriods()
    tenures.note(entry(1), None)
    tenures.note(entry(2), "v1")
    tenures.note(entry(3), "v1")
    tenures.note(entry(4), None)
    tenures.note(entry(5), None)
    assert told(tenures) == [("v1", 2.0, 4.0, None)]
    assert tenures.open is None
    tenures.note(entry(6), "v1")
    assert tenures.open is not None


def test_a_reason_is_bounded() -> None:
    tenures = ActivePeriods()
    tenures.note(entry(1, reason="x" * 10_000), "v1")
    assert len(tenures.kept[0]["begun"]["reason"]) == active_periods.REASON_CHARS_MAX


def entry(at: float, **data: Any) -> Entry:
    return Entry("switched", "svc", "ann", data, float(at), 0, 1)
