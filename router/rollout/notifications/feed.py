"""Which facts become notices, and when: a switch is told once its workers have confirmed, for its time belongs to it.

A switch that nobody confirms within CONFIRM_WAIT_S is told without. Alarms are no facts of the journal: they are compared
from look to look, and one that comes and goes is told at most once in ALARM_EVERY_S.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from router.rollout.model import entry as kinds
from router.rollout.model.entry import SWITCHES, Entry
from router.rollout.notifications.notification import Notification, notice

SECOND_NS: Final = 1_000_000_000
CONFIRM_WAIT_S: Final = 3.0
WAITING_MAX: Final = 100
ALARM_EVERY_S: Final = 300.0
SAID_MAX: Final = 1000
TOLD_OTHERWISE: Final = frozenset({"no_better_target", "proposal_waiting"})
"""Alarms of which a fact of the journal is told already."""


class NotificationFeed:
    """Takes facts, and gives out notices. `told` and `due` take monotonic nanoseconds."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int], tuple[Entry, int]] = {}
        self._up: set[tuple[str, str]] = set()
        self._said: dict[tuple[str, str], float] = {}

    def on_entry(self, entry: Entry, now_ns: int) -> list[Notification]:
        """Return the notices that `entry` makes due."""
        if entry.type in SWITCHES:
            notice(entry)  # one that cannot be told raises now, and does not wait for that
            self._waiting[entry.service, entry.data["generation"]] = (entry, now_ns)
            return self._first() if len(self._waiting) > WAITING_MAX else []
        if entry.type == kinds.CONFIRMED:
            waiting = self._waiting.pop((entry.service, entry.data["generation"]), None)
            return _composed([(waiting[0], entry.data)] if waiting else [])
        return _composed([(entry, {})])

    def due(self, now_ns: int) -> list[Notification]:
        """Return the notices of switches that have waited long enough for their confirmation."""
        late_ns = now_ns - int(CONFIRM_WAIT_S * SECOND_NS)
        late = [key for key, (_, since_ns) in self._waiting.items() if since_ns <= late_ns]
        return _composed([(self._waiting.pop(key)[0], {}) for key in late])

    def _first(self) -> list[Notification]:
        return _composed([(self._waiting.pop(next(iter(self._waiting)))[0], {})])

    def alarms(self, listing: Iterable[Mapping[str, Any]], now_s: float) -> list[Notification]:
        """Return the notices of alarms that are up and were not at the last look; `now_s` is wall time."""
        up = {(alarm["code"], alarm["service"] or ""): alarm for alarm in listing}
        new = [key for key in up if key not in self._up and key[0] not in TOLD_OTHERWISE]
        self._up = set(up)
        found = []
        for key in new:
            if now_s - self._said.get(key, -ALARM_EVERY_S) >= ALARM_EVERY_S:
                self._said[key] = now_s
                found.append(_alarm(up[key], now_s))
        if len(self._said) > SAID_MAX:
            self._said = {key: at for key, at in self._said.items() if now_s - at < ALARM_EVERY_S}
        return found


def _composed(facts: list[tuple[Entry, Mapping[str, Any]]]) -> list[Notification]:
    return [made for entry, times in facts if (made := notice(entry, times)) is not None]


def _alarm(alarm: Mapping[str, Any], now_s: float) -> Notification:
    code, service = alarm["code"], alarm["service"] or ""
    return Notification(
        id=f"{service or 'router'}-alarm-{code}-{alarm['since']}",
        topic="alarm",
        service=service,
        severity="warning",
        title=f"{service or 'router'}: alarm {code}",
        at=now_s,
        facts=(("Alarm", code), ("Says", alarm["detail"]), ("Since", alarm["since"])),
        data={"code": code, "detail": alarm["detail"], "since": alarm["since"]},
        path="/v1/status",
    )
