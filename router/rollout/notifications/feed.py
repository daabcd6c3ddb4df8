"""Decides when an entry becomes a notification. A switch waits for the confirmation of its workers, which has its times.

A switch without a confirmation within CONFIRM_WAIT_S is sent without times. Alarms are not in the journal: the list of raised
alarms is compared with the list before. An alarm that comes and goes is sent at most once in ALARM_EVERY_S.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from router.rollout.facts.entry import Entry
from router.rollout.facts.switches import Confirmed, SwitchFact
from router.rollout.notifications.notification import Notification, notification_of
from router.rollout.units import SECOND_NS

CONFIRM_WAIT_S: Final = 3.0
WAITING_MAX: Final = 100
ALARM_EVERY_S: Final = 300.0
RAISED_MAX: Final = 1000
REPORTED_BY_ENTRY: Final = frozenset({"no_better_target", "proposal_waiting"})
"""Alarms whose journal entry has its own notification."""


class NotificationFeed:
    """Entries and alarms in, notifications out. `on_entry` and `due` take monotonic nanoseconds."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int], tuple[Entry, int]] = {}
        self._raised: set[tuple[str, str]] = set()
        self._raised_at: dict[tuple[str, str], float] = {}

    def on_entry(self, entry: Entry, now_ns: int) -> list[Notification]:
        """Return the notifications that `entry` makes due."""
        fact = entry.fact
        if isinstance(fact, SwitchFact):
            self._waiting[entry.service, fact.generation or 0] = (entry, now_ns)
            return self._release_oldest() if len(self._waiting) > WAITING_MAX else []
        if isinstance(fact, Confirmed):
            waiting = self._waiting.pop((entry.service, fact.generation), None)
            return _notifications([(waiting[0], fact)] if waiting else [])
        return _notifications([(entry, None)])

    def due(self, now_ns: int) -> list[Notification]:
        """Return the notifications of switches that have waited CONFIRM_WAIT_S for their confirmation."""
        late_ns = now_ns - int(CONFIRM_WAIT_S * SECOND_NS)
        late = [key for key, (_, since_ns) in self._waiting.items() if since_ns <= late_ns]
        return _notifications([(self._waiting.pop(key)[0], None) for key in late])

    def _release_oldest(self) -> list[Notification]:
        return _notifications([(self._waiting.pop(next(iter(self._waiting)))[0], None)])

    def alarms(self, listing: Iterable[Mapping[str, Any]], now_s: float) -> list[Notification]:
        """Return the notifications of alarms that were not raised at the call before; `now_s` is wall time."""
        raised = {(alarm["code"], alarm["service"] or ""): alarm for alarm in listing}
        new = [key for key in raised if key not in self._raised and key[0] not in REPORTED_BY_ENTRY]
        self._raised = set(raised)
        found = []
        for key in new:
            if now_s - self._raised_at.get(key, -ALARM_EVERY_S) >= ALARM_EVERY_S:
                self._raised_at[key] = now_s
                found.append(_alarm(raised[key], now_s))
        if len(self._raised_at) > RAISED_MAX:
            self._raised_at = {key: at for key, at in self._raised_at.items() if now_s - at < ALARM_EVERY_S}
        return found


def _notifications(entries: list[tuple[Entry, Confirmed | None]]) -> list[Notification]:
    return [made for entry, times in entries if (made := notification_of(entry, times)) is not None]


def _alarm(alarm: Mapping[str, Any], now_s: float) -> Notification:
    code, service = alarm["code"], alarm["service"] or ""
    return Notification(
        id=f"{service or 'router'}-alarm-{code}-{alarm['since']}",
        topic="alarm",
        service=service,
        severity="warning",
        title=f"{service or 'router'}: alarm {code}",
        at=now_s,
        facts=(("Alarm", code), ("Detail", alarm["detail"]), ("Since", alarm["since"])),
        data={"code": code, "detail": alarm["detail"], "since": alarm["since"]},
        path="/v1/status",
    )
