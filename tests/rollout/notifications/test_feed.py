"""When a fact is told."""

from __future__ import annotations

from typing import Any

from router.rollout.facts.entry import Entry
from router.rollout.notifications.feed import WAITING_MAX, NotificationFeed
from router.rollout.notifications.notification import Notification
from tests import entry_types
from tests.rollout.notifications.test_notification import ROLLED, TIMES, entry

NS = 1_000_000_000
GENERATION = ROLLED["generation"]


def rolled(generation: int = GENERATION) -> Entry:
    return entry(entry_types.ROLLED_BACK, ROLLED | {"generation": generation})


def confirmed() -> Entry:
    return entry(entry_types.CONFIRMED, TIMES)


def ids(notices: list[Notification]) -> list[str]:
    return [result.id for result in notices]


def test_a_switch_waits_for_its_confirmation() -> None:
    bulletin = NotificationFeed()
    assert bulletin.on_entry(rolled(), 0) == []
    assert bulletin.due(1 * NS) == []
    (result,) = bulletin.on_entry(confirmed(), NS)
    assert result.data["swap_us"] == 85
    assert bulletin.on_entry(confirmed(), NS) == []
    assert bulletin.due(100 * NS) == []


def test_but_not_for_ever() -> None:
    bulletin = NotificationFeed()
    bulletin.on_entry(rolled(), 0)
    (result,) = bulletin.due(3 * NS)
    assert result.data["swap_us"] is None
    assert bulletin.on_entry(confirmed(), 4 * NS) == [], "it was told already"


def test_and_not_too_many_of_them() -> None:
    bulletin = NotificationFeed()
    result = [
        notification_of for number in range(WAITING_MAX + 2) for notification_of in bulletin.on_entry(rolled(number), 0)
    ]
    assert ids(result) == ["fraud-rolled_back-0", "fraud-rolled_back-1"]


def test_other_entries_are_sent_at_once() -> None:
    data = {"active": "v8", "obstacles": ["no"], "trigger": None}
    assert ids(NotificationFeed().on_entry(entry(entry_types.NO_BETTER_TARGET, data), 0)) == [
        "fraud-no_better_target-1-20000000000"
    ]


def alarm(code: str, service: str | None = None) -> dict[str, Any]:
    return {"code": code, "detail": "why", "since": "12:00", "service": service}


def test_an_alarm_is_sent_when_raised_but_not_at_every_flap() -> None:
    bulletin = NotificationFeed()
    assert ids(bulletin.alarms([alarm("overloaded")], 0.0)) == ["router-alarm-overloaded-12:00"]
    assert bulletin.alarms([alarm("overloaded")], 1.0) == []
    assert ids(bulletin.alarms([alarm("overloaded"), alarm("standby_failing", "fraud")], 2.0)) == [
        "fraud-alarm-standby_failing-12:00"
    ]
    assert bulletin.alarms([], 3.0) == []
    assert bulletin.alarms([alarm("overloaded")], 200.0) == [], "it flaps"
    bulletin.alarms([], 201.0)
    assert len(bulletin.alarms([alarm("overloaded")], 300.0)) == 1
    assert bulletin.alarms([alarm("no_better_target", "fraud"), alarm("proposal_waiting", "fraud")], 999.0) == []
